"""An Inspect task as a hidden suite: what it sends and how it is scored stay as they are, or a sample is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from hypothesis import given, settings, strategies as st
from inspect_ai import Task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Scorer, answer, choice, exact, includes, match, model_graded_qa, pattern
from inspect_ai.scorer._common import match_str
from inspect_ai.solver import generate, multiple_choice, prompt_template, system_message

from attestations.documents.dialogue import ChatRequest
from attestations.errors import FileUnusable, SuiteInvalid
from attestations.patterns import compile_pattern
from auditor_client.integrations.inspect.counterparts import pattern_of
from auditor_client.integrations.inspect.importing import import_task, read_task
from auditor_client.suites.load import load_suite
from auditor_client.suites.requests import build_request
from auditor_client.suites.tasks import ChoiceTask, ExactTask, PatternTask

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own
FILE = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import match
from inspect_ai.solver import generate, prompt_template, system_message


@task
def capitals():
    return Task(
        dataset=[
            Sample(input="The capital of France?", target="Paris"),
            Sample(input="The capital of Côte d'Ivoire?", target="Yamoussoukro"),
            Sample(input="The capital of the Maldives?", target="Malé"),
        ],
        solver=[system_message("Answer in one word."), prompt_template("Question: {prompt}"), generate()],
        scorer=match(),
        config=GenerateConfig(max_tokens=12, temperature=0),
    )
"""
ASCII = st.text(st.sampled_from("\t\n" + "".join(map(chr, range(32, 127)))), max_size=40)
TARGETS = ("Paris", "yes", "a-b", "(42)", "New York", "C++")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    monkeypatch.chdir(tmp_path)


def made(scorer: Scorer, *samples: Sample, solver: Any = None) -> Task:
    return Task(dataset=list(samples), solver=solver or generate(), scorer=scorer, config=GenerateConfig(max_tokens=8))


def test_a_task_becomes_a_suite_that_asks_what_the_task_asks(tmp_path: Path) -> None:
    (tmp_path / "capitals.py").write_text(FILE)
    imported = import_task("capitals.py@capitals", tmp_path / "suite")
    suite = load_suite(tmp_path / "suite")

    assert [(item.number, "ASCII" in item.why) for item in imported.refused] == [(2, True)]
    assert [task.id for task in suite.tasks] == ["capitals-0", "capitals-1"]
    asked = build_request(suite.tasks[0], suite.manifest.prompt)
    assert isinstance(asked.request, ChatRequest)
    turns = [(message.role, message.content) for message in asked.request.messages]
    assert turns == [("system", "Answer in one word."), ("user", "Question: The capital of France?")]
    assert (asked.sampling.max_output_tokens, asked.sampling.temperature) == (12, "0")
    with pytest.raises(FileUnusable):
        import_task("capitals.py@capitals", tmp_path / "suite")


@pytest.mark.parametrize(
    ("scorer", "why"),
    [
        (match(numeric=True), "five significant digits"),
        (pattern(r"is (\w+)"), "Python's matcher"),
        (answer("word"), "Python's matcher"),
        (exact(), "--nearest"),
        (choice(), "--nearest"),
        (model_graded_qa(), "judge"),
        (includes(ignore_case=False), "either case"),
        ([match(), includes()], "2 scorers"),
    ],
)
def test_a_scorer_without_a_counterpart_is_refused_with_its_reason(scorer: Scorer, why: str) -> None:
    imported = read_task(made(scorer, Sample(input="canary-question", target="B", choices=["x", "y"])))

    [refused] = imported.refused
    assert why in refused.why
    assert "canary" not in refused.why
    assert not imported.tasks


def test_nearest_takes_choices_by_letter_and_exact_answers() -> None:
    options = Sample(input="Which?", target="B", choices=["x", "y", "z"])
    [by_letter] = read_task(made(choice(), options, solver=multiple_choice()), nearest=True).tasks
    [by_text] = read_task(made(exact(), Sample(input="Which?", target="y")), nearest=True).tasks

    assert isinstance(by_letter.task, ChoiceTask)
    assert (by_letter.task.answer, by_letter.task.scoring) == (1, "letter")
    assert isinstance(by_text.task, ExactTask)


def test_what_asks_more_than_once_or_in_another_form_is_left_out() -> None:
    agent = read_task(made(match(), Sample(input="q", target="yes"), solver=react()))
    template = [prompt_template("Q: {prompt}"), generate()]
    rendered = read_task(made(match(), Sample(input="q", target="yes"), solver=template))
    other = [system_message("Be {tone}."), generate()]
    forms = read_task(
        made(
            match(),
            Sample(input="q", target="yes", metadata={"tone": "kind"}),
            Sample(input="r", target="yes", metadata={"tone": "short"}),
            solver=other,
        )
    )

    assert "asks" in agent.refused[0].why
    assert len(rendered.tasks) == 1
    assert [len(forms.tasks), [item.number for item in forms.refused]] == [1, [1]]
    assert "another form" in forms.refused[0].why


def test_a_task_that_needs_a_sandbox_is_refused_before_anything_runs() -> None:
    task = Task(dataset=[Sample(input="q", target="yes", setup="touch ran")], solver=generate(), scorer=match())
    with pytest.raises(SuiteInvalid, match="sandbox"):
        read_task(task)
    assert not Path("ran").exists()


@pytest.mark.parametrize("location", ["begin", "end", "any", "exact"])
@given(before=ASCII, after=ASCII, target=st.sampled_from(TARGETS), said=st.sampled_from([str.upper, str.lower]))
@settings(max_examples=150)
def test_a_pattern_finds_right_what_match_finds_right(
    location: Any, before: str, after: str, target: str, said: Callable[[str], str]
) -> None:
    text = before + said(target) + after
    found = compile_pattern(pattern_of("match", {"location": location}, [target])).found_in(text)

    assert match_str(text, target, location=location)[1] == found


@given(text=ASCII, target=st.sampled_from(["a", "is", "b c", ".", "x\ny"]))
def test_a_pattern_finds_right_what_includes_finds_right(text: str, target: str) -> None:
    found = compile_pattern(pattern_of("includes", {}, [target])).found_in(text)

    assert (target.casefold() in text.casefold()) == found


def test_several_targets_are_alternatives() -> None:
    found = compile_pattern(pattern_of("match", {}, ["yes", "true"]))

    assert [found.found_in(text) for text in ("It is true.", "Yes!", "true or false")] == [True, True, False]
    assert isinstance(read_task(made(match(), Sample(input="q", target=["yes", "true"]))).tasks[0].task, PatternTask)
