"""A real lab keeps what convicts an auditor, and its command makes a case of it that anyone can judge."""

from __future__ import annotations

from pathlib import Path

from attestations.adjudication.case import parse_case
from attestations.adjudication.judging import adjudicate
from attestations.errors import ExitCode
from attestations.keys import KeyUse
from attestations.trust import Trust, TrustedParty
from safeconduct.v1 import access_service_pb2 as access
from tests.integration.gateway import audited
from tests.support.small_auditor import Lane, Prepared, SmallAuditor, failure, outcome, wire
from tests.support.world_agreement import p256_signer, party


async def refused(auditor: SmallAuditor, prepared: Prepared) -> str:
    stream = auditor.stream()
    await stream.write(access.ExchangeRequest(intent=wire(prepared.envelope)))
    return (await failure(stream)).reason


async def test_two_intents_for_one_place_become_a_case_that_blames_the_auditor(tmp_path: Path) -> None:
    """T047: the lab keeps both, exports them, and anyone who trusts the two parties' keys can judge."""
    async with audited(tmp_path) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        start = lane.prev
        await auditor.ask(lane)
        place = Lane(lane.name, start)
        for _ in range(2):
            assert await refused(auditor, auditor.prepare(place)) == "SEQUENCE_EQUIVOCATION"
        pending = auditor.prepare(lane)
        await auditor.promised(auditor.stream(), pending)
        assert await refused(auditor, auditor.prepare(lane)) == "SEQUENCE_EQUIVOCATION"
        out = tmp_path / "case.json"
        assert (await lab.command("dispute", "--out", str(out)))[0] == 0
        case = parse_case(out.read_bytes())
        assert (len(case.documents), len(case.claims)) == (4, 2)
        known = (lab.home.read_identity(), auditor.keys.identity)
        trust = Trust(parties=tuple(TrustedParty(role=item.role, id=item.id, keys=item.keys) for item in known))
        verdict = adjudicate(case, trust)
        assert verdict.blamed == {("auditor", "SEQUENCE_EQUIVOCATION")}
        assert verdict.exit_code == ExitCode.EQUIVOCATION_OR_ROLLBACK
        assert len(verdict.findings) == 2


async def test_a_lab_that_has_kept_nothing_says_so(tmp_path: Path) -> None:
    async with audited(tmp_path) as (lab, _):
        code, _, errors = await lab.command("dispute", "--out", str(tmp_path / "case.json"))
        assert (code, "nothing is kept" in errors) == (ExitCode.INDETERMINATE, True)


async def test_an_offer_that_names_a_relay_is_refused(tmp_path: Path) -> None:
    """A lab that agreed to a relay would be blamed for what lies there unanswered."""
    async with audited(tmp_path) as (_, auditor):
        terms = await auditor.terms()
        body = auditor.proposal(terms, "audit-2")
        relay = party("relay", "relay.example", [p256_signer("relay.example", KeyUse.RELAY)])
        timing = terms.timing.model_copy(update={"relay_seconds": 3600})
        body = body.model_copy(update={"parties": (*body.parties, relay), "timing": timing})
        error = await outcome(auditor.send_offer(auditor.offer(body)))
        assert error is not None
        assert (error.reason, error.facts["field"]) == ("TERMS_REFUSED", "parties")
