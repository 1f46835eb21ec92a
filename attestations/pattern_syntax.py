"""The language of patterns: what may be written, read into a tree (`docs/spec/grading.md`, rules P1 to P9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_PATTERN_CHARACTERS = 200
MAX_REPEAT = 50
_MAX_DEPTH = 20
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}

Accepts = Callable[[str], bool]


@dataclass(frozen=True)
class Node:
    """A part of a pattern: `char`, `assert`, `sequence`, `either` or `repeat` (`most` None: without limit)."""

    kind: str
    parts: tuple[Node, ...] = ()
    accepts: Accepts | None = None
    where: str = ""
    least: int = 0
    most: int | None = None


def is_word(character: str) -> bool:
    """Tell whether a character is an ASCII letter, digit or underscore."""
    return character == "_" or (character.isascii() and character.isalnum())


def parse_pattern(source: str) -> Node:
    """Return the tree of a pattern.

    Raises:
        ValueError: it is not of the language; the message names the rule and repeats nothing of it.
    """
    if not 1 <= len(source) <= MAX_PATTERN_CHARACTERS:
        raise ValueError(f"a pattern is 1 to {MAX_PATTERN_CHARACTERS} characters")
    parser = _Parser(source)
    node = parser.either(0)
    if parser.peek():
        raise ValueError("a closing parenthesis without an opening one")
    return node


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def take(self) -> str:
        character = self.peek()
        if not character:
            raise ValueError("the pattern ends too early")
        self._at += 1
        return character

    def skip(self, text: str) -> bool:
        if self._source.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def either(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise ValueError(f"parentheses nested deeper than {_MAX_DEPTH}")
        ways = [self._sequence(depth)]
        while self.skip("|"):
            ways.append(self._sequence(depth))
        return ways[0] if len(ways) == 1 else Node("either", tuple(ways))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        return Node("sequence", tuple(parts))

    def _repeated(self, atom: Node) -> Node:
        limits = self._limits()
        if limits is None:
            return atom
        if atom.kind == "assert":
            raise ValueError("an assertion cannot be repeated")
        if self.peek() and self.peek() in "?*+{":
            raise ValueError("a repetition cannot be repeated or made lazy; put it in parentheses")
        return Node("repeat", (atom,), least=limits[0], most=limits[1])

    def _limits(self) -> tuple[int, int | None] | None:
        for sign, limits in (("?", (0, 1)), ("*", (0, None)), ("+", (1, None))):
            if self.skip(sign):
                return limits
        if not self.skip("{"):
            return None
        least = self._number()
        most: int | None = least
        if self.skip(","):
            most = None if self.peek() == "}" else self._number()
        if not self.skip("}") or (most is not None and most < least):
            raise ValueError("a repetition is {m}, {m,} or {m,n} with m not above n")
        return least, most

    def _number(self) -> int:
        digits = ""
        while self.peek() and self.peek() in "0123456789":
            digits += self.take()
        if not digits or len(digits) > 2 or int(digits) > MAX_REPEAT:  # noqa: PLR2004 - MAX_REPEAT has two digits
            raise ValueError(f"a repetition counts from 0 to {MAX_REPEAT}")
        return int(digits)

    def _atom(self, depth: int) -> Node:
        character = self.take()
        if character == "(":
            if self.peek() == "?" and not self.skip("?:"):
                raise ValueError("look-around, flags and named groups are not of the language")
            inner = self.either(depth + 1)
            if not self.skip(")"):
                raise ValueError("an opening parenthesis without a closing one")
            return inner
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character in "^$":
            return Node("assert", where="start" if character == "^" else "end")
        if character == ".":
            return Node("char", accepts=lambda read: read != "\n")
        if character in "?*+{":
            raise ValueError("a repetition with nothing before it")
        return _one(character)

    def _escape(self) -> Node:
        character = self.take()
        if character in "bB":
            return Node("assert", where="boundary" if character == "b" else "inside")
        if character in "dwsDWS":
            return Node("char", accepts=_shorthand(character))
        return _one(_literal(character))

    def _class(self) -> Node:
        negated = self.skip("^")
        tests: list[Accepts] = []
        while not self.skip("]"):
            if (character := self.take()) == "[":
                raise ValueError("a bracket inside a class is written with a backslash")
            if character == "\\" and self.peek() and self.peek() in "dwsDWS":
                tests.append(_shorthand(self.take()))
                continue
            low = _literal(self.take()) if character == "\\" else character
            high = low
            if self.peek() == "-" and self._source[self._at + 1 : self._at + 2] not in ("", "]"):
                self.take()
                high = self.take()
                if high == "\\":
                    high = _literal(self.take())
                if high < low:
                    raise ValueError("a range in a class runs backwards")
            tests.append(_between(low, high))
        if not tests:
            raise ValueError("a class without characters")
        return Node("char", accepts=_any_of(tuple(tests), negated=negated))


def _literal(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if is_word(character):
        raise ValueError("an escape that is not of the language (back-references are not)")
    return character


def _one(character: str) -> Node:
    return Node("char", accepts=_between(character, character))


def _between(low: str, high: str) -> Accepts:
    def accepts(read: str) -> bool:
        # Only ASCII letters have two cases here: what others do depends on the version of Unicode.
        return low <= read <= high or (read.isascii() and read.isalpha() and low <= read.swapcase() <= high)

    return accepts


def _shorthand(letter: str) -> Accepts:
    tests: dict[str, Accepts] = {
        "d": lambda read: read in "0123456789",
        "w": is_word,
        "s": lambda read: read in " \t\n\r\f\v",
    }
    return _any_of((tests[letter.lower()],), negated=letter.isupper())


def _any_of(tests: tuple[Accepts, ...], *, negated: bool) -> Accepts:
    return lambda read: any(test(read) for test in tests) != negated
