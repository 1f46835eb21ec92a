"""Reads a suite's folder; every complaint names file, line, task and rule, and repeats nothing of the content."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import yaml
from pydantic import ValidationError

from attestations.errors import FileUnusable, SuiteInvalid
from attestations.files import read_file, shown
from auditor_client.suites.manifest import Manifest
from auditor_client.suites.tasks import Task

MAX_FILE_BYTES = 64 << 20
MAX_MANIFEST_BYTES = 1 << 20
MAX_LINE_CHARACTERS = 200_000
MAX_TASKS = 100_000
MAX_DEPTH = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")


class TaskFiles(Sequence[Task]):
    """The tasks of a folder, read again whenever they are gone through: a suite of any size takes little memory."""

    def __init__(self, folder: Path) -> None:
        """Read every task once.

        Raises:
            FileUnusable, SuiteInvalid: a file cannot be read, or holds what is no task.
        """
        self._files = sorted((folder / "tasks").glob("*.jsonl"))
        if not self._files:
            raise SuiteInvalid(f"{shown(folder / 'tasks')} holds no .jsonl file", rule="empty")
        self._digests: dict[Path, bytes] = {}
        places: dict[str, tuple[Path, int]] = {}
        for path, number, task in self._read():
            if task.id in places:
                first, line = places[task.id]
                message = f"the id stands in {shown(first.name)} line {line} as well"
                raise _invalid(message, shown(path.name), number, rule="duplicate", task=task.id)
            places[task.id] = (path, number)
            if len(places) > MAX_TASKS:
                raise SuiteInvalid("a suite of more than 100,000 tasks", rule="size")
        self._length = len(places)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Task]:
        return (task for _, _, task in self._read())

    @overload
    def __getitem__(self, place: int) -> Task: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Task, ...]: ...
    def __getitem__(self, place: int | slice) -> Task | tuple[Task, ...]:
        return tuple(self)[place]

    def _read(self) -> Iterator[tuple[Path, int, Task]]:
        for path in self._files:
            data = _bytes(path, MAX_FILE_BYTES)
            digest = hashlib.sha256(data).digest()
            if self._digests.setdefault(path, digest) != digest:  # else what is committed is not what was checked
                raise FileUnusable(f"{shown(path)} was changed while it was read", path=shown(path))
            for number, task in parse_tasks(data, file=shown(path.name)):
                yield path, number, task


@dataclass(frozen=True, repr=False)
class Suite:
    """A suite as its author wrote it."""

    manifest: Manifest
    tasks: Sequence[Task]


def load_suite(folder: Path) -> Suite:
    """Read a suite.

    Raises:
        FileUnusable: a file is missing or cannot be read.
        SuiteInvalid: something in it does not make sense.
    """
    return Suite(parse_manifest(_bytes(folder / "suite.yaml", MAX_MANIFEST_BYTES)), TaskFiles(folder))


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
    try:
        manifest = Manifest.model_validate(_tuples(value))
        manifest.model_dump_json()  # a lone surrogate has no form as bytes
    except ValidationError as error:
        raise _explained(error, "suite.yaml", 0) from None
    except (ValueError, RecursionError):
        raise _invalid("text that is not Unicode", "suite.yaml", 0, rule="encoding") from None
    return manifest


def parse_tasks(data: bytes, *, file: str) -> Iterator[tuple[int, Task]]:
    """Read the text of a task file: (line number, task) for each line that is not blank.

    Raises:
        SuiteInvalid: a line is not JSON, or not a task.
    """
    for number, raw in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), start=1):
        line = _text(raw, file)
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
        try:
            yield number, Task.model_validate_json(line)  # takes lists for tuples, and refuses half a character
        except ValidationError as error:
            name = value.get("id") if isinstance(value, dict) else None
            task = name if isinstance(name, str) and _NAME.fullmatch(name) else ""
            raise _explained(error, file, number, task=task) from None


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
    data = read_file(path, limit)
    if len(data) > limit:
        raise FileUnusable(f"{shown(path)} is larger than {limit >> 20} MiB", path=shown(path))
    return data


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SuiteInvalid(f"{file} is not UTF-8", file=file, rule="encoding") from None


def _explained(error: ValidationError, file: str, line: int, *, task: str = "") -> SuiteInvalid:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    loc = first["loc"]
    loc = loc[: loc.index("metadata") + 1] if "metadata" in loc else loc  # what stands below it is the author's
    known = (str(step) for step in loc if isinstance(step, int) or step.isidentifier())
    message = _HINTS.get(first["type"], first["msg"].removeprefix("Value error, "))
    # An unknown name is the author's own text: it is not repeated.
    field = "" if first["type"] == "extra_forbidden" else ".".join(known)[:120]
    return _invalid(f"{field}: {message}" if field else message, file, line, rule=first["type"], task=task)


_HINTS = {
    "extra_forbidden": "a name that the format does not know",
    "string_type": "a text is wanted here; numbers such as 0.5 are written in quotes",
    "tuple_type": "a list is wanted here",
    "missing": "missing",
    "union_tag_invalid": "not a type of task",
    "union_tag_not_found": "the task names no type",
    "json_invalid": "text that is not Unicode",
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
