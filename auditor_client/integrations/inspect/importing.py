"""An Inspect task as a hidden suite: each sample's one request, as the task itself makes it, and how it is scored.

The task runs against a model that says nothing, so solvers need not be understood: what they would send is what is
imported. Inspect's log of that run holds every text and is removed with its folder.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from inspect_ai import Task as InspectTask, eval as evaluate
from inspect_ai._eval.loader import load_tasks  # no public way from a name to a task
from inspect_ai.event import ModelEvent
from inspect_ai.log import EvalSample, EvalSpec, read_eval_log
from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.solver import MultipleChoiceTemplate
from inspect_ai.tool import ToolChoice, ToolInfo
from pydantic import ValidationError

from attestations.answers import NORMALISATIONS, Normalisation
from attestations.documents.dialogue import ChatRequest
from attestations.errors import FileUnusable, SafeconductError, SuiteInvalid
from attestations.files import unwritable
from auditor_client.integrations.inspect.asking import DEFAULT_MAX_TOKENS, chat_request, check_supported, drawing
from auditor_client.integrations.inspect.counterparts import pattern_of
from auditor_client.suites.manifest import PromptFormat
from auditor_client.suites.requests import build_request
from auditor_client.suites.tasks import ChoiceTask, ExactTask, PatternTask, Task

_TURNS = 8  # a task that asks more often than once is refused; this ends one that would never stop
_LETTERS = "ABCDEFGHIJ"


class SilentAPI(ModelAPI):
    """A model that says nothing, and counts nothing, as counting would load a tokenizer from the network."""

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002, ARG002 - the library's signature
        tools: list[ToolInfo],  # noqa: ARG002
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,  # noqa: ARG002
    ) -> ModelOutput:
        """Return an empty answer."""
        return ModelOutput.from_content(self.model_name, "")


@modelapi(name="safeconduct-silent")
def silent() -> type[ModelAPI]:
    """Return the model that tasks are rehearsed against."""
    return SilentAPI


@dataclass(frozen=True)
class Refused:
    """A sample that is not imported: its number in the dataset, and why; no content."""

    number: int
    why: str


@dataclass
class Imported:
    """What became of a task."""

    name: str
    tasks: list[Task] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    form: PromptFormat | None = None


def import_task(spec: str, into: Path, *, nearest: bool = False) -> Imported:
    """Write the suite of an Inspect task into a new folder.

    Args:
        spec: `FILE.py`, `FILE.py@NAME` or a registered name.
        into: the suite's folder.
        nearest: whether scorers without an exact counterpart are imported under the grader nearest to them.

    Raises:
        FileUnusable: the folder is not empty or cannot be written.
        SuiteInvalid: there is not exactly one task of this name, it needs a sandbox, or no sample can be imported.
    """
    if into.exists() and any(into.iterdir()):
        raise FileUnusable(f"{into} is not empty; give another folder", path=str(into))
    found = load_tasks([spec])
    if len(found) != 1:
        raise SuiteInvalid(f"{len(found)} tasks are found: name one as FILE.py@NAME", rule="task")
    imported = read_task(found[0], nearest=nearest)
    if not imported.tasks:
        why = imported.refused[0].why if imported.refused else "it has no samples"
        raise SuiteInvalid(f"no sample can be imported: {why}", rule="empty")
    _write(imported, into)
    return imported


def read_task(task: InspectTask, *, nearest: bool = False) -> Imported:
    """Return the suite's tasks, and why samples are left out.

    Raises:
        SuiteInvalid: the task needs a sandbox.
    """
    if task.sandbox is not None or any(sample.sandbox or sample.setup or sample.files for sample in task.dataset):
        raise SuiteInvalid("the task needs a sandbox: a suite of single requests cannot hold it", rule="sandbox")
    spec, samples = _rehearsed(task)
    imported = Imported(spec.task)
    for number, sample in enumerate(samples):
        try:
            _take(imported, number, sample, spec, nearest=nearest)
        except SafeconductError as error:
            imported.refused.append(Refused(number, error.message))
    return imported


def _rehearsed(task: InspectTask) -> tuple[EvalSpec, Sequence[EvalSample]]:
    with tempfile.TemporaryDirectory(prefix="sc-import-") as folder:  # mode 0700
        [log] = evaluate(
            task,
            model="safeconduct-silent/model",
            epochs=1,
            score=False,
            turn_limit=_TURNS,
            fail_on_error=False,
            log_dir=folder,
            log_samples=True,
            display="none",
        )
        whole = read_eval_log(log.location, resolve_attachments=True)
    order = {str(sample.id): number for number, sample in enumerate(task.dataset)}
    samples = sorted(whole.samples or [], key=lambda sample: order.get(str(sample.id), 0))
    return whole.eval, samples


def _take(imported: Imported, number: int, sample: EvalSample, spec: EvalSpec, *, nearest: bool) -> None:
    calls = [event for event in sample.events if isinstance(event, ModelEvent)]
    if sample.error is not None or len(calls) != 1:
        raise SuiteInvalid(f"the sample asks {len(calls)} times: a suite's task asks once", rule="turns")
    [call] = calls
    check_supported(call.config, call.tool_choice, ())
    if call.tools:
        raise SuiteInvalid("the sample offers tools", rule="tools")
    request = chat_request(call.input, (), call.config)
    body, template = _body(sample, request, spec, nearest=nearest)
    form = _form(request, call.config, template)
    if imported.form is None:
        imported.form = form
    if form != imported.form:
        raise SuiteInvalid("the sample is asked in another form than the one before it", rule="form")
    name = re.sub(r"[^a-z0-9]+", "-", imported.name.rpartition("/")[2].casefold()).strip("-") or "task"
    made = Task(
        id=f"{name}-{number}",
        kind="test",
        category=name,
        task=body,
        provenance=f"the Inspect task {imported.name}, sample {sample.id}"[:2000],
    )
    if build_request(made, form).request != request:
        raise SuiteInvalid("the suite's form does not give the sample's request", rule="form")
    imported.tasks.append(made)


def _body(
    sample: EvalSample, request: ChatRequest, spec: EvalSpec, *, nearest: bool
) -> tuple[ChoiceTask | ExactTask | PatternTask, str | None]:
    """Return the task's body, and the template of a choice."""
    scorers = spec.scorers or []
    if len(scorers) != 1:
        raise SuiteInvalid(f"{len(scorers)} scorers: a task has one grader", rule="scorer")
    [scorer] = scorers
    name = scorer.name.rpartition("/")[2]
    targets = [sample.target] if isinstance(sample.target, str) else list(sample.target)
    question = request.messages[-1].content
    try:
        if nearest and name == "choice":
            return _choice(sample, targets)
        if nearest and name == "exact":
            rules: tuple[Normalisation, ...] = (*NORMALISATIONS, "strip_article")
            return ExactTask(type="exact", question=question, answers=tuple(targets), normalise=rules), None
        pattern = pattern_of(name, scorer.options or {}, targets)
        return PatternTask(type="pattern", question=question, pattern=pattern), None
    except ValidationError as error:
        raise SuiteInvalid(f"the format does not take it: {error.errors(include_input=False)[0]['msg']}") from None


