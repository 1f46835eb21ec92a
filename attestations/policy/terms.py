"""A formula as the linter looks at it: and/or over terms "so long after this source", every source independent.

A source is an event, or a fixed instant. An event with the argument `*`, or with none, stands for the first of
all events of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from attestations.policy.formula import After, AllOf, AnyOf, Event, Formula
from attestations.policy.model import Policy

DAY = 86_400


@dataclass(frozen=True, order=True)
class Source:
    """An event that happens once or never; no argument stands for the first of its name."""

    name: str
    argument: str | None = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name}({self.argument})"


# No log holds them in another order; used only where a rule is about what a log can show.
LOG_ORDER = (Source("REGISTERED"), Source("RUN_CLOSED"), Source("DELIVERED"))


@dataclass(frozen=True)
class Term:
    """True from `seconds`, then `business_days` (and the hold, if `hold`) after the source on."""

    source: Source | datetime
    seconds: int = 0
    business_days: int = 0
    hold: bool = False


@dataclass(frozen=True)
class Both:
    """True when every part is; without parts, always."""

    parts: tuple[Terms, ...] = ()


@dataclass(frozen=True)
class Either:
    """True when some part is; without parts, never."""

    parts: tuple[Terms, ...] = ()


Terms = Term | Both | Either
ALWAYS, NEVER = Both(), Either()


def terms_of(policy: Policy, formula: Formula) -> Terms:
    """Return a formula of `policy` as terms."""
    match formula:
        case AllOf(parts):
            return Both(tuple(terms_of(policy, part) for part in parts))
        case AnyOf(parts):
            return Either(tuple(terms_of(policy, part) for part in parts))
        case Event():
            return Term(_source(formula))
        case After(base, duration, hold):
            source = base if isinstance(base, datetime) else _source(base or Event(policy.anchor, None))
            return Term(source, duration.days * DAY + duration.seconds, duration.business_days, hold)


def each_term(terms: Terms) -> Iterator[Term]:
    """Yield every term, repeats included."""
    if isinstance(terms, Term):
        yield terms
    else:
        for part in terms.parts:
            yield from each_term(part)


def mapped(terms: Terms, change: Callable[[Term], Terms]) -> Terms:
    """Return the same formula with every term changed."""
    if isinstance(terms, Term):
        return change(terms)
    return replace(terms, parts=tuple(mapped(part, change) for part in terms.parts))


def holds(terms: Terms, true: Callable[[Term], bool]) -> bool:
    """Evaluate the formula."""
    match terms:
        case Both(parts):
            return all(holds(part, true) for part in parts)
        case Either(parts):
            return any(holds(part, true) for part in parts)
        case Term():
            return true(terms)


def _source(event: Event) -> Source:
    return Source(event.name, None if event.argument == "*" else event.argument)
