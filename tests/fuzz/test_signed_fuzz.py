"""Even what lab and auditor truly signed may be nonsense: it gives a report with a documented code, no traceback."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.base import Document
from attestations.errors import PRECEDENCE, ExitCode, SafeconductError
from attestations.verify.engine import Request
from tests.support.world import Exchange, Hooks, World
from tests.support.world_suite import make_tasks

SIGNED = (
    "agreement", "registration", "runtime", "session-open", "session-grant", "intent:3", "promise:3", "record:3",
    "cancel", "close", "grades", "manifest", "delivery", "release:C2:REGULATOR", "event", "index", "acknowledgement",
    "receipt:close", "refusal",
)  # fmt: skip
PLAIN = ("predicate", "statement")
SEALED = ("C2", "C3", "C5", "C6", "C7", "C8")
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**53 - 1, "", "0", "-1", "1", "9" * 18, "0.5", "1e9", "x", "RA4", "C2", "C9", "S0", "PUBLIC",
    "CLEARED(bio)", "HOLD", "2026-11-02T09:00:00Z", "2999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "ab" * 32, "AAAA",
    [], {}, [[]], ["x", "x"], {"x": 1}, "\ud7ff", "\u0660",
)  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(found for name, item in inner for found in paths(item, (*at, name)))]


def mutate(value: Any, source: random.Random) -> Any:
    """Replace, delete or repeat one place of a JSON value."""
    value = parse_canonical(canonical_bytes(value))
    *way, last = source.choice(paths(value)[1:] or [("x",)])
    place = value
    for name in way:
        place = place[name]
    match source.randrange(4):
        case 0 if isinstance(place, list):
            place.insert(last, place[last])
        case 1:
            del place[last]
        case _:
            place[last] = source.choice(VALUES)
    return value


def signed(source: random.Random) -> Callable[[Any], Any]:
    seed = source.random()

    def change(document: Any) -> Any:
        value = document.json_value() if isinstance(document, Document) else document
        changed = mutate(value, random.Random(seed))
        return canonical_bytes(changed) if isinstance(document, Document) else changed

    return change


def sealed(source: random.Random) -> Callable[[list[bytes]], list[bytes]]:
    seed, number = source.random(), source.randrange(10)

    def change(chunks: list[bytes]) -> list[bytes]:
        place = number % len(chunks)
        changed = canonical_bytes(mutate(parse_canonical(chunks[place]), random.Random(seed)))
        return [*chunks[:place], changed, *chunks[place + 1 :]]

    return change


def world(label: str, change: Callable[[Any], Any]) -> World:
    schedule = [Exchange(i, i % 4) for i in range(10)]
    schedule[2] = Exchange(2, 2, status="CANCELLED_BY_AUDITOR")
    made = World(tasks=make_tasks(10, size=12), exchanges=schedule, hooks=Hooks(alter={label: change}))
    made.steps.insert(made.steps.index(("close",)) + 1, ("event", "LAB_CONSENT", "C2"))
    return made


def verified(label: str, change: Callable[[Any], Any]) -> ExitCode:
    request = Request(require=("CO>=0", "sandbagging"), stage="S5")
    return world(label, change).verify("S5", request=request).exit_code


def documented(code: ExitCode) -> bool:
    return code in PRECEDENCE[: PRECEDENCE.index(ExitCode.INDETERMINATE) + 1]


@pytest.mark.parametrize("label", SIGNED + PLAIN)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=12)
def test_signed_nonsense_gives_a_report(label: str, seed: int) -> None:
    assert documented(verified(label, signed(random.Random(seed))))


@pytest.mark.parametrize("content_class", SEALED)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=15)
def test_sealed_nonsense_gives_a_report(content_class: str, seed: int) -> None:
    assert documented(verified(f"chunks:{content_class}", sealed(random.Random(seed))))


def test_the_unchanged_world_of_this_test_meets_all_but_its_requirement() -> None:
    assert ExitCode.POLICY_NOT_MET is verified("agreement", lambda document: document)


def test_mutations_change_something() -> None:
    source, value = random.Random(1), {"a": [1, 2], "b": {"c": "x"}}
    assert sum(mutate(value, source) != value for _ in range(30)) > 20
    with pytest.raises(SafeconductError):
        parse_canonical(b"{")
