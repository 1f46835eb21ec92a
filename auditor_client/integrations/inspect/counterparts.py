"""Inspect's scorers as graders of ours, where both say the same of an answer; else the reason why not.

Same means: for every answer of ASCII characters that fits into what our grader reads (2000 characters) and holds no
`<think>` block. `docs/guides/inspect.md` lists what remains.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from attestations.errors import SuiteInvalid
from attestations.patterns import MAX_PATTERN_CHARACTERS, compile_pattern

_JUNK = string.whitespace + string.punctuation  # what `match` drops at both ends
_WHY: Mapping[str, str] = {
    "answer": "takes the first text after ANSWER: that Python's matcher finds",
    "choice": "reads the last ANSWER line with rules of its own; --nearest imports it as a choice by letter",
    "exact": "evens out numbers, articles and punctuation inside an answer; --nearest imports it as exact",
    "f1": "gives a share of words, not right or wrong",
    "model_graded_fact": "needs a judge, which no verifier can run again",
    "model_graded_qa": "needs a judge, which no verifier can run again",
    "pattern": "takes the first text that Python's matcher finds, in a language verifiers do not run",
}


def pattern_of(scorer: str, options: Mapping[str, Any], targets: Sequence[str]) -> str:
    """Return the pattern that finds an answer right when the scorer does.

    Raises:
        SuiteInvalid: there is none; the message says why and repeats no target.
    """
    name = scorer.rpartition("/")[2]
    if name == "includes":
        return _checked("|".join(_literal(target, options) for target in targets))
    if name == "match":
        if options.get("numeric"):
            raise _none("match(numeric) compares numbers at five significant digits")
        return _checked(_matched([_literal(target.strip(_JUNK), options) for target in targets], options))
    raise _none(f"{name} {_WHY.get(name, 'is not one of the scorers that have a counterpart')}")


def _matched(literals: Sequence[str], options: Mapping[str, Any]) -> str:
    either = literals[0] if len(literals) == 1 else f"(?:{'|'.join(literals)})"
    junk = "[" + "".join(_escaped(sign) for sign in string.punctuation) + r"\s]*"
    location = options.get("location", "end")
    if location == "any":
        return either
    before = f"^{junk}" if location in ("begin", "exact") else ""
    after = f"{junk}$" if location in ("end", "exact") else ""
    return before + either + after


def _literal(target: str, options: Mapping[str, Any]) -> str:
    if not target:
        raise _none("nothing is left of a target once white space and punctuation are dropped")
    if not target.isascii() or not all(sign.isprintable() or sign in "\n\t\r" for sign in target):
        raise _none("a target is not of printable ASCII, where upper and lower case are beyond doubt")
    if not options.get("ignore_case", True) and any(sign.isalpha() for sign in target):
        raise _none("patterns find letters in either case")
    return "".join(_escaped(sign) for sign in target)


def _escaped(sign: str) -> str:
    named = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
    if sign in named:
        return named[sign]
    return sign if sign.isalnum() or sign in " _" else f"\\{sign}"


def _checked(pattern: str) -> str:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise _none("the targets are too long for a pattern")
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise _none(str(error)) from None
    return pattern


def _none(why: str) -> SuiteInvalid:
    return SuiteInvalid(f"no grader says exactly the same: {why}", rule="scorer")
