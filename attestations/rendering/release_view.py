"""The release log of an evidence file as a page shows it: who got what, since when that was allowed, what is owed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.errors import SafeconductError
from attestations.ledger import meets_obligation
from attestations.policy.evaluate import HOLD, RELEASED, SHOWN, Bounds, Seen, State
from attestations.policy.formula import Event
from attestations.policy.model import FLOOR_CLASSES, Rule
from attestations.policy.simulate import Span, Track, simulate
from attestations.policy.words import class_words, event_words, instant_words, recipient_words
from attestations.release_time import made_at
from attestations.rendering.timeline import Picture, picture
from attestations.verify.report import Report, Status
from attestations.verify.revising import InForceSince
from attestations.verify.sightings import Sightings
from attestations.verify.transcript import LoggedRelease, Transcript

Pair = tuple[str, str]
_DAY = timedelta(days=1)
_VERDICTS = {
    State.PERMITTED: ("permitted", "good"),
    State.INDETERMINATE: ("unsure: within the clock skew", "open"),
    State.FORBIDDEN: ("before it was permitted", "bad"),
}
_UNDATED = ("unsure: nothing cosigned shows when", "open")


@dataclass(frozen=True)
class ReleaseRow:
    """One release."""

    leaf: str
    what: str
    who: str
    when: str
    since: str
    amended: bool
    verdict: str
    tone: str
    given: str
    opened: str


@dataclass(frozen=True)
class EscrowRow:
    """What escrow holders opened in the auditor's stead."""

    what: str
    who: str
    when: str
    why: str
    holders: str


@dataclass(frozen=True)
class DutyRow:
    """One obligation."""

    what: str
    who: str
    due: str
    state: str
    tone: str


@dataclass(frozen=True)
class ReleaseView:
    """Everything the page shows."""

    engagement: str
    stage: str
    recipient: str
    good: bool
    amended: int
    checks: tuple[tuple[str, str, str], ...]
    releases: tuple[ReleaseRow, ...]
    escrowed: tuple[EscrowRow, ...]
    duties: tuple[DutyRow, ...]
    events: tuple[tuple[str, str], ...]
    timeline: Picture
    judged: str
    skew: str
    limitations: tuple[str, ...]


def release_view(transcript: Transcript, report: Report, now: Bounds, sightings: Sightings) -> ReleaseView:
    """Return what the page of a release log shows, judged as the verifier judges it.

    Each release is held to the agreement in force at its leaf, what is owed to the one in force at the end, and times
    are those of cosigned checkpoints: the page never says of a release what the verifier does not.

    Args:
        transcript: what the verified log says.
        report: the verifier's report on the whole file.
        now: the bounds of the instant obligations are judged at.
        sightings: the cosigned checkpoints of the file.
    """
    agreement = transcript.agreement
    ahead = _ahead(agreement, transcript.events)
    released = [_released(item, sightings, transcript.revisions.in_force_since) for item in transcript.releases]
    events = [*transcript.events, *_opened(report, agreement)]
    told = zip(transcript.releases, released, strict=True)
    meeting = [row for item, row in told if meets_obligation(item.document, item.limit)]
    made = dict(reversed(meeting))  # of several for one recipient the first
    given_up = transcript.ledger.aborted is not None and not transcript.delivered
    return ReleaseView(
        engagement=agreement.engagement,
        stage=report.stage or "unknown",
        recipient=recipient_words(report.recipient) if report.recipient else "unknown",
        good=report.holds,
        amended=len(transcript.revisions.amendments),
        checks=tuple(
            (check.name, check.detail, "bad" if check.status is Status.FAIL else "open")
            for check in report.checks
            if check.status in (Status.FAIL, Status.MISSING)
        ),
        releases=tuple(row for _, row in released),
        escrowed=tuple(_by_holders(told) for told in report.escrow),
        duties=tuple(
            _duty(rule, ahead, made, now, opened=report.escrow, given_up=given_up)
            for rule in agreement.policy.rules
            if rule.oblige is not None
        ),
        events=tuple((_event(event), _between(event)) for event in transcript.events),
        timeline=picture(simulate(agreement.policy, events, now.upper + _DAY)),
        judged=instant_words(now.upper),
        skew=f"{agreement.timing.skew_seconds} s",
        limitations=report.limitations,
    )


def _ahead(agreement: Agreement, events: Sequence[Seen]) -> dict[Pair, Track]:
    """Return what an agreement says over time for these events, had nothing been released."""
    unreleased = [event for event in events if event.name not in (RELEASED, SHOWN)]
    return {(track.content_class, track.to): track for track in simulate(agreement.policy, unreleased).tracks}


def _opened(report: Report, agreement: Agreement) -> Iterator[Seen]:
    skew = timedelta(seconds=agreement.timing.skew_seconds)
    for told in report.escrow:
        at = parse_time(told["releasedAt"])
        yield Seen(RELEASED, f"{told['class']}:{told['to']}", Bounds(at - skew, at + skew))


