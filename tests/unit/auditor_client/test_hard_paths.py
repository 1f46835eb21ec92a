"""The auditor's side of disclosure: views, labels, statements and what it says of a lab that breaks the rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.base import format_time, validated
from attestations.documents.disclosing import Redaction
from attestations.documents.engagement import PolicyEvent, PreRegistration
from attestations.envelope import parse_envelope, sign_document
from attestations.errors import (
    ConfigurationInvalid,
    DisclosureForbidden,
    ExitCode,
    HazardFieldExposed,
    HoldLimitExceeded,
    HoldTooLate,
    IrrevocableRelease,
    LogEquivocation,
    PhaseViolation,
    RedactionNotAllowed,
    TimeOrderViolation,
    TlpDowngrade,
    reason_of,
)
from attestations.policy.model import Policy
from attestations.trust import Trust, TrustedParty
from attestations.verify.engine import Request, verify_path
from attestations.verify.report import Report
from attestations.views import Opening, parse_view
from auditor_client.closing import close_run
from auditor_client.grading_run import commit_grades, grade_all
from auditor_client.redacting import Closed, only_tasks, parse_redaction
from auditor_client.releasing import Wanted
from auditor_client.sealing_packages import deliver, seal
from auditor_client.staging import Asked, Staging
from auditor_client.stating import Speaker
from auditor_client.viewing import Source
from tests.support.audit_world import TestClock, World, design, suite, suite_key
from tests.support.simulated_lab import SimulatedLab
from tests.support.world_hard import BIO, office, others
from tests.unit.auditor_client.conftest import Audit


def rules(**more: Any) -> Policy:
    """Everything for the regulator at the close, C6 for the public, and what waits for a hold or an emergency."""
    named: list[tuple[str, str, str, Any]] = [
        (f"c{n}-r", f"C{n}", "REGULATOR", "RUN_CLOSED") for n in (1, 2, 3, 5, 6, 7, 8)
    ]
    named += [(f"c{n}-p", f"C{n}", "PUBLIC", "RUN_CLOSED") for n in (1, 2, 3, 5, 6)]
    named += [("c7-bio", "C7", BIO, {"or": ["EMERGENCY(*)", "TIME(anchor+P2BD+hold)"]})]
    rows = [{"id": name, "class": cls, "to": to, "permit": permit} for name, cls, to, permit in named]
    rows.append({"id": "c8-p", "class": "C8", "to": "PUBLIC", "permit": "TIME(anchor+P3BD+hold)"})
    return validated(Policy, {"v": "safeconduct-policy/v1", "maxHold": "P5BD", "rules": rows} | more)


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    """An audit of seven items with a regulator and a cleared laboratory in its agreement."""
    world, clock = World(rules=rules(), others=others()), TestClock()
    opened = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite())
    yield opened
    await opened.close()


def speaker(audit: Audit) -> Speaker:
    return Speaker(audit.world.engagement(), audit.lab, audit.journal, audit.cosigner, audit.clock)


def staging(audit: Audit) -> Staging:
    kept = audit.journal.recall("registration")
    assert kept is not None
    return Staging(
        releaser=audit.releaser(),
        suite=audit.suite,
        plan=design().plan,
        registration=PreRegistration.parse(parse_envelope(kept).payload),
        key=suite_key(),
        log=audit.folder / "log.jsonl",
        packages=audit.folder / "packages",
    )


async def closed(audit: Audit) -> None:
    await audit.run()
    await close_run(
        engagement=audit.world.engagement(),
        lab=audit.lab,
        journal=audit.journal,
        mirror=audit.mirror,
        cosigner=audit.cosigner,
    )


async def delivered(audit: Audit) -> None:
    await closed(audit)
    engagement, journal = audit.world.engagement(), audit.journal
    graded = await grade_all(audit.suite, journal=journal)
    await commit_grades(graded, suite_key(), engagement=engagement, lab=audit.lab, journal=journal, clock=audit.clock)
    folder = audit.folder / "packages"
    manifest = await seal(
        audit.suite,
        design().plan,
        graded,
        arms=("as_shipped",),
        key=suite_key(),
        engagement=engagement,
        journal=journal,
        clock=audit.clock,
        folder=folder,
    )
    await deliver(manifest, engagement=engagement, lab=audit.lab, journal=journal, folder=folder)
    audit.clock.pass_(seconds=30)


def verified(audit: Audit, path: Path) -> Report:
    agreement = audit.world.engagement().agreement
    trusted = tuple(TrustedParty(role=p.role, id=p.id, keys=p.keys) for p in agreement.parties)
    with path.open("rb") as stream:
        return verify_path(stream, Trust(parties=trusted), Request())


def holds(report: Report) -> None:
    wrong = [(check.step, check.detail) for check in report.checks if check.status.value in ("fail", "missing")]
    assert (wrong, report.exit_code) == ([], ExitCode.OK)


def lab_says(audit: Audit, event: str, argument: str | None) -> Any:
    """What a lab puts into its own log, whether or not it may."""
    document = PolicyEvent(
        agreement=audit.world.engagement().digest,
        event=event,
        argument=argument,
        stated_at=format_time(audit.clock.now()),
    )
    return sign_document(document, audit.world.lab.agreement)


async def test_lab_regulator_and_public_get_different_views_that_verify(audit: Audit, tmp_path: Path) -> None:
    """I9, I10: one audit, the whole for the regulator, single fields for the public, twice the same."""
    await delivered(audit)
    made = staging(audit)
    for stage in ("S1", "S2", "S3", "S4", "S5"):
        out = tmp_path / f"r-{stage}.zip"
        await made.release(stage, "REGULATOR", out)
        holds(verified(audit, out))
    for stage in ("S1", "S2", "S3"):
        await made.release(stage, "PUBLIC", tmp_path / f"p-{stage}.zip")  # type: ignore[arg-type]
    redact = [parse_redaction("C6/target=SECURITY"), parse_redaction("C5/prompt@0,2-3=REUSE")]
    out = tmp_path / "p-S4.zip"
    await made.release_asked(Asked("S4", "PUBLIC", redact=redact), out)
    report = verified(audit, out)
    holds(report)
    assert report.redactions["C6"]["closed"] == [{"reason": "SECURITY", "by": "auditor", "fields": 8}]
    assert report.redactions["C5"]["closed"] == [{"reason": "REUSE", "by": "auditor", "fields": 3}]
    size = audit.lab.tree.size
    await made.release("S4", "PUBLIC", tmp_path / "again.zip")  # what was asked before is remembered
    assert audit.lab.tree.size == size
    assert verified(audit, tmp_path / "again.zip").redactions == report.redactions
    await made.release_asked(Asked("S4", "PUBLIC", redact=[parse_redaction("C5=OPEN")]), tmp_path / "wider.zip")
    wider = verified(audit, tmp_path / "wider.zip")
    holds(wider)
    assert set(wider.redactions) == {"C6"}


async def test_labels_are_never_looser_than_their_class(audit: Audit, tmp_path: Path) -> None:
    """T108."""
    await delivered(audit)
    made = staging(audit)
    await made.release("S1", "REGULATOR", tmp_path / "one.zip")
    with pytest.raises(TlpDowngrade):
        await made.release_asked(Asked("S2", "REGULATOR", tlp="CLEAR"), tmp_path / "two.zip")
    await made.release_asked(Asked("S2", "REGULATOR", tlp="RED"), tmp_path / "two.zip")
    holds(verified(audit, tmp_path / "two.zip"))


async def test_hazards_for_all_are_stopped_before_anything_is_sent(audit: Audit) -> None:
    """T097."""
    await delivered(audit)
    for recipient in ("PUBLIC", "LAB_ALL"):
        with pytest.raises(HazardFieldExposed):
            await audit.releaser().release(Wanted("S4", recipient, only=("C9",)))


@pytest.mark.parametrize("text", ["C6", "C6/target", "C6/target=BECAUSE", "X6=LEGAL", "C5/prompt@3-=LEGAL", "=LEGAL"])
def test_a_redaction_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        parse_redaction(text)


@pytest.mark.parametrize("content_class", ["C2", "C10", "C1"])
def test_an_auditor_closes_no_figures_and_nothing_of_the_labs(content_class: str) -> None:
    """T098."""
    with pytest.raises(RedactionNotAllowed):
        parse_redaction(f"{content_class}=LEGAL")


def test_all_but_the_named_tasks_are_closed() -> None:
    rule = only_tasks("C7", [3, 0, 7])
    assert [i for i in range(10) if not rule.covers(i, "request")] == [0, 3, 7]
    assert Closed("C5", "REUSE", "", path="grade/*").covers(1, "grade/as_shipped/0")


async def test_statements_of_the_labs_that_break_the_rules_are_named_and_count_for_nothing(audit: Audit) -> None:
    """T098, T099, T101: the log is cosigned, because it says what happened; the breach is the lab's."""
    await delivered(audit)

    def closed_figures(now: str) -> Redaction:
        digest = audit.world.engagement().digest
        return Redaction(agreement=digest, content_class="C2", paths=("overall",), reason="LEGAL", stated_at=now)

    await audit.lab.state(lab_says(audit, "HOLD", "4"))
    await audit.lab.state(lab_says(audit, "HOLD", "2"))
    await audit.lab.state(lab_says(audit, "REVOKE", "C2:PUBLIC"))
    await audit.lab.state(sign_document(closed_figures(format_time(audit.clock.now())), audit.world.lab.agreement))
    audit.clock.pass_(days=30)
    await audit.lab.state(lab_says(audit, "HOLD", "1"))
    await audit.cosigner.cosign()
    history = audit.releaser().history()
    assert [breach.error.reason for breach in history.breaches] == [
        reason_of(kind) for kind in (HoldLimitExceeded, IrrevocableRelease, RedactionNotAllowed, HoldTooLate)
    ]
    assert history.ledger.held == 4


