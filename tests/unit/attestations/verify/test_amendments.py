"""Amendments and terminations in the log: judged by what was in force, and held to what an amendment may do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from attestations.documents.agreement import Agreement, Party, PartyKey
from attestations.documents.base import encode
from attestations.errors import (
    AgreementDigestMismatch,
    AmendmentRetroactive,
    DisclosureEarly,
    DisclosureOverdue,
    ExchangeOmitted,
    ExitCode,
    MissingRoleSignature,
    ProtectedClauseViolation,
    SafeconductError,
    SignatureInvalid,
    SignerRoleMismatch,
)
from attestations.keys import KeyUse
from attestations.policy.model import STANDARD_EMERGENCY
from tests.support.reports import assert_holds, assert_refused, reasons
from tests.support.world import Step, World, disclosure_steps, exchanges, run_steps
from tests.support.world_agreement import AUDITOR, LAB, agreement, keys, p256_signer, party, party_key
from tests.support.world_escrow import receive_key
from tests.support.world_log import Hooks
from tests.support.world_revisions import with_rule, without
from tests.support.world_suite import make_tasks

REGULATOR = p256_signer("regulator.example", KeyUse.AGREEMENT)
RUN = run_steps(len(exchanges(make_tasks(40))))


def office(name: str) -> Party:
    """A regulator; its tasks may stay sealed for a year, so it has a post-quantum key as well."""
    receive = PartyKey(use="receive", public=encode(receive_key(name).public))
    return Party(role="regulator", id=name, keys=(party_key(REGULATOR.key), receive))


def named() -> Agreement:
    """The agreement with a regulator that can sign for the rules that protect it."""
    parties = [
        party("lab", LAB, keys().lab()).json_value(),
        party("auditor", AUDITOR, keys().auditor()).json_value(),
        office("regulator.example").json_value(),
    ]
    return agreement(parties=parties)


def day(number: int, month: int = 11) -> Step:
    return ("until", datetime(2026, month, number, 9, tzinfo=UTC))


def budget(agreement: Agreement, requests: str = "2000000") -> dict[str, Any]:
    return {"budget": agreement.budget.model_copy(update={"requests": requests})}


def audit(*steps: Step, at: int, **options: Any) -> World:
    """An honest audit with more steps put in before its `at`-th."""
    usual = [*RUN, *disclosure_steps()]
    return World(steps=[*usual[:at], *steps, *usual[at:]], **options)


@pytest.mark.parametrize("at", [0, 1, 20, len(RUN), len(RUN) + 4, len(RUN) + 7])
def test_an_amendment_may_stand_anywhere_in_the_log(at: int) -> None:
    assert_holds(audit(("amend", budget), at=at).verify("S5"))


def test_amendments_follow_one_another() -> None:
    assert_holds(audit(("amend", budget), ("amend", lambda a: budget(a, "3000000")), at=9).verify("S3"))


@pytest.mark.parametrize(
    ("hooks", "error"),
    [
        (Hooks(signers={"amendment": (keys().lab_agreement,)}), MissingRoleSignature),
        (Hooks(signers={"amendment": (keys().lab_agreement, keys().publication)}), SignerRoleMismatch),
        (Hooks(signers={"amendment": (keys().lab_agreement, keys().outsider)}), SignatureInvalid),
        (
            Hooks(alter={"amendment": lambda document: document.model_copy(update={"supersedes": "99" * 32})}),
            AgreementDigestMismatch,
        ),
    ],
)
def test_an_amendment_is_signed_by_both_and_supersedes_what_is_in_force(
    hooks: Hooks, error: type[SafeconductError]
) -> None:
    assert_refused(audit(("amend", budget), at=9, hooks=hooks).verify("S1"), error)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {"origin": "lab.example/another"},
        lambda a: {"transport": a.transport.model_copy(update={"gateway": "99" * 32})},
        lambda a: {"runtime": a.runtime.model_copy(update={"level": "RA1"})},
        lambda a: {"variants": (a.variants[0].model_copy(update={"manifest": "99" * 32}),)},
        lambda a: {"timing": a.timing.model_copy(update={"skew_seconds": 3600})},
        lambda a: {"timing": a.timing.model_copy(update={"relay_seconds": 86_400})},
        lambda a: {"parties": (*a.parties, office("late.example"))},
    ],
    ids=["origin", "transport", "runtime", "model", "skew", "relay", "parties"],
)
def test_what_was_first_agreed_about_keys_model_and_log_stays(change: Any) -> None:
    report = audit(("amend", change), at=len(RUN)).verify("S1")
    assert_refused(report, ProtectedClauseViolation, ExitCode.DISCLOSURE_BREACH)


def test_a_protected_rule_is_not_taken_away_without_whom_it_protects() -> None:
    """T027: the amendment drops a rule of the regulator, who has not signed it."""
    for world in (
        audit(("amend", without("c1-regulator")), at=9),
        audit(("amend", without("c1-regulator")), at=9, agreement=named()),
    ):
        assert_refused(world.verify("S1", "PUBLIC"), ProtectedClauseViolation, ExitCode.DISCLOSURE_BREACH)


def test_a_protected_rule_changes_with_its_beneficiarys_signature() -> None:
    """T027, the other half: with the regulator's signature the same change holds."""
    later = with_rule("c1-regulator", oblige="RUN_CLOSED + P6BD")
    assert_holds(audit(("amend", later, (REGULATOR,)), at=9, agreement=named()).verify("S5"))
    assert_refused(audit(("amend", later), at=9, agreement=named()).verify("S1"), ProtectedClauseViolation)
    forged = (p256_signer("regulator.example", KeyUse.AGREEMENT, label="forged"),)
    assert_refused(audit(("amend", later, forged), at=9, agreement=named()).verify("S1"), SignatureInvalid)


