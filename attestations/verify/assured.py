"""Steps 16 and 17: what the evidence gives, against what is claimed and what the reader requires."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attestations.assurance import Facts, derive, overclaimed
from attestations.documents.analysis import PlannedJudge
from attestations.documents.engagement import PreRegistration
from attestations.elicitation.course import Established, established
from attestations.elicitation.figures import trained_to_effect
from attestations.elicitation.levels import SANDBAGGING, highest_sandbagging
from attestations.errors import AssuranceOverclaimed, ControlsFailed, RelyingPolicyUnmet
from attestations.predicate import AssuranceClaim, AuditPredicate
from attestations.verify.opened import Content
from attestations.verify.parties import Parties
from attestations.verify.steps import Step
from attestations.verify.transcript import Transcript

ASSESSED = "sandbagging"
LADDERS = {
    "TS": "task_secrecy",
    "MI": "model_identity",
    "CO": "completeness",
    "PR": "pre_registration",
    "EL": "elicitation",
    "GI": "grader_integrity",
    "DE": "disclosure",
}
_REQUIREMENT = re.compile(rf"(?P<ladder>{'|'.join(LADDERS)})>=(?P<level>[0-4])")


def is_requirement(text: str) -> bool:
    """Tell whether a text is a requirement, such as `CO>=2` or `sandbagging`."""
    return text == ASSESSED or _REQUIREMENT.fullmatch(text) is not None


def derive_facts(
    parties: Parties,
    transcript: Transcript,
    content: Content | None = None,
    *,
    exchanges: bool,
    close: bool,
    figures: bool = False,
    escrow_verified: bool = False,
) -> Facts:
    """Return the facts that were established, for `attestations.assurance.derive`.

    Args:
        parties: under which agreement.
        transcript: what the log says.
        content: what is open.
        exchanges: whether every exchange and the checkpoint hold.
        close: whether the close statement holds.
        figures: whether the figures hold.
        escrow_verified: whether every class key that is owed is in escrow and every holder has proved its shares.
    """
    aggregate = None if content is None else content.aggregate
    judges = () if aggregate is None else aggregate.plan.judges
    registration = transcript.registration
    return Facts(
        # No verifier of higher runtime evidence is part of this version, whatever a statement says.
        runtime_level="RA0" if transcript.runtimes and Step.RUNTIME not in transcript.errors else None,
        records_signed=exchanges,
        reconciled=exchanges and close and transcript.close is not None,
        registered_first=registration is not None and Step.REGISTRATION not in transcript.errors,
        elicited=done_to_elicit(transcript),
        graders_registered=registration is not None and bool(registration.graders),
        judges_calibrated=bool(judges) and all(_calibrated(judge) for judge in judges),
        regraded=figures and _regraded(content),
        policy_signed=bool(parties.agreement.policy.rules),
        delivered=transcript.delivered,
        escrow_verified=escrow_verified,
    )


def done_to_elicit(transcript: Transcript) -> Established:
    """Return what the log establishes for the elicitation ladder; nothing where it departs from the registration."""
    registration = transcript.registration
    if registration is None or Step.REGISTRATION in transcript.errors:
        return Established()
    trained = frozenset(transcript.hooks.trained)
    return established(registration, transcript.course, transcript.agreement, trained)


def check_sandbagging(predicate: AuditPredicate, done: Established, registration: PreRegistration | None) -> None:
    """Check that no more is claimed of sandbagging than was done.

    Raises:
        AssuranceOverclaimed: more is claimed than the elicitation in the log allows.
        ControlsFailed: fine-tuning is claimed to have assessed it, and does not show on the DEV tasks it was done on.
    """
    validity, claim = predicate.validity, predicate.elicitation
    if validity is None:
        return
    highest = highest_sandbagging(done)
    if SANDBAGGING.index(validity.sandbagging) > SANDBAGGING.index(highest):
        raise AssuranceOverclaimed(
            f"sandbagging is claimed as {validity.sandbagging}, the evidence gives {highest}", ladder="sandbagging"
        )
    if validity.sandbagging != "notAssessed" and not validity.controls.positive_ok:
        raise ControlsFailed("sandbagging is claimed as assessed by a run that can show nothing", control="positive")
    if validity.sandbagging == "sft" and (
        claim is None or registration is None or not trained_to_effect(claim, registration)
    ):
        raise ControlsFailed("fine-tuning on DEV shows no gain on DEV, so it assesses nothing", control="sft_dev")


def _calibrated(judge: PlannedJudge) -> bool:
    counts = [int(count) for count in judge.calibration.json_value().values()]
    return sum(counts[:2]) > 0 and sum(counts[2:]) > 0


def _regraded(content: Content | None) -> bool:
    if content is None or content.transcripts is None or not {"C3", "C5", "C6"} <= content.keys.keys():
        return False
    return not any(row.value.judged for row in content.tasks.rows.values())


def check_assurance(claimed: AssuranceClaim, facts: Facts) -> None:
    """Check that nothing is claimed above what follows.

    Raises:
        AssuranceOverclaimed.
    """
    for name, (said, found) in overclaimed(claimed, derive(facts)).items():
        raise AssuranceOverclaimed(f"{name} is claimed as {said}, the evidence gives {found}", ladder=name)


def check_requirements(requirements: Sequence[str], derived: AssuranceClaim, predicate: AuditPredicate) -> None:
    """Check what the reader requires: `CO>=2`, `PR>=1`, or `sandbagging` for a claim that must be present.

    Raises:
        RelyingPolicyUnmet: the first requirement that is not met.
        ValueError: one that is none; callers ask `is_requirement` first.
    """
    for requirement in requirements:
        if requirement == ASSESSED:
            if predicate.validity is None or predicate.validity.sandbagging == "notAssessed":
                raise RelyingPolicyUnmet("sandbagging was not assessed", requirement=requirement)
            continue
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError("a requirement is written as CO>=2")
        reached = getattr(derived, LADDERS[match["ladder"]])
        if int(reached[2:]) < int(match["level"]):
            raise RelyingPolicyUnmet(
                f"{match['ladder']}{match['level']} is required, the evidence gives {reached}", requirement=requirement
            )
