"""Tools that are pure functions: the same text gives the same result on every computer, for anyone to repeat."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

MAX_EXPRESSION = 200
_MAX_DEPTH = 30
_MAX_EXPONENT = 64
_MAX_BITS = 4096
_DIGITS = 12
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(\*\*|[-+*/()%^]))", re.ASCII)


class Tool(NamedTuple):
    """A tool: what the model is told of it, and what it gives for an input."""

    description: str
    run: Callable[[str], str]


class _ExpressionError(ValueError):
    pass


def calculate(expression: str) -> str:
    """Return the value of an arithmetic expression, exact or with 12 decimal places; or what is wrong with it."""
    if len(expression) > MAX_EXPRESSION:
        return "error: the expression is too long"
    try:
        parser = _Parser(_tokens(expression.replace(",", "").replace("\u2212", "-").replace("\u00d7", "*")))
        value = parser.sum(0)
        if parser.left:
            raise _ExpressionError("not an arithmetic expression")  # noqa: TRY301 - one place says what is wrong
    except _ExpressionError as error:
        return f"error: {error}"
    return _shown(value)


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _ExpressionError("not an arithmetic expression")
        found.append(match[1] or match[2])
        place = match.end()
    return found


class _Parser:
    """Recursive descent over sums, products, signs and powers; exact, and bounded in depth and size."""

    def __init__(self, tokens: list[str]) -> None:
        self.left = tokens[::-1]

    def sum(self, depth: int) -> Fraction:
        value = self._product(depth)
        while self._next() in ("+", "-"):
            sign = self.left.pop()
            other = self._product(depth)
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._signed(depth)
        while self._next() in ("*", "/", "%"):
            sign = self.left.pop()
            other = self._signed(depth)
            if sign == "*":
                value = _bounded(value * other)
            elif not other:
                raise _ExpressionError("division by zero")
            else:
                value = _bounded(value / other if sign == "/" else value % other)
        return value

    def _signed(self, depth: int) -> Fraction:
        if depth > _MAX_DEPTH:
            raise _ExpressionError("nested too deeply")
        if self._next() in ("+", "-"):
            sign = self.left.pop()
            value = self._signed(depth + 1)
            return -value if sign == "-" else value
        base = self._atom(depth)
        if self._next() not in ("**", "^"):
            return base
        self.left.pop()
        exponent = self._signed(depth + 1)
        if exponent.denominator != 1 or abs(exponent) > _MAX_EXPONENT:
            raise _ExpressionError(f"an exponent is a whole number of at most {_MAX_EXPONENT}")
        if not base and exponent < 0:
            raise _ExpressionError("division by zero")
        return _bounded(Fraction(base ** int(exponent)))

    def _atom(self, depth: int) -> Fraction:
        part = self.left.pop() if self.left else ""
        if part == "(":
            value = self.sum(depth + 1)
            if self._next() != ")":
                raise _ExpressionError("a parenthesis is not closed")
            self.left.pop()
            return value
        if not part or not (part[0].isdigit() or part[0] == "."):
            raise _ExpressionError("not an arithmetic expression")
        return Fraction(part)

    def _next(self) -> str:
        return self.left[-1] if self.left else ""


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > _MAX_BITS:
        raise _ExpressionError("the numbers become too large")
    return value


def _shown(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    scaled = round(value * 10**_DIGITS)  # half to even
    sign, digits = "-" if scaled < 0 else "", str(abs(scaled)).rjust(_DIGITS + 1, "0")
    return (sign + digits[:-_DIGITS] + "." + digits[-_DIGITS:]).rstrip("0").rstrip(".")


TOOLS: Mapping[str, Tool] = {
    "calculator": Tool("gives the value of an arithmetic expression, e.g. 12 * (3 + 4) / 5", calculate),
}