def test_what_the_times_of_a_protected_rule_rest_on_is_protected_with_it() -> None:
    def holds(before: Agreement) -> dict[str, Any]:
        return {"policy": before.policy.model_copy(update={"max_hold": "P0BD"})}

    def review(before: Agreement) -> dict[str, Any]:
        return {"policy": before.policy.model_copy(update={"min_review": "P20BD"})}

    for change in (holds, review):
        assert_refused(audit(("amend", change), at=9).verify("S1"), ProtectedClauseViolation)


def test_a_protected_clause_is_changed_by_nobody_but_all() -> None:
    policy = named().policy.model_copy(update={"protected": ("funding",)})

    def paid(before: Agreement) -> dict[str, Any]:
        return {"clauses": before.clauses.model_copy(update={"funding": "fee"})}

    first = named().model_copy(update={"policy": policy})
    assert_refused(audit(("amend", paid), at=9, agreement=first).verify("S1"), ProtectedClauseViolation)
    assert_holds(audit(("amend", paid, (REGULATOR,)), at=9, agreement=first).verify("S1"))
    assert_holds(audit(("amend", budget), at=9, agreement=first).verify("S1"))


def test_whom_the_auditor_may_warn_is_protected_with_the_promise_of_no_gag() -> None:
    """L5 asks for both: the promise, and a way to warn the regulator that the auditor has alone."""
    fewer = STANDARD_EMERGENCY.model_copy(update={"initiators": ("AUDITOR", "LAB_SAFETY")})

    def silenced(before: Agreement) -> dict[str, Any]:
        return {"policy": before.policy.model_copy(update={"emergency": fewer})}

    def said(before: Agreement) -> dict[str, Any]:
        return {"policy": before.policy.model_copy(update={"emergency": STANDARD_EMERGENCY})}

    policy = named().policy.model_copy(update={"protected": ("nogag",)})
    first = named().model_copy(update={"policy": policy})
    assert_refused(audit(("amend", silenced), at=9, agreement=first).verify("S1"), ProtectedClauseViolation)
    assert_holds(audit(("amend", silenced, (REGULATOR,)), at=9, agreement=first).verify("S1"))
    assert_holds(audit(("amend", said), at=9, agreement=first).verify("S1"))  # it held all the time


def test_what_was_released_cannot_be_forbidden() -> None:
    """T028."""
    steps = [*RUN, *disclosure_steps()]
    end = next(number for number, step in enumerate(steps) if step[0] == "release" and step[1] == "S4")
    for change in (without("c3-regulator"), with_rule("c3-regulator", permit="DELIVERED + P60BD", oblige=None)):
        report = audit(("amend", change), at=end).verify("S4")
        assert_refused(report, AmendmentRetroactive, ExitCode.DISCLOSURE_BREACH)


