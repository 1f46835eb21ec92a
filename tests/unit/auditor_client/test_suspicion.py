"""Each rule finds what it is for, and stays silent beside it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from auditor_client.suites.suspicion.duplicates import Texts
from auditor_client.suites.suspicion.finding import ITEM_RULES, Finding
from auditor_client.suites.suspicion.inspector import Inspector
from auditor_client.suites.tasks import Task

SECRET = "xyzzy hidden"
Q = "Which of these rivers flows through the capital of Austria?"
OPTIONS = ("the Danube", "the Rhine", "the Seine")


def item(name: str = "a", *, kind: str = "test", metadata: dict[str, Any] | None = None, **body: Any) -> Task:
    filled = {"type": "choice", "question": Q, "options": OPTIONS, "answer": 0, "scoring": "letter", **body}
    if body.get("type", "choice") != "choice":
        filled = {key: value for key, value in filled.items() if key not in ("options", "answer", "scoring")}
    values = {"id": name, "kind": kind, "category": "rivers", "metadata": metadata or {}, "task": filled}
    return Task.model_validate(values)


def found(*tasks: Task) -> list[Finding]:
    inspector = Inspector()
    for task in tasks:
        inspector.take(task)
    return inspector.findings()


def rules(*tasks: Task) -> set[str]:
    return {finding.rule for finding in found(*tasks)}


def test_a_plain_item_is_not_suspicious() -> None:
    assert rules(item()) == set()


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        ("text-answer", {"options": ("C. elegans", "a mouse", "a fly")}),
        ("same-value", {"options": ("0.5", "1/2", "3")}),
        ("same-value", {"options": ("50%", "0.50", "3")}),
        ("same-value", {"options": ("a river", "river", "the sea")}),
        ("answer-in-question", {"options": ("Austria", "Peru", "Chad"), "question": "Where in Austria is it?"}),
        ("answer-in-question", {"type": "exact", "answers": ("Austria",)}),
        ("length-cue", {"options": ("the Danube, which goes on to Bratislava and Budapest", "the Rhine", "the Seine")}),
        ("form-cue", {"options": ("the Danube.", "the Rhine", "the Seine")}),
        ("above-not-last", {"options": ("the Danube", "none of the above", "the Seine")}),
        ("about-options", {"options": ("the Danube", "the Seine", "both A and B")}),
        ("about-options", {"options": ("the Danube", "the Seine", "all of the above")}),
        ("mixed-options", {"options": ("the Danube", "12", "the Seine")}),
        ("missing-context", {"question": "According to the passage, who was there?"}),
        ("missing-context", {"question": "What does the graph shown above tell?"}),
        ("unbalanced", {"question": "Which river (in Austria is meant?"}),
        ("short", {"question": "Rivers?"}),
        ("mojibake", {"question": "Where is the cafÃ© of the composer?"}),
        ("markup", {"question": "Which river &amp; city?"}),
        ("markup", {"question": "Which <b>river</b> is it?"}),
        ("control-characters", {"question": "Which ri\u200bver is it?"}),
        ("own-grader", {"type": "exact", "answers": ("<think>the Danube",)}),
    ],
)
def test_a_suspicious_item_is_found(rule: str, body: dict[str, Any]) -> None:
    [finding] = [finding for finding in found(item(**body)) if finding.rule == rule]
    assert (ITEM_RULES[rule][0], ("a",)) == (finding.level, finding.tasks)


@pytest.mark.parametrize(
    "body",
    [
        {"question": "Which interval is [0, 1) and why is it half open?"},
        {"question": "Choose: a) one b) two. Which is it?"},
        {"question": "Où est le café de l'été, s'il vous plaît?"},
        {"question": "Which emoji is it? \U0001f468\u200d\U0001f469\u200d\U0001f467"},
        {"question": "If a < b and b > c, which is larger?"},
        {"question": "In the text editor vi, which key ends the insert mode?" + " It is a long text." * 20},
        {"options": ("1", "2", "3")},
        {"options": ("A + B", "A - B", "A * B"), "scoring": "sum"},
        {"options": ("no river", "neither", "each river")},
    ],
)
def test_an_item_that_only_looks_odd_is_left_alone(body: dict[str, Any]) -> None:
    assert rules(item(**body)) <= {"form-cue"}


def test_items_that_are_the_same_are_found_whatever_the_order_of_options() -> None:
    [finding] = found(item("a"), item("b", options=OPTIONS[::-1], answer=2))
    assert (finding.level, finding.rule, finding.tasks) == ("warning", "repeated", ("a", "b"))


def test_two_right_answers_to_one_question_are_an_error() -> None:
    assert [(f.level, f.rule) for f in found(item("a"), item("b", answer=1))] == [("error", "contradiction")]


def test_what_is_for_development_and_for_the_test_is_an_error() -> None:
    assert [(f.level, f.rule) for f in found(item("a"), item("b", kind="dev"))] == [("error", "split-leak")]
    assert rules(item("a", kind="dev"), item("b", kind="dev")) == set()


LONG = " ".join(f"word{number}" for number in range(60))


@pytest.mark.parametrize(
    ("kind", "level", "rule"), [("test", "info", "near-duplicate"), ("dev", "warning", "near-split")]
)
def test_nearly_the_same_is_found_and_the_split_counts(kind: str, level: str, rule: str) -> None:
    other = item("b", kind=kind, question=LONG.replace("word30", "other"))
    [finding] = found(item("a", question=LONG), other)
    assert (level, rule, ("a", "b")) == (finding.level, finding.rule, finding.tasks)


def test_near_duplicates_are_found_among_many_and_unlike_ones_are_not() -> None:
    chance, texts = random.Random(1), Texts()
    words = [f"w{number}" for number in range(2000)]
    for number in range(1000):
        said = chance.choices(words, k=60)
        texts.add(" ".join(said), (), "")
        if number % 100 == 0:  # one word of sixty is changed
            said[chance.randrange(60)] = "changed"
            texts.add(" ".join(said), (), "")
    near = texts.near()
    assert all(len(group) == 2 and group[1] == group[0] + 1 for group in near)
    assert len(near) == 10


def test_a_template_makes_one_group_in_linear_time() -> None:
    texts = Texts()
    for number in range(3000):
        texts.add(f"{LONG} {number}", (), "")
    [group] = texts.near()
    assert len(group) >= 2990


@pytest.mark.parametrize(("scoring", "expected"), [("letter", {"position"}), ("sum", set())])
def test_a_place_that_is_always_right_matters_where_the_model_sees_it(scoring: str, expected: set[str]) -> None:
    tasks = [
        item(
            f"t{n}",
            question=f"Question number {n} of many, about {n * 7}?",
            scoring=scoring,
            options=("aa", "bb", "cc"),
        )
        for n in range(40)
    ]
    assert {rule for rule in rules(*tasks) if rule in ("position", "length-baseline")} == expected


def test_a_length_that_is_always_right_is_found() -> None:
    tasks = [
        item(
            f"t{n}",
            question=f"Question number {n} of many?",
            options=("a b", f"much longer {n}", "c"),
            answer=1,
            scoring="sum",
        )
        for n in range(40)
    ]
    [finding] = [finding for finding in found(*tasks) if finding.rule == "length-baseline"]
    assert finding.message == "in rivers, the longest option is right in 40 of 40, by chance in 13"


def test_groups_of_unequal_size_are_found() -> None:
    tasks = [
        item(f"t{n}", question=f"Question {n} of many?", metadata={"group": "few" if n < 5 else "many"})
        for n in range(30)
    ]
    assert "in rivers, group many has 25 items and few only 5" in [finding.message for finding in found(*tasks)]


def test_no_finding_repeats_what_an_item_says() -> None:
    tasks = [
        item("a", question=f"{SECRET} (&amp;", options=(SECRET, f"the {SECRET}", "none of these", "x")),
        item("b", question=SECRET),
    ]
    said = repr(found(*tasks, item("c", question=SECRET, answer=1), item("d", kind="dev", question=f"{SECRET} (&amp;")))
    assert "contradiction" in said
    assert SECRET not in said
