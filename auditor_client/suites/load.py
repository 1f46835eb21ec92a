"""Reads a suite's folder; every complaint names file, line, task and rule, and repeats nothing of the content."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from attestations.errors import FileUnusable, SuiteInvalid
from auditor_client.suites.format import Manifest, Task

MAX_FILE_BYTES = 64 << 20
MAX_MANIFEST_BYTES = 1 << 20
MAX_LINE_CHARACTERS = 200_000
MAX_TASKS = 100_000
MAX_DEPTH = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, repr=False)
class Suite:
    """A suite as its author wrote it."""

    manifest: Manifest
    tasks: tuple[Task, ...]


def load_suite(folder: Path) -> Suite:
    """Read a suite.

    Raises:
        FileUnusable: a file is missing or cannot be read.
        SuiteInvalid: something in it does not make sense.
    """
    manifest = parse_manifest(_bytes(folder / "suite.yaml", MAX_MANIFEST_BYTES))
    files = sorted((folder / "tasks").glob("*.jsonl"))
    if not files:
        raise SuiteInvalid(f"{folder / 'tasks'} holds no .jsonl file", rule="empty")
    tasks: list[Task] = []
    places: dict[str, str] = {}
    for path in files:
        for number, task in parse_tasks(_bytes(path, MAX_FILE_BYTES), file=path.name):
            if task.id in places:
                message = f"the id stands in {places[task.id]} as well"
                raise _invalid(message, path.name, number, rule="duplicate", task=task.id)
            places[task.id] = f"{path.name} line {number}"
            tasks.append(task)
            if len(tasks) > MAX_TASKS:
                raise SuiteInvalid("a suite of more than 100,000 tasks", rule="size")
    return Suite(manifest, tuple(tasks))


def parse_manifest(data: bytes) -> Manifest:
    """Read the text of `suite.yaml`.

    Raises:
        SuiteInvalid: it is not YAML, or not a manifest.
    """
    text = _text(data, "suite.yaml")
    try:
        _check_events(text)
        value = yaml.load(text, Loader=_ManifestLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _invalid("not YAML, or a key stands twice", "suite.yaml", line, rule="yaml") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise _invalid("not YAML", "suite.yaml", 0, rule="yaml") from None
    return _model(Manifest, value, file="suite.yaml", line=0)


def parse_tasks(data: bytes, *, file: str) -> list[tuple[int, Task]]:
    """Read the text of a task file: (line number, task) for each line that is not blank.

    Raises:
        SuiteInvalid: a line is not JSON, or not a task.
    """
    found = []
    for number, line in enumerate(_text(data, file).split("\n"), start=1):
        if not line.strip():
            continue
        if len(line) > MAX_LINE_CHARACTERS:
            raise _invalid(f"longer than {MAX_LINE_CHARACTERS} characters", file, number, rule="size")
        try:
            value = json.loads(line, object_pairs_hook=_no_duplicates)
        except _KeyTwiceError:
            raise _invalid("a key stands twice", file, number, rule="duplicate-key") from None
        except (ValueError, RecursionError):
            raise _invalid("not JSON", file, number, rule="json") from None
        found.append((number, _model(Task, value, file=file, line=number)))
    return found


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        # One node, many places: aliases make a small file huge, and a suite has no use for them.
        if isinstance(event, yaml.AliasEvent):
            raise _invalid("aliases are not of the format", "suite.yaml", 0, rule="alias")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:  # the library takes quadratic time over nesting
            raise _invalid("nested too deeply", "suite.yaml", 0, rule="depth")


class _KeyTwiceError(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _KeyTwiceError
    return dict(pairs)


class _ManifestLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _bytes(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise FileUnusable(f"{path} cannot be read: {error.strerror}", path=str(path)) from None
    if len(data) > limit:
        raise FileUnusable(f"{path} is larger than {limit >> 20} MiB", path=str(path))
    return data


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SuiteInvalid(f"{file} is not UTF-8", file=file, rule="encoding") from None


def _model(kind: type[M], value: Any, *, file: str, line: int) -> M:
    name = value.get("id") if isinstance(value, dict) else None
    task = name if kind is Task and isinstance(name, str) and _NAME.fullmatch(name) else ""
    try:
        model = kind.model_validate(_tuples(value))
        model.model_dump_json()  # a lone surrogate has no form as bytes
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        known = (str(step) for step in first["loc"] if isinstance(step, int) or step.isidentifier())
        message = _HINTS.get(first["type"], first["msg"].removeprefix("Value error, "))
        # An unknown name is the author's own text: it is not repeated.
        field = "" if first["type"] == "extra_forbidden" else ".".join(known)[:120]
        raise _invalid(f"{field}: {message}" if field else message, file, line, rule=first["type"], task=task) from None
    except (ValueError, RecursionError):
        raise _invalid("text that is not Unicode", file, line, rule="encoding", task=task) from None
    return model


_HINTS = {
    "extra_forbidden": "a name that the format does not know",
    "string_type": "a text is wanted here; numbers such as 0.5 are written in quotes",
    "missing": "missing",
    "union_tag_invalid": "not a type of task",
    "union_tag_not_found": "the task names no type",
    "model_type": "an object with names is wanted here",
    "model_attributes_type": "an object with names is wanted here",
}


def _invalid(message: str, file: str, line: int, *, rule: str, task: str = "") -> SuiteInvalid:
    where = f"{file} line {line}" if line else file
    about = f" (task {task})" if task else ""
    return SuiteInvalid(f"{where}{about}: {message}", file=file, line=str(line), rule=rule, task=task)


def _tuples(value: Any) -> Any:
    # Models hold tuples, JSON holds lists; strict mode would refuse one for the other.
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
