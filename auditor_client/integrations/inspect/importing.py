"""An Inspect task as a hidden suite: each sample's one request, as the task itself makes it, and how it is scored.

Solvers need not be understood: what they send when the task is rehearsed is what is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from inspect_ai import Task as InspectTask
from inspect_ai._util.registry import registry_info  # logs leave out whose a scorer is
from inspect_ai.event import ModelEvent
from inspect_ai.log import EvalSample, EvalSpec
from inspect_ai.model import GenerateConfig
from inspect_ai.solver import MultipleChoiceTemplate
from pydantic import ValidationError

from attestations.answers import NORMALISATIONS, Normalisation
from attestations.documents.dialogue import ChatRequest
from attestations.errors import FileUnusable, SafeconductError, SuiteInvalid
from attestations.files import unwritable
from auditor_client.integrations.inspect.asking import DEFAULT_MAX_TOKENS, chat_request, check_supported, drawing
from auditor_client.integrations.inspect.counterparts import pattern_of
from auditor_client.integrations.inspect.rehearsing import load_task, rehearse
from auditor_client.suites.manifest import PromptFormat
from auditor_client.suites.requests import build_request
from auditor_client.suites.tasks import ChoiceTask, ExactTask, PatternTask, Task

_OURS = "inspect_ai/"  # a scorer of this name in another package is another scorer
_MOST_EPOCHS = 100
_LETTERS = "ABCDEFGHIJ"


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
    notes: list[str] = field(default_factory=list)  # what of the task a suite does not hold; no content
    form: PromptFormat | None = None
    epochs: int = 1


def import_task(spec: str, into: Path, *, arguments: Sequence[str] = (), nearest: bool = False) -> Imported:
    """Write the suite of an Inspect task into a new folder.

    Args:
        spec: `FILE.py`, `FILE.py@NAME` or a registered name.
        into: the suite's folder.
        arguments: the task's own, NAME=VALUE.
        nearest: whether scorers without an exact counterpart are imported under the grader nearest to them.

    Raises:
        FileUnusable: the folder is not empty or cannot be written.
        SuiteInvalid: there is not exactly one task of this name, it needs a sandbox, or no sample can be imported.
    """
    if into.exists() and any(into.iterdir()):
        raise FileUnusable(f"{into} is not empty; give another folder", path=str(into))
    imported = read_task(load_task(spec, arguments), nearest=nearest)
    if not imported.tasks:
        why = imported.refused[0].why if imported.refused else "it has no samples"
        raise SuiteInvalid(f"no sample can be imported: {why}", rule="empty")
    _write(imported, into)
    return imported


def read_task(task: InspectTask, *, nearest: bool = False) -> Imported:
    """Return the suite's tasks, and why samples are left out.

    Raises:
        SuiteInvalid: the task needs a sandbox, or cannot be run.
    """
    if task.sandbox is not None or any(sample.sandbox or sample.setup or sample.files for sample in task.dataset):
        raise SuiteInvalid("the task needs a sandbox: a suite of single requests cannot hold it", rule="sandbox")
    notes = _not_held(task)
    spec, runs = rehearse(task)
    names = [registry_info(scorer).name for scorer in task.scorer or ()]
    imported = Imported(spec.task, notes=notes, epochs=_epochs(task))
    for number, run in enumerate(runs):
        try:
            if run.sample is None or run.call is None:
                raise run.why or SuiteInvalid("the sample asks nothing", rule="turns")
            _take(imported, number, run.sample, run.call, _scorer(names, spec), nearest=nearest)
        except SafeconductError as error:
            imported.refused.append(Refused(number, error.message))
        except ValidationError as error:
            place = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"])
            imported.refused.append(Refused(number, f"a suite does not take its {place}"))
    return imported


def _not_held(task: InspectTask) -> list[str]:
    with_metadata = sum(bool(sample.metadata) for sample in task.dataset)
    held = (task.epochs or 1) in (1, _epochs(task))
    left = {
        f"the metadata of {with_metadata} samples": with_metadata > 0,
        f"{task.epochs} epochs with a reducer of their own": not held,
        "metrics of the task: a suite's figure is the share of right answers": task.metrics is not None,
        "the model the task names: the agreement names the variant": task.model is not None,
        "early stopping": task.early_stopping is not None,
    }
    return [what for what, is_there in left.items() if is_there]


def _epochs(task: InspectTask) -> int:
    """Return the plan's epochs: those of a task whose samples count by their mean, as ours do."""
    reducers = [registry_info(reducer).name.rpartition("/")[2] for reducer in task.epochs_reducer or ()]
    return task.epochs or 1 if reducers in ([], ["mean"]) and (task.epochs or 1) <= _MOST_EPOCHS else 1


def _scorer(names: Sequence[str], spec: EvalSpec) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the task's only scorer, of Inspect's own, and its options."""
    if len(names) != 1 or len(spec.scorers or []) != 1:
        raise SuiteInvalid(f"{len(names)} scorers: a task has one grader", rule="scorer")
    if not names[0].startswith(_OURS):
        raise SuiteInvalid("no grader says exactly the same: the scorer is the task's own", rule="scorer")
    return names[0].removeprefix(_OURS), (spec.scorers or [])[0].options or {}


def _take(
    imported: Imported,
    number: int,
    sample: EvalSample,
    call: ModelEvent,
    scorer: tuple[str, Mapping[str, Any]],
    *,
    nearest: bool,
) -> None:
    check_supported(call.config, call.tool_choice, ())
    if call.tools:
        raise SuiteInvalid("the sample offers tools", rule="tools")
    request = chat_request(call.input, (), call.config)
    body, template = _body(sample, request, scorer, nearest=nearest)
    form = _form(request, call.config, template)
    if form != (imported.form or form):
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
    imported.form = form
    imported.tasks.append(made)


def _body(
    sample: EvalSample, request: ChatRequest, scorer: tuple[str, Mapping[str, Any]], *, nearest: bool
) -> tuple[ChoiceTask | ExactTask | PatternTask, str | None]:
    """Return the task's body, and the template of a choice."""
    name, options = scorer
    targets = [sample.target] if isinstance(sample.target, str) else list(sample.target)
    question = request.messages[-1].content
    try:
        if nearest and name == "choice":
            return _choice(sample, targets)
        if nearest and name == "exact":
            rules: tuple[Normalisation, ...] = (*NORMALISATIONS, "strip_article")
            return ExactTask(type="exact", question=question, answers=tuple(targets), normalise=rules), None
        pattern = pattern_of(name, options, targets)
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
    if config.logprobs:
        raise SuiteInvalid("the sample asks for log-probabilities, which a suite's chat does not", rule="logprobs")
    values: dict[str, Any] = {} if template is None else {"letter": template}
    return PromptFormat(
        name="inspect",
        system=request.messages[0].content if roles[0] == "system" else None,
        max_output_tokens=DEFAULT_MAX_TOKENS if config.max_tokens is None else config.max_tokens,
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
        "plan": {"metrics": [{"id": "overall"}], **({"epochs": imported.epochs} if imported.epochs > 1 else {})},
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
