"""The release log of an evidence file as a page shows it: who got what, since when that was allowed, what is owed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.policy.evaluate import HOLD, Bounds, Seen, State
from attestations.policy.formula import Event
from attestations.policy.simulate import Simulation, Span, Track, simulate
from attestations.policy.words import class_words, event_words, instant_words, recipient_words
from attestations.rendering.timeline import Picture, picture
from attestations.verify.report import Report, Status
from attestations.verify.transcript import LoggedRelease, Transcript

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class ReleaseRow:
    """One release."""

    leaf: str
    what: str
    who: str
    when: str
    since: str
    verdict: str
    tone: str
    opened: str


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
    checks: tuple[tuple[str, str, str], ...]
    releases: tuple[ReleaseRow, ...]
    duties: tuple[DutyRow, ...]
    events: tuple[tuple[str, str], ...]
    timeline: Picture
    judged: str
    skew: str
    limitations: tuple[str, ...]


def release_view(agreement: Agreement, transcript: Transcript, report: Report, now: Bounds) -> ReleaseView:
    """Return what the page of a release log shows.

    Args:
        agreement: the verified agreement.
        transcript: what its log says.
        report: the verifier's report on the whole file.
        now: the bounds of the instant obligations are judged at.
    """
    policy, skew = agreement.policy, timedelta(seconds=agreement.timing.skew_seconds)
    unreleased = [event for event in transcript.events if event.name != "RELEASED"]
    ahead = _by_pair(simulate(policy, unreleased))
    made: dict[tuple[str, str], LoggedRelease] = {
        (item.document.content_class, item.document.recipient): item for item in reversed(transcript.releases)
    }
    happened = simulate(policy, transcript.events, now.upper + _DAY)
    return ReleaseView(
        engagement=agreement.engagement,
        stage=report.stage or "unknown",
        recipient=recipient_words(report.recipient) if report.recipient else "unknown",
        good=report.holds,
        checks=tuple(
            (check.name, check.detail, "bad" if check.status is Status.FAIL else "open")
            for check in report.checks
            if check.status in (Status.FAIL, Status.MISSING)
        ),
        releases=tuple(_release(item, ahead, skew) for item in transcript.releases),
        duties=tuple(
            _duty(rule.content_class, rule.to, ahead, made, now) for rule in policy.rules if rule.oblige is not None
        ),
        events=tuple((_event(event), _between(event)) for event in transcript.events),
        timeline=picture(happened),
        judged=instant_words(now.upper),
        skew=f"{agreement.timing.skew_seconds} s",
        limitations=report.limitations,
    )


def _by_pair(simulation: Simulation) -> dict[tuple[str, str], Track]:
    return {(track.content_class, track.to): track for track in simulation.tracks}


def _release(item: LoggedRelease, ahead: Mapping[tuple[str, str], Track], skew: timedelta) -> ReleaseRow:
    document, logged = item.document, parse_time(item.logged_at)
    track = ahead.get((document.content_class, document.recipient))
    since, due = _from(track, (State.PERMITTED, State.OVERDUE)), _from(track, (State.OVERDUE,))
    verdict, tone = "permitted", "good"
    if since is None or logged + skew < since:
        verdict, tone = "before it was permitted", "bad"
    elif logged - skew < since:
        verdict, tone = "unsure: within the clock skew", "open"
    elif due is not None and logged - skew > due:
        verdict, tone = "permitted, but late", "bad"
    value = document.json_value()
    view = value.get("view")
    return ReleaseRow(
        leaf=str(item.index),
        what=_capital(class_words(document.content_class)),
        who=_capital(recipient_words(document.recipient)),
        when=f"{instant_words(logged)}, give or take {int(skew.total_seconds())} s; said: {document.released_at}",
        since="never" if since is None else instant_words(since),
        verdict=verdict,
        tone=tone,
        opened=f"{view['opened']} fields open, {view['closed']} closed" if view else "the whole class",
    )


def _duty(
    content_class: str,
    to: str,
    ahead: Mapping[tuple[str, str], Track],
    made: Mapping[tuple[str, str], LoggedRelease],
    now: Bounds,
) -> DutyRow:
    due = _from(ahead.get((content_class, to)), (State.OVERDUE,))
    item = made.get((content_class, to))
    if item is not None:
        logged = parse_time(item.logged_at)
        late = due is not None and logged > due
        state, tone = f"given on {instant_words(logged)}" + (", late" if late else ""), "bad" if late else "good"
    elif due is not None and due <= now.lower:
        state, tone = "overdue", "bad"
    else:
        state, tone = "not yet due", "open"
    return DutyRow(
        what=_capital(class_words(content_class)),
        who=_capital(recipient_words(to)),
        due="depends on what has not happened yet" if due is None else instant_words(due),
        state=state,
        tone=tone,
    )


def _from(track: Track | None, states: tuple[State, ...]) -> datetime | None:
    spans: tuple[Span, ...] = () if track is None else track.spans
    return next((span.start for span in spans if span.state in states), None)


def _event(event: Seen) -> str:
    if event.name == "RELEASED" and event.argument is not None:
        content_class, _, to = event.argument.partition(":")
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
