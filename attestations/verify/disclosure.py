"""Step 15: whether everything was released to whom and when the policy allows, and nothing is owed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from attestations.documents.base import parse_time
from attestations.documents.engagement import EvidenceIndex
from attestations.errors import (
    DisclosureEarly,
    DisclosureOverdue,
    EmergencyScopeExceeded,
    EvidenceMissing,
    HazardFieldExposed,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    RecipientNotPermitted,
    ReleasedContentMismatch,
    SafeconductError,
    TlpDowngrade,
)
from attestations.labels import ceiling, check_label, strictest
from attestations.ledger import is_public_whole
from attestations.policy.evaluate import Bounds, Seen, State, evaluate
from attestations.policy.model import STAGE_CLASSES, Policy
from attestations.release_time import made_at
from attestations.verify.checkpoints import check_release_checkpoint
from attestations.verify.opened import Content
from attestations.verify.parties import Parties
from attestations.verify.sightings import Sightings
from attestations.verify.transcript import LoggedRelease, Transcript
from attestations.verify.views import Viewed
from attestations.views import VIEWED_CLASSES

_STAGES = ("S0", "S1", "S2", "S3", "S4", "S5")


def classes_up_to(stage: str) -> tuple[str, ...]:
    """Return every class of the stages from S1 to `stage`, in order."""
    wanted = _STAGES[1 : _STAGES.index(stage) + 1]
    return tuple(content_class for name in wanted for content_class in STAGE_CLASSES[name])


def check_releases(parties: Parties, transcript: Transcript, sightings: Sightings) -> None:
    """Check every release of the log against the policy in force at its leaf and the registered key.

    Raises:
        RecipientNotPermitted, DisclosureEarly, DisclosureOverdue, HazardFieldExposed, KeyCommitmentMismatch,
        TlpDowngrade, EmergencyScopeExceeded.
        EvidenceMissing: whether it was early or late lies within the tolerated clock skew.
    """
    public: set[str] = set()
    for release in transcript.releases:
        check_release_checkpoint(release, parties, transcript)
        _check_rule(release.agreement.policy, release)
        _check_key(release, transcript)
        _check_scope(release)
        document = release.document
        public |= {document.content_class} if is_public_whole(document) else set()
        for_all = document.recipient == "PUBLIC" or document.content_class in public
        check_label(document.tlp, document.content_class, public=for_all)
        _check_time(parties, release, sightings)


def check_shown(transcript: Transcript, index: EvidenceIndex, content: Content) -> None:
    """Check that what the file shows its recipient has been released to that recipient, or to the public.

    Raises:
        HazardFieldExposed, DisclosureEarly, RecipientNotPermitted, EmergencyScopeExceeded, ReleasedContentMismatch,
        TlpDowngrade.
        EvidenceMissing: a class that is sealed and of this stage is not opened.
    """
    if "C9" in content.shown:
        raise HazardFieldExposed("the file holds the key of hazardous fields")
    allowed = _allowed(index)
    for content_class in ("C1", *content.shown, *content.views):
        if content_class not in (*allowed, "C1"):
            raise DisclosureEarly(
                f"the file opens {content_class}, which is not of stage {index.stage}", stage=index.stage
            )
        _check_released(transcript, index, content, content_class)
    sealed = {package.content_class for package in transcript.manifest.packages} if transcript.manifest else set()
    for content_class in allowed:
        shown = content_class in content.shown or content_class in content.views
        if content_class in sealed and not shown and (content_class != "C9" or index.classes is not None):
            raise EvidenceMissing(
                f"the key of {content_class} is missing at {index.stage}", content_class=content_class
            )
    if content.pack is not None and not {"C5", "C7"} <= set(content.shown):
        raise RecipientNotPermitted("the file shows the lab's elicitation pack without tasks and transcripts")
    if set(content.shown) & set(content.views):
        raise ReleasedContentMismatch("the file opens one class both whole and field by field")


def _allowed(index: EvidenceIndex) -> tuple[str, ...]:
    allowed = classes_up_to(index.stage)
    if index.stage >= "S4":
        allowed = (*allowed, "C9")
    if index.classes is None:
        return allowed
    if not set(index.classes) <= set(VIEWED_CLASSES):
        raise MalformedEnvelope("a file of some classes only shows fields of tasks and transcripts", field="classes")
    return tuple(name for name in allowed if name in index.classes)


def _check_released(transcript: Transcript, index: EvidenceIndex, content: Content, content_class: str) -> None:
    facts = {"content_class": content_class, "recipient": index.recipient}
    made = [
        release
        for release in transcript.releases
        if release.document.content_class == content_class and release.document.recipient in (index.recipient, "PUBLIC")
    ]
    if not made:
        raise RecipientNotPermitted(
            f"the file shows {content_class}, which was not released to {index.recipient}", **facts
        )
    if content_class == "C9" and index.recipient in ("PUBLIC", "LAB_ALL"):
        raise HazardFieldExposed("the file shows hazardous fields to all", **facts)
    viewed = content.views.get(content_class)
    out = [r for r in made if r.document.recipient == "PUBLIC" and _is_of(r, viewed)]
    public = bool(out) or transcript.ledger.is_public(content_class)
    label = strictest([ceiling(content_class, public=public), *(r.document.tlp or "CLEAR" for r in made[-1:])])
    if index.tlp is not None and strictest([index.tlp, label]) != index.tlp:
        raise TlpDowngrade(f"the file is labelled TLP:{index.tlp}, looser than {content_class} allows", **facts)
    if viewed is None:
        if content_class in content.shown and all(release.document.view is not None for release in made):
            raise RecipientNotPermitted(f"the file opens {content_class} whole, which was released in part", **facts)
        return
    fitting = [r for r in made if r.document.view is not None and _is_of(r, viewed)]
    if not fitting:
        raise ReleasedContentMismatch(f"the view of {content_class} is not the one that was released", **facts)
    limits = [release.limit for release in fitting]
    if all(limit is not None and not viewed.tasks <= limit for limit in limits):
        raise EmergencyScopeExceeded(f"the file opens more of {content_class} than the emergency names", **facts)


def _is_of(release: LoggedRelease, viewed: Viewed | None) -> bool:
    """Tell whether a release is of the whole class, or of exactly this view, as its digest and its counts say."""
    view = release.document.view
    if view is None or viewed is None:
        return view is None
    counted = viewed.counted
    return (view.digest, view.opened, view.closed) == (viewed.digest, counted.opened, sum(counted.closed.values()))


def check_statements(transcript: Transcript) -> Iterator[SafeconductError]:
    """Give why each statement in the log that counts for nothing does so."""
    for breach in transcript.ledger.breaches:
        yield breach.error


def check_obligations(
    policy: Policy, transcript: Transcript, now: Bounds, *, close_seconds: int = 0, escrowed: Sequence[Seen] = ()
) -> None:
    """Check that nothing is surely overdue at `now`, as far as this log and the `escrowed` releases show.

    Of an engagement that was given up only existence, commitments and the close statement are owed (I21).
    """
    aborted = transcript.ledger.aborted
    if aborted is not None and transcript.close is None:
        stated = next(event.at for event in transcript.events if event.name == "RUN_CLOSED")
        if stated.upper + timedelta(seconds=close_seconds) < now.lower:
            raise DisclosureOverdue("the engagement was given up and its close statement is owed")
    for (content_class, recipient), state in evaluate(policy, [*transcript.events, *escrowed], now).items():
        if aborted is not None and not transcript.delivered and content_class not in ("C0", "C1"):
            continue
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
    hazard = document.content_class == "C9" and document.stage == "S4"
    if document.content_class not in STAGE_CLASSES[document.stage] and not hazard:
        raise RecipientNotPermitted(
            f"{document.content_class} is not of stage {document.stage}", content_class=document.content_class
        )


def _check_scope(release: LoggedRelease) -> None:
    if release.limit is not None and release.document.view is None:
        raise EmergencyScopeExceeded(
            f"all of {release.document.content_class} was released where an emergency names a few items",
            leaf=str(release.index),
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


def _check_time(parties: Parties, release: LoggedRelease, sightings: Sightings) -> None:
    document, policy = release.document, release.agreement.policy
    facts = {"content_class": document.content_class, "recipient": document.recipient, "leaf": str(release.index)}
    made_at(document.after, release.logged_at, parties.agreement)
    if release.permission is State.FORBIDDEN:
        raise DisclosureEarly(
            f"{document.content_class} was released to {document.recipient} before the policy permits it", **facts
        )
    if release.permission is State.INDETERMINATE:
        raise EvidenceMissing(
            f"whether {document.content_class} was released early lies within the clock skew", **facts
        )
    claimed = parse_time(document.released_at)

    def overdue(at: Bounds) -> bool:
        states = evaluate(policy, release.events_before, at)
        # What may be public without a rule is owed to nobody.
        return states.get((document.content_class, document.recipient)) is State.OVERDUE

    if overdue(Bounds(claimed, claimed)):
        return  # late, and it says so
    seen = sightings.first_after(release)
    if overdue(seen):
        raise DisclosureOverdue(
            f"{document.content_class} is said to be released in time but was first cosigned after its deadline",
            **facts,
        )
    if overdue(Bounds(seen.upper, seen.upper)):
        raise EvidenceMissing(
            f"whether {document.content_class} was released in time lies within the clock skew", **facts
        )
