"""Holds, orders, emergencies, revocations, redactions and aborts, each from the log alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from attestations.documents.disclosing import (
    Abort,
    Correction,
    RecallRequest,
    Redaction,
    Verdict,
)
from attestations.documents.engagement import PolicyEvent
from attestations.errors import (
    AttributionFailed,
    DisclosureEarly,
    DisclosureOverdue,
    ExchangeOmitted,
    HoldLimitExceeded,
    HoldTooLate,
    IrrevocableRelease,
    MalformedEnvelope,
    OrderInvalid,
    OrderOutOfScope,
    PhaseViolation,
    PreRegistrationAltered,
    RecipientNotPermitted,
    RedactionNotAllowed,
    UntrustedParty,
)
from attestations.states import Disclosure
from attestations.verify.engine import Request
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World, disclosure_steps
from tests.support.world_agreement import keys
from tests.support.world_hard import (
    BIO,
    C2_OUT,
    C3_R,
    C5_OUT,
    C8_R,
    SEPTEMBER_LATER,
    after,
    before,
    clinic,
    hard_world,
    office,
    order,
    policy,
)
from tests.support.world_views import all_but


def stated(event: str, argument: str | None = None, **extra: Any) -> Any:
    return lambda digest, now: PolicyEvent(agreement=digest, event=event, argument=argument, stated_at=now, **extra)


def test_a_hold_when_nothing_is_left_to_delay_is_too_late() -> None:
    """T099: the last rule that waits for holds is permitted since three days."""
    world = before(World(), C5_OUT, ("until", SEPTEMBER_LATER), ("event", "HOLD", "2"))
    assert_refused(world.verify("S4", "PUBLIC"), HoldTooLate, 50)


def test_a_hold_beyond_the_agreed_days_counts_for_nothing() -> None:
    """T099, I6."""
    world = after(World(), ("deliver",), ("event", "HOLD", "8"), ("event", "HOLD", "3"))
    assert_refused(world.verify("S1"), HoldLimitExceeded, 50)
    assert world.build().log.ledger is not None
    assert world.log.ledger.held == 8  # type: ignore[union-attr]


def test_holds_within_the_agreed_days_hold() -> None:
    """T099: eight and two of ten."""
    assert_holds(after(World(), ("deliver",), ("event", "HOLD", "8"), ("event", "HOLD", "2")).verify("S1"))


def test_a_regulator_may_hold_as_well() -> None:
    world = after(hard_world(), ("deliver",), ("state", stated("HOLD", "8", reason="we look into it"), office()))
    assert_refused(world.verify("S2", "PUBLIC"), DisclosureEarly, 50)


def test_remediation_that_is_never_confirmed_does_not_stop_a_release() -> None:
    """T100, I8: the outer time permits; nothing the lab leaves undone can."""
    rule = {
        "id": "c5-public",
        "class": "C5",
        "to": "PUBLIC",
        "permit": {"or": ["REMEDIATION_CONFIRMED(*)", "TIME(anchor+P365D+hold)"]},
    }
    assert_holds(hard_world(policy(rule)).verify("S4", "PUBLIC"))


def test_a_revocation_is_refused_and_a_plea_is_logged() -> None:
    """T101: what is out stays out."""
    digest: dict[str, str] = {}

    def plea(agreement: str, now: str) -> RecallRequest:
        return RecallRequest(agreement=agreement, release=digest["C2"], reason="please", stated_at=now)

    world = World()
    after(world, C2_OUT, ("event", "REVOKE", "C2:PUBLIC"))
    assert_refused(world.verify("S3", "PUBLIC"), IrrevocableRelease, 50)

    first = World().build()
    digest["C2"] = first.disclosure.released["C2", "PUBLIC"]
    again = after(World(), C2_OUT, ("state", plea, keys().lab_agreement))
    assert_holds(again.verify("S3", "PUBLIC"))
    ledger = again.log.ledger
    assert ledger is not None
    assert [recall.release for recall in ledger.recalls] == [digest["C2"]]
    assert ledger.items["C2", "PUBLIC"] is Disclosure.RELEASED


def test_an_order_in_scope_permits_what_it_names_and_nothing_else() -> None:
    early = ("release", "S5", "C7", "REGULATOR")
    world = after(hard_world(), C3_R, ("state", order(), office()), early)
    assert_holds(world.verify("S4"))
    without = after(hard_world(), C3_R, early)
    assert_refused(without.verify("S4"), DisclosureEarly, 50)
    other = after(hard_world(), C3_R, ("state", order(), office()), ("release", "S4", "C9", BIO, all_but(4)))
    assert_refused(other.verify("S4"), DisclosureEarly, 50)


@pytest.mark.parametrize(
    "changes",
    [
        {"legal_basis": "  "},
        {"expires_at": "2026-11-06T00:00:00Z"},
        {"issued_at": "2026-12-06T00:00:00Z"},
        {"issued_at": "2027-12-06T00:00:00Z", "expires_at": "2028-12-06T00:00:00Z"},
    ],
)
def test_an_order_without_basis_or_time_is_invalid(changes: dict[str, Any]) -> None:
    """T102."""
    world = after(hard_world(), C3_R, ("state", order(**changes), office()))
    assert_refused(world.verify("S4"), OrderInvalid, 50)


@pytest.mark.parametrize(
    "changes",
    [{"classes": ("C10",)}, {"classes": ("C7", "C8")}, {"to": ("PUBLIC",)}, {"classes": ("C9",), "to": ("LAB_ALL",)}],
)
def test_an_order_beyond_its_grant_is_out_of_scope(changes: dict[str, Any]) -> None:
    """T103: the policy's rules that wait for an order are the grant."""
    world = after(hard_world(), C3_R, ("state", order(**changes), office()))
    assert_refused(world.verify("S4"), OrderOutOfScope, 50)