async def test_a_hold_delays_a_release_and_ends(audit: Audit) -> None:
    """T100: nothing the lab leaves undone holds it back for ever."""
    await delivered(audit)
    await audit.releaser().release(Wanted("S1", "PUBLIC"))
    await audit.lab.state(lab_says(audit, "HOLD", "5"))
    audit.clock.pass_(days=6)
    with pytest.raises(DisclosureForbidden):
        await audit.releaser().release(Wanted("S5", BIO, only=("C7",)))
    audit.clock.pass_(days=10)
    assert await audit.releaser().release(Wanted("S5", BIO, only=("C7",))) == ("C7",)


async def test_an_emergency_reaches_lab_and_regulator_at_once_and_others_with_two_keys(
    audit: Audit, tmp_path: Path
) -> None:
    """T106: the notice carries the named items' openings and nothing else."""
    await delivered(audit)
    await audit.releaser().release(Wanted("S1", "PUBLIC"))
    graded = await grade_all(audit.suite, journal=audit.journal)
    source = Source(audit.suite, suite_key(), graded, audit.journal)
    until = "2026-12-24T00:00:00Z"
    made = await speaker(audit).notify("e-1", "other", [("C7", 2), ("C5", 1)], [BIO], until, source)
    assert audit.lab.shown == [made.content]
    items = list(parse_view(made.content.splitlines()))
    assert {(item.cls, item.i) for item in items} == {("C7", 2), ("C5", 1)}
    assert all(isinstance(item, Opening) for item in items)

    assert made.wider is not None
    narrower = await speaker(audit).notify("e-2", "other", [("C7", 2)], [BIO], until, source)
    assert narrower.wider is not None
    both = narrower.wider.signatures + sign_document(parsed(narrower.wider), office()).signatures
    envelope = type(narrower.wider)(narrower.wider.payload_type, narrower.wider.payload, both)
    await speaker(audit).submit(envelope)
    out = tmp_path / "bio.zip"
    await staging(audit).release_asked(Asked("S5", BIO, only=("C7",)), out)
    report = verified(audit, out)
    holds(report)
    assert report.redactions["C7"]["opened"] == 2
    with pytest.raises(DisclosureForbidden):
        await audit.releaser().release(Wanted("S5", BIO, only=("C5",)))