def _by_holders(told: Mapping[str, Any]) -> EscrowRow:
    return EscrowRow(
        what=_capital(class_words(told["class"])),
        who=_capital(recipient_words(told["to"])),
        when=instant_words(parse_time(told["releasedAt"])),
        why="it was overdue" if told["order"] is None else f"the regulator's order {told['order']}",
        holders=", ".join(told["holders"]),
    )


def _since(item: LoggedRelease, revised: Sequence[InForceSince]) -> datetime | None:
    """Return since when the agreements in force one after the other have permitted a release without a gap.

    What an amendment permits it permits from its leaf on, whenever its formula would have held before.
    """
    pair = (item.document.content_class, item.document.recipient)
    since: datetime | None = None
    for in_force in reversed([entry for entry in revised if entry.leaf < item.index]):
        begins = _from(_ahead(in_force.agreement, item.events_before).get(pair), (State.PERMITTED, State.OVERDUE))
        if begins is None or (since is not None and begins > since):
            break
        since = begins if in_force.since is None else max(begins, in_force.since)
        if since == begins:
            break
    return since


def _released(item: LoggedRelease, sightings: Sightings, revised: Sequence[InForceSince]) -> tuple[Pair, ReleaseRow]:
    document = item.document
    pair = (document.content_class, document.recipient)
    track = _ahead(item.agreement, item.events_before).get(pair)
    since, due = _since(item, revised), _from(track, (State.OVERDUE,))
    made, seen = _made(item), _seen(item, sightings)
    verdict, tone = _VERDICTS[item.permission] if made is not None else _UNDATED
    late = due is not None and (parse_time(document.released_at) >= due or (seen is not None and seen.lower >= due))
    if late and tone == "good":
        verdict, tone = "permitted, but late", "bad"
    view = document.view
    return pair, ReleaseRow(
        leaf=str(item.index),
        what=_capital(class_words(document.content_class)),
        who=_capital(recipient_words(document.recipient)),
        when=_when(made, seen),
        since="never" if since is None else instant_words(since),
        amended=item.agreement.supersedes is not None,
        verdict=verdict,
        tone=tone,
        given=instant_words(parse_time(item.logged_at)) + (", late" if late else ""),
        opened="the whole class" if view is None else f"{view.opened} fields open, {view.closed} closed",
    )


def _seen(item: LoggedRelease, sightings: Sightings) -> Bounds | None:
    try:
        return sightings.first_after(item)
    except SafeconductError:
        return None  # the verifier's report says so


def _made(item: LoggedRelease) -> Bounds | None:
    try:
        return made_at(item.document.after, item.logged_at, item.agreement)
    except SafeconductError:
        return None


def _when(made: Bounds | None, seen: Bounds | None) -> str:
    since = "nothing cosigned shows since when" if made is None else f"not before {_precise(made.lower)}"
    until = "nothing cosigned shows by when" if seen is None else f"seen by {_precise(seen.upper)}"
    return f"{since}; {until}"


def _precise(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}, {moment:%H:%M:%S} UTC"


def _duty(
    rule: Rule,
    ahead: Mapping[Pair, Track],
    made: Mapping[Pair, ReleaseRow],
    now: Bounds,
    *,
    opened: Sequence[Mapping[str, Any]],
    given_up: bool,
) -> DutyRow:
    pair = (rule.content_class, rule.to)
    due, row = _from(ahead.get(pair), (State.OVERDUE,)), made.get(pair)
    by_holders = next((told for told in opened if (told["class"], told["to"]) == pair), None)
    if row is None and by_holders is not None:
        state, tone = f"opened by escrow holders on {instant_words(parse_time(by_holders['releasedAt']))}", "open"
    elif row is not None:
        state, tone = f"given on {row.given}", row.tone
    elif given_up and rule.content_class not in FLOOR_CLASSES:
        state, tone = "not owed: the engagement was given up", "open"
    elif due is not None and due <= now.lower:
        state, tone = "overdue", "bad"
    else:
        state, tone = "not yet due", "open"
    return DutyRow(
        what=_capital(class_words(rule.content_class)),
        who=_capital(recipient_words(rule.to)),
        due="depends on what has not happened yet" if due is None else instant_words(due),
        state=state,
        tone=tone,
    )


def _from(track: Track | None, states: tuple[State, ...]) -> datetime | None:
    spans: tuple[Span, ...] = () if track is None else track.spans
    return next((span.start for span in spans if span.state in states), None)


def _event(event: Seen) -> str:
    if event.name in (RELEASED, SHOWN) and event.argument is not None:
        content_class, _, to = event.argument.partition(":")
        if event.name == SHOWN:
            return f"Of {class_words(content_class)} {recipient_words(to)} was shown what meets no obligation"
        return _capital(f"{class_words(content_class)} released to {recipient_words(to)}")
    if event.name == HOLD:
        return f"A hold of {event.argument} business days was stated"
    return _capital(event_words(Event(event.name, event.argument)))


def _between(event: Seen) -> str:
    if event.at.lower == event.at.upper:
        return instant_words(event.at.upper)
    middle = event.at.lower + (event.at.upper - event.at.lower) / 2
    return f"{instant_words(middle)}, give or take {int((event.at.upper - middle).total_seconds())} s"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
