"""A question in many formats: the same answer, however it is written down."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from attestations.formats import FORMATS, read_choice, render

OPTIONS = ("apple", "pear", "plum", "quince")


def test_there_are_at_least_sixteen_that_differ() -> None:
    texts = {render("Which is blue?", OPTIONS, form) for form in FORMATS.values()}
    assert len(texts) == len(FORMATS) >= 16


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("right", range(4))
def test_every_way_of_naming_an_option_is_read_back(name: str, right: int) -> None:
    form = FORMATS[name]
    label = form.label(form.places(4).index(right))
    before, behind = form.around
    assert f"{before}{label}{behind} {OPTIONS[right]}" in render("Which is blue?", OPTIONS, form)
    for answer in (
        label,
        f"{before}{label}{behind}",
        f"The answer is {label}",
        f"{label}) {OPTIONS[right]}",
        OPTIONS[right],
    ):
        assert read_choice(answer, OPTIONS, form) == right, answer


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("answer", ["", "none of them", "I would say a fruit", "42", "99) that", "The answer is 3.14"])
def test_what_names_no_option_is_not_one(name: str, answer: str) -> None:
    assert read_choice(answer, OPTIONS, FORMATS[name]) is None


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("plain", "2"),
        ("plain", "II"),
        ("lower-round", "The answer is 2"),
        ("digit-bracket", "B"),
        ("digit-bracket", "The answer is B"),
        ("digit-reversed", "(b)"),
        ("digit-dot", "II"),
        ("digit-dot", "-2"),
        ("roman-dot", "B"),
        ("roman-dot", "D. plum"),
        ("roman-bracket", "2"),
        ("roman-bracket", "The answer is VI"),
        ("roman-bracket", "\u0130"),
        ("roman-dot", "The answer is \u0131"),
        ("digit-dot", "\uff12"),
        ("airy", "\u0130)"),
    ],
)
def test_a_label_that_the_format_does_not_show_names_nothing(name: str, answer: str) -> None:
    assert read_choice(answer, OPTIONS, FORMATS[name]) is None


@pytest.mark.parametrize("name", FORMATS)
def test_two_labels_name_nothing_and_the_words_of_an_option_name_it_in_any_order(name: str) -> None:
    form = FORMATS[name]
    one, other = form.label(0), form.label(1)
    assert read_choice(f"The answer is {one}. Or the answer is {other}.", OPTIONS, form) is None
    assert read_choice("Quince!\nIt grows on trees.", OPTIONS, form) == 3


LABELLED = st.text("AbIiVvXx12 3.)(:*-\n\u0130\u0131\u017f\u212a\uff11\u00b2answeris", max_size=60)


@given(st.text(max_size=300) | LABELLED, st.sampled_from(sorted(FORMATS)))
def test_no_text_makes_a_reader_fail(text: str, name: str) -> None:
    found = read_choice(text, OPTIONS, FORMATS[name])
    assert found is None or 0 <= found < len(OPTIONS)


@given(st.lists(st.text("abcdef", min_size=1, max_size=5), min_size=2, max_size=10, unique=True))
def test_an_order_shows_every_option_once(options: list[str]) -> None:
    for form in FORMATS.values():
        assert sorted(form.places(len(options))) == list(range(len(options)))