def test_an_order_is_the_regulators_alone() -> None:
    """T102."""
    world = after(hard_world(), C3_R, ("state", order(), keys().lab_agreement))
    assert_refused(world.verify("S4"), AttributionFailed, 30)


def test_an_order_by_a_regulator_the_reader_does_not_trust_is_said() -> None:
    world = after(hard_world(), C3_R, ("state", order(), office()))
    world.trust = None
    assert_refused(world.verify("S4"), UntrustedParty, 21)


def test_a_lab_cannot_redact_figures() -> None:
    """T098."""

    def closed(digest: str, now: str) -> Redaction:
        return Redaction(agreement=digest, content_class="C2", paths=("overall",), reason="SECURITY", stated_at=now)

    world = after(World(), ("deliver",), ("state", closed, keys().lab_agreement))
    assert_refused(world.verify("S1"), RedactionNotAllowed, 50)


@pytest.mark.parametrize(("by", "allowed"), [("lab", "C10"), ("regulator", "C9")])
@pytest.mark.parametrize("content_class", ["C2", "C5", "C9", "C10"])
def test_each_may_redact_its_own_class_only(by: str, allowed: str, content_class: str) -> None:
    """T098."""

    def closed(digest: str, now: str) -> Redaction:
        return Redaction(
            agreement=digest,
            content_class=content_class,  # type: ignore[arg-type]
            paths=("hazardExcerpt",),
            reason="HAZARD",
            stated_at=now,
        )

    signer = keys().lab_agreement if by == "lab" else office()
    report = after(hard_world(), ("deliver",), ("state", closed, signer)).verify("S1")
    if content_class == allowed:
        assert_holds(report)
    else:
        assert_refused(report, RedactionNotAllowed, 50)


def test_already_public_needs_the_regulator_or_both_sides() -> None:
    """One side's word that something leaked must not be what lets it out."""
    claim = stated("ALREADY_PUBLIC", "C5", evidence="77" * 32)
    early = ("release", "S4", "C5", "REGULATOR")
    for signers in ([keys().agreement], [keys().lab_agreement]):
        world = after(hard_world(), C3_R, *(("state", claim, signer) for signer in signers), early)
        assert_refused(world.verify("S4"), DisclosureEarly, 50)
    for signers in ([office()], [keys().agreement, keys().lab_agreement]):
        world = after(hard_world(), C3_R, *(("state", claim, signer) for signer in signers), early)
        assert_holds(world.verify("S4"))


def test_market_placement_is_the_labs_or_the_regulators_to_state() -> None:
    for signer, error in ((keys().lab_agreement, None), (office(), None), (keys().agreement, AttributionFailed)):
        report = after(hard_world(), ("deliver",), ("state", stated("MARKET_PLACEMENT"), signer)).verify("S1")
        assert_holds(report) if error is None else assert_refused(report, error, 30)


def test_a_verdict_is_the_recipients() -> None:
    def verdict(holds: bool) -> Any:  # noqa: FBT001
        return lambda digest, now: Verdict(
            agreement=digest, release=made["digest"], holds=holds, exit_code=0 if holds else 30, stated_at=now
        )

    made = {"digest": hard_world().build().disclosure.released["C8", "REGULATOR"]}
    world = after(hard_world(), C8_R, ("state", verdict(holds=True), office()))
    assert_holds(world.verify("S2", "PUBLIC"))
    assert world.log.ledger is not None
    assert world.log.ledger.items["C8", "REGULATOR"] is Disclosure.VERIFIED
    disputed = after(hard_world(), C8_R, ("state", verdict(holds=False), office())).build()
    assert disputed.log.ledger is not None
    assert disputed.log.ledger.items["C8", "REGULATOR"] is Disclosure.DISPUTED
    stranger = after(hard_world(), C8_R, ("state", verdict(holds=True), clinic()))
    assert_refused(stranger.verify("S2", "PUBLIC"), RecipientNotPermitted, 50)


