"""Holds, orders, emergencies, redactions, recalls and aborts at a real lab, over real gRPC and by its own commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from attestations.digests import sha256
from attestations.documents.base import format_time
from attestations.documents.disclosing import Abort, RecallRequest, Redaction
from attestations.documents.engagement import LogReceipt, PolicyEvent
from attestations.envelope import Envelope, parse_envelope, sign_document
from attestations.errors import LabUnreachable
from attestations.keys import KeyUse
from attestations.log_entries import parse_entry
from lab_server import standing_in
from lab_server.carrying import statement_wish
from lab_server.desk import opened_desk
from safeconduct.v1 import disclosure_service_pb2 as disclosure
from tests.support.hard_audit import HardAudit, hard_audit, now
from tests.support.small_auditor import outcome, unwired, wire
from tests.support.world_hard import BIO, Statement, emergency, office, order, policy


def soon(days: int = 30) -> dict[str, str]:
    """The dates of an order that can still be obeyed."""
    now = datetime.now(UTC).replace(microsecond=0)
    return {"issued_at": format_time(now - timedelta(days=1)), "expires_at": format_time(now + timedelta(days=days))}


def event(name: str, argument: str | None = None) -> Statement:
    return lambda digest, now: PolicyEvent(agreement=digest, event=name, argument=argument, stated_at=now)


async def test_an_order_is_logged_once_it_is_valid_and_in_scope(tmp_path: Path) -> None:
    """T102, T103: handed over by the auditor, signed by the regulator."""
    async with hard_audit(tmp_path) as audit:
        valid = audit.statement(order(**soon()), office())
        receipt = await audit.state(valid)
        assert receipt.kind == "statement"
        assert await audit.state(valid) == receipt
        for changes, reason in (
            ({"legal_basis": " "}, "ORDER_INVALID"),
            (soon(-2), "ORDER_INVALID"),
            ({"classes": ("C10",), **soon()}, "ORDER_OUT_OF_SCOPE"),
            ({"to": ("PUBLIC",), **soon()}, "ORDER_OUT_OF_SCOPE"),
        ):
            refused = await audit.refused(audit.statement(order(id="order-2", **(soon() | changes)), office()))
            assert refused.reason == reason
        stranger = await audit.refused(audit.statement(order(**soon()), audit.signer()))
        assert stranger.reason == "ATTRIBUTION_FAILED"
        await audit.auditor.follow()
        assert [parse_entry(leaf).kind for leaf in audit.auditor.leaves].count("statement") == 1


async def test_a_wider_emergency_needs_two_keys_and_the_notice_none_but_one(tmp_path: Path) -> None:
    """T106, T107."""
    async with hard_audit(tmp_path) as audit:
        until = {"expires_at": soon()["expires_at"]}
        content = b'{"class":"C7","i":3,"path":"request","salt":"","value":null}\n'
        told = audit.statement(emergency("LAB_SAFETY", "REGULATOR", content=sha256(content), **until), audit.signer())
        request = disclosure.NotifyRequest(notice=wire(told), content=content)
        answer = await audit.auditor.disclosure.Notify(request)
        assert unwired(answer.receipt) == unwired((await audit.auditor.disclosure.Notify(request)).receipt)
        other = await outcome(
            audit.auditor.disclosure.Notify(disclosure.NotifyRequest(notice=wire(told), content=b"x"))
        )
        assert other is not None
        assert other.reason == "COMMITMENT_MISMATCH"

        wide = emergency(BIO, id="wider", **until)
        assert (await audit.refused(audit.statement(wide, audit.signer()))).reason == "EMERGENCY_QUORUM_UNMET"
        assert (await audit.refused(audit.statement(wide, office()))).reason == "EMERGENCY_QUORUM_UNMET"
        everybody = audit.statement(emergency("PUBLIC", **until), audit.signer(), office())
        assert (await audit.refused(everybody)).reason == "EMERGENCY_SCOPE_EXCEEDED"
        assert (await audit.state(audit.statement(wide, audit.signer(), office()))).kind == "statement"


async def test_the_signed_policy_decides_about_emergencies_at_the_gateway(tmp_path: Path) -> None:
    """T106, T107: who raises one, what a single key shows, whose two keys are needed."""
    section = {
        "initiators": ["AUDITOR", "LAB_SAFETY"],
        "twoKey": ["LAB_SAFETY", "REGULATOR"],
        "classes": ["C7:subset"],
        "to": ["LAB_SAFETY", "REGULATOR"],
        "review": "P10BD",
    }
    async with hard_audit(tmp_path, policy(emergency=section)) as audit:
        until = {"expires_at": soon()["expires_at"]}
        for make, signers, reason in (
            (emergency("REGULATOR", **until), (office(),), "ATTRIBUTION_FAILED"),
            (emergency("REGULATOR", items=(("C5", 1),), **until), (audit.signer(),), "EMERGENCY_SCOPE_EXCEEDED"),
            (emergency(BIO, **until), (audit.signer(), office()), "EMERGENCY_QUORUM_UNMET"),
            (emergency("PUBLIC", **until), (audit.signer(), office()), "EMERGENCY_SCOPE_EXCEEDED"),
        ):
            assert (await audit.refused(audit.statement(make, *signers))).reason == reason
        alarm = emergency("LAB_SAFETY", "REGULATOR", items=(), **until)
        assert (await audit.state(audit.statement(alarm, audit.signer()))).kind == "statement"


async def test_what_may_not_be_stated_is_refused(tmp_path: Path) -> None:
    """T098, T099, T101: by whoever hands it over."""
    async with hard_audit(tmp_path) as audit:

        def closed(digest: str, now: str) -> Redaction:
            return Redaction(agreement=digest, content_class="C2", paths=("overall",), reason="LEGAL", stated_at=now)

        def plea(digest: str, now: str) -> RecallRequest:
            return RecallRequest(agreement=digest, release="77" * 32, reason="please", stated_at=now)

        for make, reason in (
            (closed, "REDACTION_NOT_ALLOWED"),
            (event("REVOKE", "C2:PUBLIC"), "IRREVOCABLE_RELEASE"),
            (event("HOLD", "11"), "HOLD_LIMIT_EXCEEDED"),
            (event("HOLD", "none"), "MALFORMED_ENVELOPE"),
            (event("LAB_CONSENT", "C2"), "ATTRIBUTION_FAILED"),
            (plea, "ATTRIBUTION_FAILED"),
        ):
            assert (await audit.refused(audit.statement(make, office()))).reason == reason


async def test_a_release_early_is_logged_and_a_loose_label_is_not(tmp_path: Path) -> None:
    """T090, T094, T096, T108: the log says what happened; what was never agreed does not enter it."""
    async with hard_audit(tmp_path) as audit:
        await audit.deliver()
        for envelope, reason in (
            (audit.release("C5", "PEER_AUDITOR"), "RECIPIENT_NOT_PERMITTED"),
            (audit.release("C5", "REGULATOR", key_commitment="ab" * 32), "KEY_COMMITMENT_MISMATCH"),
            (audit.release("C5", "REGULATOR", tlp="AMBER"), "TLP_DOWNGRADE"),
        ):
            error = await audit.released(envelope)
            assert error is not None
            assert error.reason == reason
        early = audit.release("C5", "REGULATOR")
        assert await audit.released(early) is None
        _, shown, _ = await audit.lab.command("status")
        assert f"released: C5 to REGULATOR, release {early.digest}" in shown

        revoked = await audit.refused(audit.statement(event("REVOKE", "C5:REGULATOR"), office()))
        assert revoked.reason == "IRREVOCABLE_RELEASE"
        code, out, errors = await audit.lab.command("recall", early.digest, "--reason", "it was early")
        assert (code, errors) == (0, "")
        assert "logged as leaf" in out


async def test_a_lab_holds_within_its_days_whether_it_serves_or_not(tmp_path: Path) -> None:
    """T099: eight and two of ten; then nothing is left."""
    async with hard_audit(tmp_path) as audit:
        code, out, errors = await audit.lab.command("hold", "8", "--reason", "we look into it")
        assert (code, errors) == (0, "")
        assert "logged as leaf" in out
        code, _, errors = await audit.lab.command("hold", "3", "--reason", "more")
        assert code == 50
        assert "HOLD_LIMIT_EXCEEDED" in errors
        await audit.lab.stop()
        assert (await audit.lab.command("hold", "2", "--reason", "more"))[0] == 0
        assert "HOLD_LIMIT_EXCEEDED" in (await audit.lab.command("hold", "1", "--reason", "more"))[2]
        await audit.lab.start()
        await audit.auditor.connect(audit.lab.address)
        checkpoint = await audit.auditor.cosign()
        kinds = [parse_entry(leaf).kind for leaf in audit.auditor.leaves]
        assert (kinds.count("event"), checkpoint.size) == (2, len(kinds))


async def test_a_statement_that_nobody_took_up_is_logged_by_whoever_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that holds the folder and does not answer: nothing is lost, and nothing is logged twice."""
    monkeypatch.setattr(standing_in, "PATIENCE_SECONDS", 0.3)
    async with hard_audit(tmp_path) as audit:
        await audit.lab.stop()

        def consent(name: str) -> Envelope:
            made = PolicyEvent(agreement=audit.auditor.digest, event="LAB_CONSENT", argument=name, stated_at=now())
            return sign_document(made, audit.lab.home.read_keys().agreement)

        first, second = consent("C2"), consent("C3")
        async with opened_desk(audit.lab.path) as desk:
            with desk.home.alone(), pytest.raises(LabUnreachable):
                await standing_in.carry(desk, statement_wish(first))
            await standing_in.carry(desk, statement_wish(second))
            again = await standing_in.carry(desk, statement_wish(first))
            assert LogReceipt.parse(parse_envelope(again.encode()).payload).document == first.digest
        await audit.lab.start()
        await audit.auditor.connect(audit.lab.address)
        await audit.auditor.follow()
        assert [parse_entry(leaf).kind for leaf in audit.auditor.leaves].count("event") == 2


