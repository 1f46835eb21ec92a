"""The pattern language against Python's `re` where both have a meaning, and its bounds."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given, strategies as st

from attestations.patterns import compile_pattern

ATOMS = st.sampled_from(
    [
        "a",
        "B",
        "_",
        " ",
        "-",
        r"\d",
        r"\w",
        r"\s",
        r"\W",
        ".",
        "[a-c]",
        "[^ab]",
        r"[b_\d]",
        r"\b",
        "^",
        "$",
        r"\.",
        r"\-",
    ]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{0,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(pattern=PATTERNS, text=st.text(alphabet="aAbBc_1 -.\n", max_size=8))
def test_finds_what_re_finds(pattern: str, text: str) -> None:
    assume(len(pattern) <= 100)
    expected = re.search(pattern.replace("$", r"\Z"), text, re.IGNORECASE | re.ASCII) is not None
    ours = compile_pattern(pattern)
    assert expected == ours.found_in(text)
    assert ours.can_match() or not expected


@pytest.mark.parametrize(
    "pattern",
    ["", "(a", "a)", "[a", "[]", "[b-a]", "*a", "a**", "a+?", "a{3,2}", "a{51}", "a{", "(?=a)", "(?i)a", r"(a)\1",
     r"\k", "\\", "^*", "x" * 201, "(" * 30 + "a" + ")" * 30, "(a{50}){50}"],
)  # fmt: skip
def test_what_is_not_of_the_language_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^[a-z]"):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["b^a", "a$b", r"a\bb", r"\d\b\w", "(a$|b$)c"])
def test_a_pattern_that_matches_nothing_is_known(pattern: str) -> None:
    assert not compile_pattern(pattern).can_match()


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+b", "[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*9", "(a?){50}b"]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    before = time.process_time()
    assert not compile_pattern(pattern).found_in("a" * 2000)
    assert time.process_time() - before < 5


@given(source=st.text(alphabet=r"ab()[]{}|*+?.^$\-,019d", max_size=30))
def test_any_source_is_a_pattern_or_a_value_error(source: str) -> None:
    try:
        pattern = compile_pattern(source)
    except ValueError:
        return
    assert pattern.can_match() or not pattern.found_in("ab019")