def test_what_is_overdue_cannot_be_postponed() -> None:
    """T029: C3 was due to the regulator on 18 November."""
    begun: list[Step] = [*RUN, day(4), ("grade",), ("seal",), ("deliver",), ("release", "S1", "C1", "REGULATOR")]
    later = with_rule("c3-regulator", oblige="DELIVERED + P30BD")
    late = World(steps=[*begun, day(19), ("amend", later)])
    report = late.verify("S1", size=late.build().log.size)
    assert_refused(report, AmendmentRetroactive, ExitCode.DISCLOSURE_BREACH)
    in_time = World(steps=[*begun, ("release", "S2", "C2", "REGULATOR"), day(5), ("amend", later), day(10)])
    assert "AMENDMENT_RETROACTIVE" not in reasons(in_time.verify("S1", size=in_time.build().log.size))


def test_each_release_is_judged_by_the_policy_in_force_at_its_leaf() -> None:
    early = with_rule("c5-regulator", permit="DELIVERED + P5BD")
    steps = [*RUN, day(4), ("grade",), ("seal",), ("deliver",)]
    released = [
        ("release", "S1", "C1", "REGULATOR"),
        ("release", "S2", "C2", "REGULATOR"),
        ("release", "S3", "C3", "REGULATOR"),
    ]
    opened = [("release", "S4", "C5", "REGULATOR")]
    before = World(steps=[*steps, *released, day(12), *opened, ("amend", early)])
    assert_refused(before.verify("S3", size=before.build().log.size), DisclosureEarly)
    after = World(steps=[*steps, *released, day(12), ("amend", early), *opened])
    report = after.verify("S3", size=after.build().log.size)
    assert "DISCLOSURE_EARLY" not in reasons(report)


def test_obligations_are_judged_by_the_policy_in_force_at_the_end() -> None:
    steps: list[Step] = [*RUN, day(4), ("grade",), ("seal",), ("deliver",), ("release", "S1", "C1", "REGULATOR")]
    sooner = with_rule("c3-regulator", oblige="DELIVERED + P1BD")
    world = World(steps=[*steps, ("amend", sooner), day(6), ("release", "S2", "C2", "REGULATOR")])
    assert_refused(world.verify("S1", size=world.build().log.size), DisclosureOverdue)


def test_less_than_was_used_cannot_be_agreed() -> None:
    report = audit(("amend", lambda a: budget(a, "3")), at=len(RUN)).verify("S1")
    assert_refused(report, AmendmentRetroactive)


def test_after_its_end_nothing_begins_but_everything_owed_is_owed() -> None:
    assert_holds(audit(("terminate",), at=len(RUN) - 1).verify("S5"))
    later: Step = ("until", datetime(2026, 11, 2, 14, tzinfo=UTC))
    assert_refused(audit(("terminate",), later, at=10).verify("S1"), ExchangeOmitted, ExitCode.INCOMPLETE)
    begun: list[Step] = [*RUN, ("terminate",), day(4), ("grade",), ("seal",), ("deliver",)]
    unpaid = World(steps=[*begun, day(30), ("release", "S1", "C1", "REGULATOR")])
    assert_refused(unpaid.verify("S1"), DisclosureOverdue)


def test_a_termination_is_by_both_or_by_a_clause() -> None:
    alone = (keys().agreement,)
    end = len(RUN) - 1
    assert_refused(audit(("terminate", "both", alone), at=end).verify("S1"), MissingRoleSignature)
    assert_refused(audit(("terminate", "clause", alone), at=end).verify("S1"), SignerRoleMismatch)
    clause = agreement(clauses={"termination": {"by": "auditor", "noticeDays": 5}})
    assert_refused(
        audit(("terminate", "clause", alone), at=end, agreement=clause).verify("S1"), AgreementDigestMismatch
    )
    assert_holds(audit(("terminate", "clause", alone, 5), at=end, agreement=clause).verify("S5"))
    lab = (keys().lab_agreement,)
    assert_refused(audit(("terminate", "clause", lab, 5), at=end, agreement=clause).verify("S1"), SignerRoleMismatch)


def test_nothing_is_revised_after_the_end() -> None:
    assert_refused(audit(("terminate",), ("amend", budget), at=len(RUN) - 1).verify("S1"), AmendmentRetroactive)