def test_a_correction_supersedes_and_removes_nothing() -> None:
    made = World().build().disclosure.released["C2", "PUBLIC"]

    def correction(digest: str, now: str) -> Correction:
        return Correction(agreement=digest, corrects=made, text="a typing error", stated_at=now)

    world = after(World(), C2_OUT, ("state", correction, keys().publication))
    report = world.verify("S3", "PUBLIC")
    assert_holds(report)
    assert any("corrected" in line for line in report.limitations)
    empty = after(
        World(), C2_OUT, ("state", lambda d, n: correction(d, n).model_copy(update={"text": " "}), keys().publication)
    )
    assert_refused(empty.verify("S3", "PUBLIC"), AttributionFailed, 30)


def aborted(*more: tuple[Any, ...], world: World | None = None) -> World:
    """An audit given up once the run was closed: nothing is graded, sealed or delivered."""

    def abort(digest: str, now: str) -> Abort:
        return Abort(agreement=digest, reason="the results are bad", stated_at=now)

    world = world or World()
    end = world.steps.index(("close",)) + 1
    world.steps = [*world.steps[:end], ("state", abort, keys().publication), *more]
    return world


C1 = (("until", datetime(2026, 11, 5, 9, tzinfo=UTC)), ("release", "S1", "C1", "REGULATOR"))


def test_an_aborted_engagement_owes_its_commitments_and_nothing_more() -> None:
    """T110, I21."""
    late = Request(at=datetime(2027, 11, 18, tzinfo=UTC))
    assert_holds(aborted(C1[0], ("release", "S1", "C1", "PUBLIC"), C1[1]).verify("S1", request=late))
    assert_refused(aborted(*C1).verify("S1", request=late), DisclosureOverdue, 51)
    assert_refused(aborted().verify("S1", request=late), DisclosureOverdue, 50)


def test_an_aborted_engagement_owes_its_existence_until_its_commitments_show_it() -> None:
    """T110, I21: a release of C1 shows who audits whom, so it meets what is owed of C0 to the same recipient."""
    rule = {"id": "c0", "class": "C0", "to": "LAB_ALL", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P5BD"}
    also = {**rule, "id": "c1", "class": "C1", "oblige": None}
    late = Request(at=datetime(2027, 11, 18, tzinfo=UTC))
    shown = (C1[0], ("release", "S1", "C1", "PUBLIC"))
    owed = aborted(*shown, C1[1], world=hard_world(policy(rule, also))).verify("S1", request=late)
    assert_refused(owed, DisclosureOverdue, 51)
    assert {check.facts["content_class"] for check in owed.checks if check.reason == "DISCLOSURE_OVERDUE"} == {"C0"}
    to_lab = ("release", "S1", "C1", "LAB_ALL")
    assert_holds(aborted(*shown, to_lab, C1[1], world=hard_world(policy(rule, also))).verify("S1", request=late))


def test_an_abort_owes_the_close_statement() -> None:
    """T110: whoever gives up does not get out of saying what took place."""
    world = aborted(*C1)
    world.steps.remove(("close",))
    report = world.verify("S1", request=Request(at=datetime(2026, 11, 18, tzinfo=UTC)))
    assert_refused(report, DisclosureOverdue, 51)


def test_whoever_gives_up_does_not_go_on_to_show_what_it_likes() -> None:
    """T110: given up, then graded, sealed and delivered all the same, and what is owed kept back."""
    world = aborted(*disclosure_steps())
    world.steps = [step for step in world.steps if step[:4] != ("release", "S2", "C2", "REGULATOR")]
    report = world.verify("S4", "PUBLIC")
    assert_refused(report, PreRegistrationAltered, 40)
    assert_refused(report, DisclosureOverdue, 40)


def test_nothing_is_given_up_once_it_is_delivered() -> None:
    world = after(
        World(),
        ("deliver",),
        ("state", lambda d, n: Abort(agreement=d, reason="late", stated_at=n), keys().publication),
    )
    assert_refused(world.verify("S1"), PhaseViolation)


def test_a_run_does_not_go_on_after_it_was_given_up() -> None:
    world = World()
    place = world.steps.index(("promise", 4))
    world.steps.insert(place, ("state", lambda d, n: Abort(agreement=d, reason="bad", stated_at=n), keys().publication))
    assert_refused(world.verify("S1"), ExchangeOmitted, 33)


def test_one_statement_is_by_one_party() -> None:
    """An order that two sign is nobody's."""
    world = after(hard_world(), ("deliver",), ("state", order(), office(), clinic()))
    assert_refused(world.verify("S1"), AttributionFailed, 30)


def test_a_statement_is_of_the_kind_its_envelope_says() -> None:
    world = hard_world()
    world.hooks.types["statement"] = "application/vnd.safeconduct.verdict.v1+json"
    after(world, ("deliver",), ("state", order(), office()))
    assert_refused(world.verify("S1"), MalformedEnvelope, 10)