def _choice(sample: EvalSample, targets: list[str]) -> tuple[ChoiceTask, str]:
    options, letters = sample.choices or [], [target for target in targets if target in _LETTERS]
    if len(targets) != 1 or len(letters) != 1 or not isinstance(sample.input, str):
        raise SuiteInvalid("a choice has one right option and a question of plain text", rule="choice")
    shown = ",".join(_LETTERS[: len(options)])
    template = str(MultipleChoiceTemplate.SINGLE_ANSWER.value).replace("{letters}", shown)
    body = ChoiceTask(
        type="choice",
        question=sample.input,
        options=tuple(options),
        answer=_LETTERS.index(targets[0]),
        scoring="letter",
    )
    return body, template.replace("{choices}", "{options}")


def _form(request: ChatRequest, config: GenerateConfig, template: str | None) -> PromptFormat:
    roles = [message.role for message in request.messages]
    if roles not in (["user"], ["system", "user"]):
        raise SuiteInvalid("the sample is a conversation of several turns", rule="turns")
    if request.stop:
        raise SuiteInvalid("the sample names stop sequences, which a suite does not hold", rule="stop")
    values: dict[str, Any] = {} if template is None else {"letter": template}
    return PromptFormat(
        name="inspect",
        system=request.messages[0].content if roles[0] == "system" else None,
        max_output_tokens=config.max_tokens or DEFAULT_MAX_TOKENS,
        **drawing(config),
        **values,
    )


def _write(imported: Imported, into: Path) -> None:
    form = imported.form or PromptFormat()
    name = imported.tasks[0].category
    manifest = {
        "format": "safeconduct-suite/v1",
        "id": name,
        "title": f"Inspect task {name}",
        "version": "1",
        "description": "Imported; say here what it is a proxy for, and add controls.",
        "plan": {"metrics": [{"id": "overall"}]},
        "prompt": {key: value for key, value in form.model_dump().items() if value is not None},
    }
    try:
        (into / "tasks").mkdir(parents=True, mode=0o700)
        (into / "suite.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
        (into / "tasks" / "inspect.jsonl").write_text("".join(_lines(imported.tasks)), encoding="utf-8")
    except OSError as error:
        raise unwritable(into, error) from None


def _lines(tasks: Sequence[Task]) -> Iterator[str]:
    for task in tasks:
        yield json.dumps(task.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n"
