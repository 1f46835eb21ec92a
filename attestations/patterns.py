"""Patterns that anyone can match in bounded time: a small language, matched by simulating all its states at once.

Python's own matcher backtracks: a hostile pattern, or a hostile answer to a careless one, keeps it busy for
years, and its rules follow Python's version. Here a match takes at most (states x characters) steps, and
`docs/spec/grading.md` holds all the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from attestations.pattern_syntax import MAX_PATTERN_CHARACTERS, Node, is_word, parse_pattern

MAX_STATES = 500
_SAMPLES = (*map(chr, range(128)), "\u00e9", "\u03bb", "\u4e2d")  # one of each sort a class can tell apart


class _Step(NamedTuple):
    """One state: `char` reads a character, `split` goes two ways, `assert` looks at what is beside it."""

    kind: str
    accepts: Callable[[str], bool] | None = None
    where: str = ""
    to: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern; letters match in either case."""

    source: str
    steps: tuple[_Step, ...]

    def found_in(self, text: str) -> bool:
        """Tell whether the pattern matches anywhere in `text`."""
        states: set[int] = set()
        for position in range(len(text) + 1):
            before = text[position - 1] if position else ""
            after = text[position] if position < len(text) else ""
            states = self._closure({*states, 0}, before, after)  # a match may begin anywhere
            if any(self.steps[state].kind == "match" for state in states):
                return True
            states = (
                {step.to[0] for step in map(self.steps.__getitem__, states) if step.accepts and step.accepts(after)}
                if after
                else set()
            )
        return False

    def can_match(self) -> bool:
        """Tell whether any text at all is matched (`b^a` matches none)."""
        # A state, what was read before it, and what the next character has to be: few, so all are visited.
        todo = [(0, before, "") for before in ("edge", "word", "other")]
        seen = set(todo)
        while todo:
            state, before, must = todo.pop()
            step = self.steps[state]
            if step.kind == "match":
                return True
            following: list[tuple[int, str, str]] = []
            if step.kind == "split":
                following = [(to, before, must) for to in step.to]
            elif step.kind == "assert":
                following = [
                    (step.to[0], before, after)
                    for after in ((must,) if must else ("edge", "word", "other"))
                    if _holds(step.where, before, after)
                ]
            elif must != "edge" and step.accepts is not None:
                kinds = {_kind(sample) for sample in _SAMPLES if step.accepts(sample)}
                following = [(step.to[0], kind, "") for kind in kinds if must in ("", kind)]
            todo.extend(place for place in following if place not in seen)
            seen.update(following)
        return False

    def _closure(self, states: Iterable[int], before: str, after: str) -> set[int]:
        found: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state in found:
                continue
            found.add(state)
            step = self.steps[state]
            if step.kind == "split" or (step.kind == "assert" and _holds(step.where, _kind(before), _kind(after))):
                todo.extend(step.to)
        return found


def compile_pattern(source: str) -> Pattern:
    """Return the pattern `source` describes.

    Raises:
        ValueError: it is not of the language, or is too large; the message names the rule and repeats nothing.
    """
    steps: list[_Step] = []
    start = _compile(parse_pattern(source), _add(steps, _Step("match")), steps)
    # `found_in` begins at state 0: the start is copied there, and every address moves by one.
    moved = [step._replace(to=tuple(to + 1 for to in step.to)) for step in steps]
    return Pattern(source, (moved[start], *moved))


def _compile(node: Node, then: int, steps: list[_Step]) -> int:
    """Add the states of `node` in front of `then`; returns where they begin."""
    if node.kind == "char":
        return _add(steps, _Step("char", accepts=node.accepts, to=(then,)))
    if node.kind == "assert":
        return _add(steps, _Step("assert", where=node.where, to=(then,)))
    if node.kind == "sequence":
        for part in reversed(node.parts):
            then = _compile(part, then, steps)
        return then
    if node.kind == "either":
        return _add(steps, _Step("split", to=tuple(_compile(part, then, steps) for part in node.parts)))
    inner = node.parts[0]
    if node.most is None:
        loop = _add(steps, _Step("split"))
        steps[loop] = _Step("split", to=(_compile(inner, loop, steps), then))
        then = loop
    else:
        end = then
        for _ in range(node.most - node.least):
            then = _add(steps, _Step("split", to=(_compile(inner, then, steps), end)))
    for _ in range(node.least):
        then = _compile(inner, then, steps)
    return then


def _add(steps: list[_Step], step: _Step) -> int:
    if len(steps) >= MAX_STATES - 1:
        raise ValueError(f"the pattern is too large: more than {MAX_STATES} states once repetitions are written out")
    steps.append(step)
    return len(steps) - 1


def _kind(character: str) -> str:
    return "edge" if not character else "word" if is_word(character) else "other"


def _holds(where: str, before: str, after: str) -> bool:
    if where == "start":
        return before == "edge"
    if where == "end":
        return after == "edge"
    return ((before == "word") != (after == "word")) == (where == "boundary")


__all__ = ["MAX_PATTERN_CHARACTERS", "MAX_STATES", "Pattern", "compile_pattern"]