@pytest.mark.parametrize("words", [("consent", "C2"), ("placed",)])
async def test_a_lab_states_what_is_its_to_state(tmp_path: Path, words: tuple[str, ...]) -> None:
    async with hard_audit(tmp_path) as audit:
        assert (await audit.lab.command(*words))[0] == 0
        refused = await audit.lab.command("redact", "C2", "overall")
        assert refused[0] == 50
        assert "REDACTION_NOT_ALLOWED" in refused[2]
        assert (await audit.lab.command("redact", "C10", "scaffold"))[0] == 0


async def _aborted(audit: HardAudit) -> None:
    def abort(digest: str, now: str) -> Abort:
        return Abort(agreement=digest, reason="the results are bad", stated_at=now)

    await audit.state(audit.statement(abort, audit.signer(KeyUse.PUBLICATION)))


async def test_an_aborted_engagement_is_closed_and_releases_its_commitments_only(tmp_path: Path) -> None:
    """T110, I21: over a restart as well."""
    async with hard_audit(tmp_path) as audit:
        lane = await audit.auditor.open_session("lane-1")
        await audit.auditor.ask(lane)
        await _aborted(audit)
        stream = audit.auditor.stream()
        del stream
        await audit.lab.kill()
        await audit.lab.start()
        await audit.auditor.connect(audit.lab.address)
        error = await outcome(audit.auditor.open_session("lane-2"))
        assert error is not None
        assert error.reason == "PHASE_VIOLATION"
        await audit.auditor.cosign()
        await audit.auditor.confirm_close(await audit.auditor.close_statement())
        await audit.auditor.cosign()
        grades = await outcome(audit.auditor.commit_grades())
        assert grades is not None
        assert grades.reason == "PHASE_VIOLATION"
        audit.manifest = audit.auditor.envelope
        c2 = await audit.released(audit.release("C2", "REGULATOR", stage="S2"))
        assert c2 is not None
        assert c2.reason == "PHASE_VIOLATION"
        assert await audit.released(audit.release("C1", "REGULATOR", stage="S1", manifest=None)) is None


async def test_nothing_delivered_is_given_up(tmp_path: Path) -> None:
    async with hard_audit(tmp_path) as audit:
        await audit.deliver()

        def abort(digest: str, now: str) -> Abort:
            return Abort(agreement=digest, reason="too late", stated_at=now)

        refused = await audit.refused(audit.statement(abort, audit.signer(KeyUse.PUBLICATION)))
        assert refused.reason == "PHASE_VIOLATION"
