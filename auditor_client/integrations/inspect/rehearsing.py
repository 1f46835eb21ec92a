"""An Inspect task is run against a model that answers nothing of worth, so what its solvers would send is known.

It runs twice, with two answers: what a suite can hold asks the same both times, and leaves the answer as it was given.
Inspect's logs of these runs hold every text and are removed with their folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval as evaluate, task_with
from inspect_ai._eval.loader import load_tasks  # no public way from a name to a task
from inspect_ai._util.config import parse_cli_args
from inspect_ai._util.registry import registry_params
from inspect_ai.event import ModelEvent
from inspect_ai.log import EvalLog, EvalSample, EvalSpec, read_eval_log
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo
from yaml import YAMLError

from attestations.errors import FileUnusable, SafeconductError, SuiteInvalid
from attestations.files import shown

ANSWERS = ("", "ANSWER: B")  # nothing, and what solvers that look for an answer would find one in
_MODEL = "safeconduct-silent/model"
_SHOWS = "`inspect eval` with --model mockllm/model shows how"
_TURNS = 8  # a task that asks more often than once is refused; this ends one that would never stop


class SilentAPI(ModelAPI):
    """A model that always says the same, and counts nothing, as counting would load a tokenizer from the network."""

    def __init__(self, model_name: str, said: str = "", **_: Any) -> None:
        super().__init__(model_name)
        self._said = said

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002, ARG002 - the library's signature
        tools: list[ToolInfo],  # noqa: ARG002
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,  # noqa: ARG002
    ) -> ModelOutput:
        """Return the one answer."""
        return ModelOutput.from_content(self.model_name, self._said)

    async def count_text_tokens(self, text: str) -> int:
        """Return a rough number: what is asked does not depend on it."""
        return len(text)


@modelapi(name="safeconduct-silent")
def silent() -> type[ModelAPI]:
    """Return the model that tasks are rehearsed against."""
    return SilentAPI


@dataclass(frozen=True, repr=False)
class Rehearsed:
    """One sample's run: what it asked, or why that is nothing a suite can hold."""

    sample: EvalSample | None
    call: ModelEvent | None = None
    why: SuiteInvalid | None = None


def load_task(spec: str, arguments: Sequence[str] = ()) -> Task:
    """Return the one task of a name.

    Args:
        spec: `FILE.py`, `FILE.py@NAME` or a registered name.
        arguments: the task's own, as `inspect eval -T` takes them: NAME=VALUE.

    Raises:
        FileUnusable: there is no such file.
        SuiteInvalid: there is not exactly one task, it takes no such argument, or its own code fails, as without the
            network its data comes from.
    """
    try:
        given = parse_cli_args(tuple(arguments))
    except YAMLError:
        given = {}
    if len(given) != len(arguments):
        raise SuiteInvalid("an argument of a task is written NAME=VALUE, each name once, VALUE as YAML", rule="task")
    file = spec.partition("@")[0]
    if file.endswith(".py") and not Path(file).is_file():
        raise FileUnusable(f"there is no file {file}", path=file)
    try:
        found = load_tasks([spec], given)
    except SafeconductError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a stranger's code raises; its words could hold content
        raise SuiteInvalid(f"the task cannot be loaded ({type(error).__name__}): {_SHOWS}", rule="task") from None
    if len(found) != 1:
        raise SuiteInvalid(f"{len(found)} tasks are found: name one as FILE.py@NAME", rule="task")
    unknown = sorted(given.keys() - registry_params(found[0]).keys())
    if unknown:
        raise SuiteInvalid(f"the task takes no argument {shown(unknown[0])}", rule="task")
    return found[0]


def rehearse(task: Task) -> tuple[EvalSpec, list[Rehearsed]]:
    """Return what each sample of the task asks, in the dataset's order, none left out.

    The task is changed: it and its roles ask no model of their own.

    Raises:
        SuiteInvalid: Inspect cannot run the task.
    """
    runs = [_run(task, said) for said in ANSWERS]
    by_id = [{str(sample.id): sample for sample in log.samples or []} for log in runs]
    # Inspect numbers samples without an id from 1 when it runs them, in the dataset itself.
    names = [str(sample.id) for sample in task.dataset]
    return runs[0].eval, [_rehearsed([samples.get(name) for samples in by_id]) for name in names]


def _run(task: Task, said: str) -> EvalLog:
    model = get_model(_MODEL, said=said, memoize=False)
    roles: dict[str, str | Model] = dict.fromkeys(task.model_roles or (), model)
    with tempfile.TemporaryDirectory(prefix="sc-import-") as folder, _untraced():  # mode 0700
        try:
            [log] = evaluate(
                task_with(task, model=model, model_roles=roles),
                model=model,
                epochs=1,
                score=False,
                turn_limit=_TURNS,
                fail_on_error=False,
                log_dir=folder,
                log_samples=True,
                log_realtime=False,  # else the texts lie in Inspect's own folder as long as it runs
                display="none",
            )
            return read_eval_log(log.location, resolve_attachments=True)
        except SafeconductError:
            raise
        except Exception as error:  # noqa: BLE001 - see `load_task`
            raise SuiteInvalid(f"the task cannot be run ({type(error).__name__}): {_SHOWS}", rule="task") from None


@contextmanager
def _untraced() -> Iterator[None]:
    """Keep samples that fail out of Inspect's trace, which stays in the user's home and repeats what they raise."""
    before = os.environ.get("INSPECT_TRACE_LEVEL")
    os.environ["INSPECT_TRACE_LEVEL"] = "CRITICAL"
    try:
        yield
    finally:
        del os.environ["INSPECT_TRACE_LEVEL"]
        if before is not None:
            os.environ["INSPECT_TRACE_LEVEL"] = before


def _rehearsed(runs: list[EvalSample | None]) -> Rehearsed:
    samples = [sample for sample in runs if sample is not None]
    if len(samples) < len(runs):
        return Rehearsed(None, why=_none("Inspect ended before it: a text of the task has no form in its log", "task"))
    first, call = samples[0], None
    try:
        calls = [_only_call(sample) for sample in samples]
        call = calls[0]
        if len({_asked(each) for each in calls}) > 1:
            raise _none("what the sample asks is not the same in every run", "changing")
        if any(sample.output.completion != said for sample, said in zip(samples, ANSWERS, strict=True)):
            raise _none("a solver changes the answer before it is scored", "answer")
    except SuiteInvalid as why:
        return Rehearsed(first, why=why)
    return Rehearsed(first, call)


def _only_call(sample: EvalSample) -> ModelEvent:
    calls = [event for event in sample.events if isinstance(event, ModelEvent)]
    if sample.error is not None:
        raise _none(f"the task's own code fails on the sample: {_SHOWS}", "task")
    if len(calls) != 1:
        raise _none(f"the sample asks {len(calls)} times: a suite's task asks once", "turns")
    [call] = calls
    if call.model != _MODEL or call.role is not None:
        raise _none("the sample asks another model than the one that is evaluated", "model")
    return call


def _asked(call: ModelEvent) -> str:
    turns = [message.model_dump_json(exclude={"id", "metadata"}) for message in call.input]
    return "\n".join([*turns, call.config.model_dump_json()])


def _none(why: str, rule: str) -> SuiteInvalid:
    return SuiteInvalid(why, rule=rule)
