"""Which moments differ for a set of terms, and how late a source may lie for a term to be true at a moment.

Times are whole microseconds since the first day of the calendar, the finest a document can say.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from attestations.policy.calendar import is_business_day
from attestations.policy.symbolic import TooLarge
from attestations.policy.terms import DAY, Term

MICRO = 1_000_000
_DAY = DAY * MICRO
_START = datetime(1, 1, 1, tzinfo=UTC)
_WEEK = 7
_USUAL_DAY = date(2027, 2, 1).toordinal()
_LAST_DAY = date.max.toordinal()


def microseconds(moment: datetime) -> int:
    """Return an instant as a number; `instant` is its inverse."""
    return (moment - _START) // timedelta(microseconds=1)


def instant(number: int) -> datetime:
    """Return the instant behind a number."""
    return _START + timedelta(microseconds=number)


class Workdays:
    """The business days of one calendar, and thresholds against them."""

    def __init__(self, holidays: frozenset[date]) -> None:
        self.holidays = sorted(day.toordinal() for day in holidays if day.weekday() < 5)  # noqa: PLR2004 - Saturday
        self._holidays = holidays
        self._days: list[int] = []  # ordinals of business days, of the range looked at so far
        self._range = (0, 0)

    def latest(self, term: Term, hold: int, now: int) -> int:
        """Return the latest time of the source at which the term is true at `now`."""
        count = term.business_days + (hold if term.hold else 0)
        if not count:
            return now - term.seconds * MICRO
        day, time = divmod(now, _DAY)
        ordinal = day + 1
        self._reach(ordinal, count)
        place = bisect_right(self._days, ordinal) - 1
        working = self._days[place] == ordinal
        before = self._days[place - count + 1] - 1  # the count-th business day after any earlier day is `place`
        start = (before - 1) * _DAY + (time if working else _DAY - 1)
        return start - term.seconds * MICRO

    def due(self, term: Term, hold: int, source: int) -> int:
        """Return when the term becomes true after its source."""
        start = source + term.seconds * MICRO
        count = term.business_days + (hold if term.hold else 0)
        if not count:
            return start
        day, time = divmod(start, _DAY)
        self._reach(day + 1, count)
        place = bisect_right(self._days, day + 1) + count - 1
        return (self._days[place] - 1) * _DAY + time

    def _reach(self, ordinal: int, count: int) -> None:
        far = count * 2 + len(self.holidays) + 2 * _WEEK  # twice the count covers its weekends
        first, last = self._range
        if self._days and first <= ordinal - far and ordinal + far <= last:
            return
        first, last = min(first or ordinal, ordinal - 3 * far), max(last, ordinal + 3 * far)
        if first < 1 or last > _LAST_DAY:
            raise TooLarge
        days = map(date.fromordinal, range(first, last + 1))
        self._days = [day.toordinal() for day in days if is_business_day(day, self._holidays)]
        self._range = (first, last)


def moments(terms: Sequence[Term], hold: int, workdays: Workdays, *, limit: int) -> Iterator[int]:
    """Yield at least one moment of every kind that the terms can tell apart.

    Raises:
        TooLarge: there are more than `limit`.
    """
    fixed = [(term, microseconds(term.source)) for term in terms if isinstance(term.source, datetime)]
    due = sorted({workdays.due(term, hold, at) for term, at in fixed})
    times = _times([term.seconds * MICRO for term in terms], due)
    days = _days(terms, hold, [at // _DAY + 1 for at in due], workdays.holidays)
    if len(times) * len(days) > limit:
        raise TooLarge
    for day in days:
        for time in times:
            yield (day - 1) * _DAY + time


def _times(spans: Sequence[int], due: Sequence[int]) -> list[int]:
    """Return the times of day at which the order of two thresholds, or a fixed instant, can change."""
    exact = {0, *(at % _DAY for at in due), *((first - second) % _DAY for first in spans for second in spans)}
    return sorted({(time + step) % _DAY for time in exact for step in (-1, 0, 1)})


def _days(terms: Sequence[Term], hold: int, due: Sequence[int], holidays: Sequence[int]) -> list[int]:
    """Return a usual week before, after and between everything, and every day a holiday reaches."""
    longest = 0
    for term in terms:
        count = term.business_days + (hold if term.hold else 0)
        longest = max(longest, term.seconds // DAY + 1 + (count * 7) // 5 + _WEEK)
    counted = any(term.business_days or (hold and term.hold) for term in terms)
    near = holidays if counted else []
    marks = [*near, *due]
    first, last = (min(marks), max(marks)) if marks else (_USUAL_DAY, _USUAL_DAY)
    reach = longest + len(near) + 2 * _WEEK
    days = set(range(last + reach, last + reach + 2 * _WEEK)) | set(range(first - 2 * _WEEK, first))
    for day in due:
        days |= set(range(day - 1, day + _WEEK + 2))
    for day in near:
        days |= set(range(day - 1, day + reach))
    return sorted(days, key=lambda day: (day < last + reach, day))
