"""From a stranger's files to a suite's folder, which appears whole or not at all.

Items are gone through twice. The first time they are read, judged and set aside; then the split is decided, and the
second time they are written and looked at beside each other. So memory does not grow with the items' texts.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Any

import yaml
from pydantic import ValidationError

from attestations.digests import lp
from attestations.errors import FileUnusable, SuiteInvalid
from attestations.files import because, shown
from auditor_client.suites.check import Checker
from auditor_client.suites.format import ANSWER_METADATA, Task
from auditor_client.suites.importers.candidate import Candidate, LeftOut
from auditor_client.suites.importers.catalogue import Format
from auditor_client.suites.importers.controls import control_tasks
from auditor_client.suites.importers.licences import licence_of
from auditor_client.suites.importers.options import Options, name_of
from auditor_client.suites.importers.reading import SourceFile, source_files
from auditor_client.suites.importers.report import Place, Report, SourceRead
from auditor_client.suites.importers.splitting import Splitter
from auditor_client.suites.load import MAX_TASKS
from auditor_client.suites.manifest import Manifest

REPORT = "import-report.json"
MAX_METRICS = 40  # a figure for each category, as long as somebody could read them
_TASKS_A_FILE = 5000
_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Order:
    """What a person asks for. `seed` decides split and shuffle; the same order gives the same suite but for GUIDs."""

    format: Format
    source: Path
    into: Path
    name: str
    options: Options
    licence: str | None = None
    seed: str = "0"
    dev_share: Fraction = Fraction(15, 100)
    encoding: str = "utf-8"
    shuffle: bool = False
    controls: bool = True
    strict: bool = False


def import_suite(order: Order, *, guid: Callable[[], str]) -> Report:
    """Write the suite and its report into `order.into`; `guid` gives fresh random GUIDs for canaries.

    Raises:
        FileUnusable: the source cannot be read, or the folder cannot be written or is not empty.
        SuiteInvalid: the source is not of the format, nothing in it can be used, or `strict` and something is wrong.
    """
    _check_free(order.into)
    try:
        order.into.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{order.into.name}.", dir=order.into.parent))
    except OSError as error:
        raise _unwritable(order.into, error) from None
    try:
        report = _written(order, partial, guid)
        partial.chmod(0o755)
        partial.replace(order.into)
    except OSError as error:
        raise _unwritable(order.into, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _written(order: Order, folder: Path, guid: Callable[[], str]) -> Report:
    licence, licence_from = licence_of(order.source, given=order.licence, published=order.format.licence)
    report = Report(
        order.format.name,
        order.format.upstream,
        licence,
        licence_from,
        order.seed,
        f"{float(order.dev_share):g}",
        order.format.caution,
    )
    files = source_files(order.source, order.format.suffixes, order.encoding)
    splitter = Splitter()
    with tempfile.TemporaryFile("w+", dir=folder, encoding="utf-8") as aside:
        _set_aside(order, files, splitter, report, aside)
        report.sources += [SourceRead(file.name, file.digest, file.bytes) for file in files]
        aside.seek(0)
        dev = splitter.is_dev(seed=order.seed, share=order.dev_share)
        tasks = _finished(aside, dev, files, guid)
        first = next(tasks, None)
        if first is None:
            raise SuiteInvalid(_nothing(report), rule="empty")
        manifest = _manifest(order, report, splitter.categories)
        checker = Checker(manifest)
        (folder / "tasks").mkdir()
        _write_tasks(folder, first, tasks, checker, report)
    if order.controls:
        _write_controls(folder, first[0].task.model_dump(mode="json"), checker, report, guid)
    report.findings = checker.findings()
    if order.strict:
        _check_strict(report)
    (folder / "suite.yaml").write_text(_manifest_text(order, manifest), encoding="utf-8")
    (folder / REPORT).write_bytes(report.to_bytes())
    return report


def _set_aside(order: Order, files: list[SourceFile], splitter: Splitter, report: Report, aside: IO[str]) -> None:
    names: set[str] = set()
    for number, file in enumerate(files):
        prefix = _unused(name_of(str(PurePath(file.name).with_suffix("")).replace("/", "-")), names)
        for item in order.format.read(file, order.options):
            if isinstance(item, LeftOut):
                report.left_out.append(Place(file.name, item.row, item.rule))
                if len(report.left_out) > MAX_TASKS:
                    raise SuiteInvalid(f"more than {MAX_TASKS} items cannot be used: another format?", rule="size")
                continue
            candidate = _shuffled(item, f"{order.seed}/{prefix}/{item.row}") if order.shuffle else item
            task = _task(order, report.licence, file, f"{prefix}/{item.row}", candidate)
            line = json.dumps({"file": number, "task": task, "marks": candidate.marks})
            try:
                Task.model_validate_json(json.dumps(task))
            except ValidationError:
                report.left_out.append(Place(file.name, item.row, "format"))
                continue
            if len(splitter) >= MAX_TASKS - len(_ROOM):
                raise SuiteInvalid(f"more than {MAX_TASKS - len(_ROOM)} items: import a part", rule="size")
            splitter.add(candidate.category, candidate.cluster or _sameness(candidate))
            aside.write(line + "\n")


_ROOM = range(100)  # for controls


def _task(order: Order, licence: str, file: SourceFile, name: str, candidate: Candidate) -> dict[str, Any]:
    more = dict(candidate.more)
    source = {
        "name": order.format.upstream,
        "file": file.name[-300:],
        "sha256": _NO_DIGEST,  # not known before the file has been read to its end
        "row": candidate.row,
        "licence": licence,
    }
    if (canary := more.pop("canary", None)) is not None:
        source["canary"] = str(canary)[:1000]
    return {
        "id": name,
        "kind": "test",
        "category": candidate.category,
        **more,
        "task": dict(candidate.body),
        "metadata": dict(candidate.metadata),
        "source": source,
        "exposure_before": "never" if order.format.licence is None else "disclosed",  # what is public has been seen
    }


def _finished(
    aside: IO[str], dev: bytearray, files: list[SourceFile], guid: Callable[[], str]
) -> Iterator[tuple[Task, list[str]]]:
    digests = [file.digest for file in files]
    for line, is_dev in zip(aside, dev, strict=True):
        kept = json.loads(line)
        task = kept["task"]
        task["kind"] = "dev" if is_dev else "test"
        task["canary"] = f"safeconduct-canary {guid()}"
        task["source"]["sha256"] = digests[kept["file"]]
        yield Task.model_validate_json(json.dumps(task)), kept["marks"]


def _write_tasks(
    folder: Path,
    first: tuple[Task, list[str]],
    others: Iterator[tuple[Task, list[str]]],
    checker: Checker,
    report: Report,
) -> None:
    waiting: list[tuple[Task, list[str]]] = [first]
    number = 1
    while waiting:
        with (folder / "tasks" / f"items-{number:03d}.jsonl").open("w", encoding="utf-8") as out:
            for task, marks in (*waiting, *islice(others, _TASKS_A_FILE - 1)):
                out.write(task.model_dump_json(exclude_defaults=True) + "\n")
                report.count(task.category, task.kind)
                checker.take(task, marks)
        waiting = list(islice(others, 1))
        number += 1


def _write_controls(
    folder: Path, body: dict[str, Any], checker: Checker, report: Report, guid: Callable[[], str]
) -> None:
    with (folder / "tasks" / "controls.jsonl").open("w", encoding="utf-8") as out:
        for value in control_tasks(body, guid=guid):
            value.setdefault("canary", f"safeconduct-canary {guid()}")
            task = Task.model_validate_json(json.dumps(value))
            out.write(task.model_dump_json(exclude_defaults=True) + "\n")
            report.kinds[task.kind] += 1
            checker.take(task)


def _manifest(order: Order, report: Report, categories: list[str]) -> Manifest:
    many = categories if 1 < len(categories) <= MAX_METRICS else []
    metrics = [{"id": "overall"}, *({"id": name, "category": name} for name in many if name != "overall")]
    value = {
        "format": "safeconduct-suite/v1",
        "id": order.name,
        "title": f"{order.format.upstream}, imported",
        "version": "1",
        "description": f"Imported from {order.format.upstream} ({report.licence}). {order.format.caution}".strip(),
        "plan": {"metrics": metrics},
        "prompt": order.format.prompt,
    }
    try:
        return Manifest.model_validate_json(json.dumps(value))
    except ValidationError:
        raise SuiteInvalid("--name is not a name: letters, digits and ._:/@+- are", rule="name") from None


def _manifest_text(order: Order, manifest: Manifest) -> str:
    told = (
        f"# Written by `safeconduct auditor suite import {order.format.name}`; {REPORT} says what was left out.\n"
        "# Set thresholds (rule_out, rule_in) where a figure is to decide something.\n"
    )
    return told + yaml.safe_dump(manifest.model_dump(mode="json", exclude_defaults=True), sort_keys=False)


def _shuffled(candidate: Candidate, key: str) -> Candidate:
    """Return the candidate with its options in an order that `key` decides."""
    if candidate.body["type"] != "choice":
        return candidate
    options = candidate.body["options"]
    order = sorted(range(len(options)), key=lambda place: sha256(lp(key.encode()) + place.to_bytes(8, "big")).digest())
    moved = {old: new for new, old in enumerate(order)}
    body = {**candidate.body, "options": [options[old] for old in order], "answer": moved[candidate.body["answer"]]}
    metadata = {
        name: moved[value] if name in ANSWER_METADATA and isinstance(value, int) else value
        for name, value in candidate.metadata.items()
    }
    return replace(candidate, body=body, metadata=metadata)


def _sameness(candidate: Candidate) -> str:
    body = candidate.body
    return " ".join(" ".join((str(body["question"]), *sorted(body.get("options", ())))).casefold().split())


def _unused(name: str, names: set[str]) -> str:
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name}-{number}"
    names.add(found)
    return found


def _check_strict(report: Report) -> None:
    bad = sum(finding.level != "info" for finding in report.findings)
    if report.left_out or bad:
        message = f"strict: {len(report.left_out)} items cannot be used, and there are {bad} errors and warnings"
        raise SuiteInvalid(message, rule="strict")


def _nothing(report: Report) -> str:
    reasons = ", ".join(f"{count} {rule}" for rule, count, _, _ in report.lost())
    return f"nothing can be imported: {reasons or 'there are no items'}"


def _check_free(into: Path) -> None:
    try:
        free = not into.exists() or (into.is_dir() and not any(into.iterdir()))
    except OSError as error:
        raise _unwritable(into, error) from None
    if not free:
        raise FileUnusable(f"{shown(into)} is not an empty folder; give another", path=shown(into))


def _unwritable(into: Path, error: OSError) -> FileUnusable:
    return FileUnusable(f"{shown(into)} cannot be written: {because(error)}", path=shown(into))
