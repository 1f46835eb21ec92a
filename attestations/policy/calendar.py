"""Business days: Monday to Friday in UTC, less the holidays the policy lists."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache

from attestations.policy.formula import Duration

_SATURDAY = 5


def add(moment: datetime, duration: Duration, holidays: frozenset[date]) -> datetime:
    """Return the instant `duration` after `moment`; business days keep the time of day."""
    try:
        return _add(moment, duration, holidays)
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)  # later than anything a document can say


@lru_cache(maxsize=4096)  # a judgement adds the same few durations to the same few events again and again
def _add(moment: datetime, duration: Duration, holidays: frozenset[date]) -> datetime:
    result = moment + timedelta(days=duration.days, seconds=duration.seconds)
    remaining = duration.business_days
    while remaining:
        result += timedelta(days=1)
        if is_business_day(result.date(), holidays):
            remaining -= 1
    return result


def is_business_day(day: date, holidays: frozenset[date]) -> bool:
    """Tell whether work can be expected on `day`."""
    return day.weekday() < _SATURDAY and day not in holidays


def business_days_between(start: datetime, end: datetime, holidays: frozenset[date]) -> int:
    """Return the number of business days that begin after `start` and not after `end`."""
    count, day = 0, start.date()
    while day < end.date():
        day += timedelta(days=1)
        count += is_business_day(day, holidays)
    return count
