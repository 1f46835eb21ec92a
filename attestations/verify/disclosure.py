"""Step 15: whether everything was released to whom and when the policy allows, and nothing is owed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attestations.documents.base import parse_time
from attestations.errors import (
    DisclosureEarly,
    DisclosureOverdue,
    EvidenceMissing,
    HazardFieldExposed,
    KeyCommitmentMismatch,
    RecipientNotPermitted,
)
from attestations.policy.evaluate import Bounds, Seen, State, evaluate, permitted
from attestations.policy.model import STAGE_CLASSES, Policy
from attestations.verify.checkpoints import check_release_checkpoint
from attestations.verify.parties import Parties
from attestations.verify.transcript import LoggedRelease, Transcript

_STAGES = ("S0", "S1", "S2", "S3", "S4", "S5")


def classes_up_to(stage: str) -> tuple[str, ...]:
    """Return every class of the stages from S1 to `stage`, in order."""
    wanted = _STAGES[1 : _STAGES.index(stage) + 1]
    return tuple(content_class for name in wanted for content_class in STAGE_CLASSES[name])


def check_releases(parties: Parties, transcript: Transcript) -> None:
    """Check every release of the log against the policy and the registered key.

    Raises:
        RecipientNotPermitted, DisclosureEarly, DisclosureOverdue, HazardFieldExposed, KeyCommitmentMismatch.
        EvidenceMissing: whether it was early lies within the tolerated clock skew.
    """
    for release in transcript.releases:
        check_release_checkpoint(release, parties, transcript)
        _check_rule(parties.agreement.policy, release)
        _check_key(release, transcript)
        _check_time(parties, release)


def check_shown(transcript: Transcript, *, stage: str, recipient: str, classes: tuple[str, ...]) -> None:
    """Check that what the file shows its recipient has been released to that recipient, or to the public.

    Args:
        transcript: what the log says.
        stage: the stage the file says it is.
        recipient: for whom the file says it is.
        classes: the classes the file holds keys for.

    Raises:
        HazardFieldExposed, DisclosureEarly, RecipientNotPermitted.
        EvidenceMissing: a class that is sealed and of this stage is not opened.
    """
    if "C9" in classes:
        raise HazardFieldExposed("the file holds the key of hazardous fields")
    allowed = classes_up_to(stage)
    released = {(r.document.content_class, r.document.recipient) for r in transcript.releases}
    for content_class in ("C1", *classes):
        if content_class not in allowed:
            raise DisclosureEarly(f"the file opens {content_class}, which is not of stage {stage}", stage=stage)
        if (content_class, recipient) not in released and (content_class, "PUBLIC") not in released:
            raise RecipientNotPermitted(
                f"the file shows {content_class}, which was not released to {recipient}",
                content_class=content_class,
                recipient=recipient,
            )
    sealed = {package.content_class for package in transcript.manifest.packages} if transcript.manifest else set()
    for content_class in allowed:
        if content_class in sealed and content_class not in classes:
            raise EvidenceMissing(f"the key of {content_class} is missing at {stage}", content_class=content_class)


def check_obligations(policy: Policy, events: Sequence[Seen], now: Bounds) -> None:
    """Check that nothing is surely overdue at `now`, as far as these events show."""
    for (content_class, recipient), state in evaluate(policy, events, now).items():
        if state is State.OVERDUE:
            raise DisclosureOverdue(
                f"{content_class} is owed to {recipient} and has not been released",
                content_class=content_class,
                recipient=recipient,
            )


def present(transcript: Transcript, at: datetime | None, skew_seconds: int) -> Bounds:
    """Return the instant the file is judged at: `at`, or else the time of its last dated leaf."""
    skew = timedelta(seconds=skew_seconds)
    if at is not None:
        return Bounds(at, at)
    if transcript.last_time is None:
        raise EvidenceMissing("the log holds no dated leaf after its exchanges")
    moment = parse_time(transcript.last_time)
    return Bounds(moment - skew, moment + skew)


def _check_rule(policy: Policy, release: LoggedRelease) -> None:
    document = release.document
    if document.content_class == "C9" and document.recipient in ("PUBLIC", "LAB_ALL"):
        raise HazardFieldExposed("hazardous fields were released to all", recipient=document.recipient)
    if policy.rule(document.content_class, document.recipient) is None:
        raise RecipientNotPermitted(
            f"no rule lets {document.recipient} have {document.content_class}",
            content_class=document.content_class,
            recipient=document.recipient,
        )
    if document.content_class not in STAGE_CLASSES[document.stage]:
        raise RecipientNotPermitted(
            f"{document.content_class} is not of stage {document.stage}", content_class=document.content_class
        )


def _check_key(release: LoggedRelease, transcript: Transcript) -> None:
    document = release.document
    if document.content_class in ("C0", "C1"):
        return
    manifest = transcript.manifest
    delivered = any(event.name == "DELIVERED" for event in release.events_before)
    if manifest is None or not delivered:
        raise DisclosureEarly("something was released before the packages were delivered", leaf=str(release.index))
    committed = {package.content_class: package.key_commitment for package in manifest.packages}
    if document.manifest != transcript.manifest_digest or (
        document.key_commitment != committed.get(document.content_class)
    ):
        raise KeyCommitmentMismatch("a release names another key than the manifest", leaf=str(release.index))


def _check_time(parties: Parties, release: LoggedRelease) -> None:
    policy = parties.agreement.policy
    skew = timedelta(seconds=parties.agreement.timing.skew_seconds)
    logged = parse_time(release.logged_at)
    document = release.document
    now = Bounds(logged - skew, logged + skew)
    state = permitted(
        policy,
        release.events_before,
        now,
        content_class=document.content_class,
        recipient=document.recipient,
    )
    facts = {"content_class": document.content_class, "recipient": document.recipient, "leaf": str(release.index)}
    if state is State.FORBIDDEN:
        raise DisclosureEarly(
            f"{document.content_class} was released to {document.recipient} before the policy permits it", **facts
        )
    if state is State.INDETERMINATE:
        raise EvidenceMissing(
            f"whether {document.content_class} was released early lies within the clock skew", **facts
        )
    claimed = parse_time(document.released_at)
    if claimed < logged - skew:
        before = evaluate(policy, release.events_before, now)
        if before.get((document.content_class, document.recipient)) is State.OVERDUE:
            raise DisclosureOverdue(
                f"{document.content_class} is said to be released in time but was logged after its deadline", **facts
            )
