"""An import of an Inspect task tells of every sample and of what is not carried over, and asks nobody else's model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai import Epochs, Task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, match, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, multiple_choice, solver

from attestations.errors import FileUnusable, SuiteInvalid
from auditor_client.integrations.inspect.importing import Imported, import_task, read_task
from auditor_client.suites.load import load_suite

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    monkeypatch.chdir(tmp_path)


def yes() -> Sample:
    return Sample(input="canary-question", target="yes")


def read(*samples: Sample, **how: Any) -> Imported:
    return read_task(Task(dataset=list(samples or [yes()]), **{"scorer": match(), **how}))


def why(imported: Imported) -> list[tuple[int, str]]:
    assert "canary" not in repr(imported.refused)
    return [(item.number, item.why) for item in imported.refused]


@solver
def asking(*, role: str | None = None, after: str = "", error: str | None = None) -> Solver:
    """Ask a role, write something after the answer, or fail."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if error is not None:
            raise ValueError(error + state.input_text)
        if role is not None:
            state.output = await get_model(role=role).generate(state.input_text)
            return state
        state = await generate(state)
        state.output.completion += after
        return state

    return solve


@scorer(metrics=[accuracy()], name="match")
def another() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value="I")

    return score


def test_a_scorer_that_only_has_the_name_of_inspects_is_the_tasks_own() -> None:
    assert ["the scorer is the task's own" in text for _, text in why(read(scorer=another()))] == [True]


def test_the_model_a_task_names_is_not_asked() -> None:
    asked: list[object] = []

    def answer(*given: object) -> ModelOutput:
        asked.append(given)
        return ModelOutput.from_content("mockllm", "canary")

    named = get_model("mockllm/model", custom_outputs=answer)
    imported = read(model=named, model_roles={"critic": named})
    role = read(solver=asking(role="critic"), model_roles={"critic": named})

    assert (len(imported.tasks), ["the model the task names" in note for note in imported.notes]) == (1, [True])
    assert ["another model" in text for _, text in why(role)] == [True]
    assert asked == []


def test_what_changes_with_the_answer_or_changes_the_answer_is_left_out() -> None:
    options = Sample(input="Which?", target="A", choices=[str(number) for number in range(10)])

    assert ["before it is scored" in text for _, text in why(read(solver=asking(after="yes")))] == [True]
    assert ["every run" in text for _, text in why(read(options, solver=multiple_choice(shuffle=True)))] == [True]


def test_a_sample_that_fails_is_told_without_what_it_raised() -> None:
    assert ["own code fails" in text for _, text in why(read(solver=asking(error="canary")))] == [True]


def test_a_sample_inspect_loses_is_left_out_by_its_number() -> None:
    lost = why(read(yes(), Sample(input="canary \ud800", target="yes")))

    assert lost[-1] == (1, "Inspect ended before it: a text of the task has no form in its log")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (GenerateConfig(logprobs=True), "log-probabilities"),
        (GenerateConfig(max_tokens=5000), "max_output_tokens"),
        (GenerateConfig(max_tokens=0), "max_output_tokens"),
        (GenerateConfig(reasoning_effort="high"), "reasoning_effort"),
        (GenerateConfig(temperature=3.0), "temperature"),
    ],
)
def test_a_setting_a_suite_does_not_hold_is_told(config: GenerateConfig, reason: str) -> None:
    assert [reason in text for _, text in why(read(config=config))] == [True]


def test_what_a_suite_does_not_hold_of_a_task_is_noted_and_a_mean_over_epochs_is_held() -> None:
    told = Sample(input="q", target="yes", metadata={"canary": 1})
    reduced = read(told, epochs=Epochs(5, "pass_at_1"), metrics=[mean()])
    averaged = read(epochs=5)

    assert len(reduced.notes) == 3
    for word in ("the metadata of 1 samples", "5 epochs", "metrics of the task"):
        assert word in "\n".join(reduced.notes)
    assert (reduced.epochs, averaged.epochs, averaged.notes) == (1, 5, [])


FILE = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match

@task
def short(questions: int = 1):
    return Task(dataset=[Sample(input=f"q{i}", target="yes") for i in range(questions)], scorer=match(), epochs=3)

@task
def unreachable():
    raise ConnectionError("canary.example")

@task
def twice():
    return Task(dataset=[Sample(id="a", input="q", target="yes"), Sample(id="a", input="r", target="yes")])
"""


def test_a_task_that_cannot_be_loaded_or_run_is_refused_and_a_plan_holds_the_epochs(tmp_path: Path) -> None:
    Path("t.py").write_text(FILE)
    imported = import_task("t.py@short", tmp_path / "suite", arguments=("questions=2",))

    assert len(imported.tasks) == 2
    assert load_suite(tmp_path / "suite").manifest.plan.epochs == 3
    for name, reason in (("unreachable", r"\(ConnectionError\)"), ("none", "loaded"), ("twice", "cannot be run")):
        with pytest.raises(SuiteInvalid, match=reason) as refused:
            import_task(f"t.py@{name}", tmp_path / name)
        assert "canary" not in str(refused.value)
    for given, reason in (("answers=2", "no argument answers"), ("2", "NAME=VALUE"), ("questions=[2", "YAML")):
        with pytest.raises(SuiteInvalid, match=reason):
            import_task("t.py@short", tmp_path / "other", arguments=(given,))
    with pytest.raises(FileUnusable, match="no file"):
        import_task("other.py", tmp_path / "other")