def parsed(envelope: Any) -> Any:
    from attestations.documents.disclosing import EmergencyNotice

    return EmergencyNotice.parse(envelope.payload)


async def test_an_aborted_engagement_is_closed_and_its_commitments_released(audit: Audit, tmp_path: Path) -> None:
    """T110, I21."""
    await closed(audit)
    await speaker(audit).abort("the results are bad")
    audit.clock.pass_(seconds=30)
    with pytest.raises(PhaseViolation):
        await audit.releaser().release(Wanted("S2", "REGULATOR"))
    out = tmp_path / "aborted.zip"
    await staging(audit).release("S1", "REGULATOR", out)
    report = verified(audit, out)
    holds(report)
    assert any("gave this engagement up" in line for line in report.limitations)


async def test_a_statement_of_ours_that_we_never_made_is_refused(audit: Audit) -> None:
    await closed(audit)
    document = _event(audit, "AUDITOR_CONSENT", "C7")
    await audit.lab.state(sign_document(document, audit.world.auditor.agreement))
    with pytest.raises(LogEquivocation):
        await audit.cosigner.cosign()


async def test_a_release_the_lab_dates_back_is_not_cosigned(audit: Audit) -> None:
    """T091: it would look early, and be blamed on us."""
    await delivered(audit)
    audit.clock.pass_(hours=2)
    await audit.cosigner.cosign()
    late = audit.clock.at
    original = audit.lab.release

    async def dated_back(envelope: Any) -> Any:
        audit.clock.at = late
        audit.clock.pass_(minutes=-30)
        receipt = await original(envelope)
        audit.clock.at = late
        return receipt

    audit.lab.release = dated_back  # type: ignore[assignment, method-assign]
    with pytest.raises(TimeOrderViolation):
        await audit.releaser().release(Wanted("S1", "REGULATOR"))


def _event(audit: Audit, event: str, argument: str) -> PolicyEvent:
    now = format_time(audit.clock.now())
    return PolicyEvent(agreement=audit.world.engagement().digest, event=event, argument=argument, stated_at=now)


async def test_corrections_and_consents_are_said_once_and_kept(audit: Audit) -> None:
    await delivered(audit)
    await audit.releaser().release(Wanted("S1", "REGULATOR"))
    digest = next(iter(audit.releaser().history().ledger.releases))
    await speaker(audit).correct(digest, "a typing error", None)
    await speaker(audit).event("AUDITOR_CONSENT", "C5")
    await speaker(audit).event("REMEDIATION_CONFIRMED", "finding-1")
    history = audit.releaser().history()
    assert [item.text for item in history.ledger.corrections.values()] == ["a typing error"]
    assert {"AUDITOR_CONSENT", "REMEDIATION_CONFIRMED"} <= {event.name for event in history.events}
    assert history.breaches == []
