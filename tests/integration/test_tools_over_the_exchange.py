"""Tasks that are not ours, by Inspect and by lm-evaluation-harness, through the exchange on the embedded model.

What each tool finds through the exchange is what it finds on the model itself, and the exchanges end in verified
evidence, which then opens in Inspect stage by stage.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")
pytest.importorskip("inspect_evals", reason="needs inspect-evals, tasks that are not ours")
pytest.importorskip("lm_eval", reason="needs safeconduct[lm-eval]")

import lm_eval
from inspect_ai import Task, eval as evaluate
from inspect_ai.dataset import Dataset, json_dataset
from inspect_ai.log import EvalLog, read_eval_log
from lm_eval.tasks import TaskManager

from auditor_client.integrations.inspect import folders
from tests.support.audit_in_process import STAGES, InProcess, embedded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
HARNESS_TASKS = Path(lm_eval.__file__).parent / "tasks"
_SCORE = re.compile(r"(\S+) over \d+ tokens: (.*)")
HIDDEN = ("canary-prompt-", '"answers"')


@dataclass
class Ran:
    """What both tools found, through the exchange and without it, and the audit they were part of."""

    it: InProcess
    through: list[EvalLog]
    direct: list[EvalLog]
    harness: dict[str, Any]
    directly: dict[str, Any]
    asked: dict[tuple[str, str], float]  # of the harness without the exchange: what is scored, and its score
    turns: set[str]  # and what is continued
    printed: str


def rows(folder: Path, shared: Path) -> None:
    """Lay a few rows of the tasks' own data where they can be read without a hub."""
    truthful = json.loads((shared / "data/truthfulqa/mc_task.json").read_text())[:2]
    lines = [
        {"question": row["question"]}
        | {
            name: {"choices": list(row[name]), "labels": list(row[name].values())}
            for name in ("mc1_targets", "mc2_targets")
        }
        for row in truthful
    ]
    (folder / "truthfulqa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sums = (shared / "data/gsm8k/test.first300.jsonl").read_text().splitlines()[:2]
    (folder / "gsm8k.jsonl").write_text("\n".join(sums) + "\n")


def inspect_tasks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Return two tasks of the package inspect-evals as they are, except that their rows come from here."""
    from inspect_evals.gsm8k import gsm8k as sums
    from inspect_evals.truthfulqa import truthfulqa as truthful

    def local(name: str) -> Any:
        def load(*, sample_fields: Any, **settings: Any) -> Dataset:
            kept = {key: settings[key] for key in ("shuffle", "seed", "shuffle_choices") if key in settings}
            return json_dataset(str(folder / f"{name}.jsonl"), sample_fields, **kept)

        return load

    monkeypatch.setattr(sys.modules[sums.__module__], "hf_dataset", local("gsm8k"))
    monkeypatch.setattr(sys.modules[truthful.__module__], "hf_dataset", local("truthfulqa"))
    return [sums(fewshot=0), truthful()]


def harness_tasks(folder: Path) -> Path:
    """Return a folder with two tasks of the harness as they are, except for where their rows come from."""
    included = folder / "tasks"
    included.mkdir()
    for name, source, splits in (
        ("truthfulqa", "truthfulqa/truthfulqa_mc1.yaml", ("validation",)),
        ("gsm8k", "gsm8k/gsm8k.yaml", ("train", "test")),
    ):
        files = "".join(f"    {split}: {folder / name}.jsonl\n" for split in splits)
        (included / f"{name}.yaml").write_text(
            f"include: {HARNESS_TASKS / source}\ntask: {name}_local\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs:\n  data_files:\n{files}"
        )
    return included


def inspect_logs(folder: Path, tasks: list[Task], model: str, **arguments: Any) -> list[EvalLog]:
    logs = evaluate(
        tasks,
        model=model,
        model_args=arguments,
        temperature=0,
        max_tokens=8,
        log_dir=str(folder / "logs" / model.partition("/")[0]),
        display="none",
        max_tasks=1,
    )
    assert {"success"} == {log.status for log in logs}, [log.error for log in logs]
    return sorted((read_eval_log(log.location) for log in logs), key=lambda log: log.eval.task)


def harness_results(model: Any, include: Path, task: str, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = lm_eval.simple_evaluate(
        model=model,
        tasks=[task],
        task_manager=TaskManager(include_path=str(include), include_defaults=False),
        num_fewshot=0,
        log_samples=False,
        bootstrap_iters=1000,
        **settings,
    )["results"][task]
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Ran]:
    """Run everything once: two tasks of each tool, through the exchange and directly, then the audit's own suite."""
    from tests.support.direct_model import DirectLM, Engine

    folder = tmp_path_factory.mktemp("tools")
    rows(folder, shared)
    with pytest.MonkeyPatch.context() as monkeypatch, embedded(folder / "audit") as it:
        monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "hub"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("INSPECT_DISPLAY", "none")
        tasks = inspect_tasks(folder, monkeypatch)
        assert folders.PURPOSE == "inspect"
        through = inspect_logs(folder, tasks, "safeconduct/main", home=str(it.home))
        include, out = harness_tasks(folder), folder / "harness.json"
        options = ["--include-path", str(include), "--only-included", "--num-fewshot", "0"]
        printed = it.auditor("lm-eval", "--tasks", "truthfulqa_local", *options, "--out", str(out))
        generated = ["--apply-chat-template", "--gen-kwargs", "max_gen_toks=12", "--out", str(out) + ".gen"]
        printed += it.auditor("lm-eval", "--tasks", "gsm8k_local", *options, *generated)
        harness = {"scored": json.loads(out.read_text()), "generated": json.loads(Path(f"{out}.gen").read_text())}
        with Engine() as engine:
            direct = inspect_logs(folder, tasks, "direct/main", engine=engine)
            plain = DirectLM(engine)
            scored = harness_results(plain, include, "truthfulqa_local")
            chat: dict[str, Any] = {"apply_chat_template": True, "gen_kwargs": "max_gen_toks=12"}
            generated_directly = harness_results(plain, include, "gsm8k_local", **chat)
        directly = {"truthfulqa_local": scored, "gsm8k_local": generated_directly}
        it.end()
        yield Ran(it, through, direct, harness, directly, plain.scored, plain.turns, printed)


def test_two_tasks_of_inspect_score_as_on_the_model_itself(ran: Ran) -> None:
    assert [log.eval.task.rpartition("/")[2] for log in ran.through] == ["gsm8k", "truthfulqa"]
    for through, direct in zip(ran.through, ran.direct, strict=True):
        assert through.samples
        assert direct.samples
        said = [item.output.completion for item in through.samples]
        assert all(said)
        assert said == [item.output.completion for item in direct.samples]
        assert [item.scores for item in through.samples] == [item.scores for item in direct.samples]
        assert through.results is not None
        assert direct.results is not None
        assert through.results.scores == direct.results.scores


def test_two_tasks_of_the_harness_score_as_on_the_model_itself(ran: Ran) -> None:
    assert ran.harness["scored"]["results"] == {"truthfulqa_local": ran.directly["truthfulqa_local"]}
    assert ran.harness["generated"]["results"] == {"gsm8k_local": ran.directly["gsm8k_local"]}
    assert ran.harness["scored"]["unknownGreedy"] == 0
    assert "truthfulqa_local" in ran.printed


def test_every_call_is_in_the_verified_evidence(ran: Ran) -> None:
    report = ran.it.report("S5")
    [schedule] = [check["detail"] for check in report["checks"] if check["step"] == 11]
    calls = sum(len(log.samples or ()) for log in ran.through)
    harness = len(ran.harness["scored"]["exchanges"]) + len(ran.harness["generated"]["exchanges"])

    assert report["exitCode"] == 0
    assert f"({calls} inspect, {harness} lm-eval)" in schedule
    assert int(report["counts"]["COMPLETED"]) == calls + harness + 7


def test_each_prompt_and_score_of_the_harness_is_that_of_the_model_itself(ran: Ran, tmp_path: Path) -> None:
    """Figures of two documents may agree by chance: here is what they are made of, as the evidence holds it."""
    _, beside = exported(ran, "S5", tmp_path)
    found = {}
    for sample in beside.samples or ():
        for line in sample.output.completion.splitlines():
            if told := _SCORE.fullmatch(line):
                found[sample.messages[0].text, told[2]] = float(told[1])

    assert len(ran.asked) > 6
    assert ran.asked == found
    assert len(ran.turns) == 2
    assert ran.turns <= {sample.messages[0].text for sample in beside.samples or ()}


def exported(ran: Ran, stage: str, into: Path) -> list[EvalLog]:
    evidence, trust = str(ran.it.evidence(stage)), str(ran.it.trust)
    said = ran.it.command("auditor", "export", "inspect", evidence, "--trust", trust, "--into", str(into))
    return [read_eval_log(line) for line in said.splitlines()]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_opens_in_inspect_with_what_it_releases_and_no_more(ran: Ran, tmp_path: Path, stage: str) -> None:
    logs = exported(ran, stage, tmp_path)
    suite = logs[0]
    text = "".join(
        archive.read(name).decode("utf-8", errors="replace")
        for path in tmp_path.iterdir()
        for archive in [zipfile.ZipFile(path)]
        for name in archive.namelist()
    )

    assert suite.metadata["safeconduct"]["exitCode"] == 0
    assert suite.metadata["safeconduct"]["stage"] == stage
    assert (suite.results is not None) == (stage >= "S2")
    assert len(suite.samples or ()) == (7 if stage >= "S3" else 0)
    assert ("canary-prompt-" in text) == (stage >= "S4")
    samples = suite.samples or []
    if stage == "S3":
        assert (
            {"[closed at this stage]"} == {sample.input for sample in samples} == {sample.target for sample in samples}
        )
    if stage >= "S4":
        assert {("yes",)} == {tuple(sample.target) for sample in samples}
    assert all(bool(sample.messages) == (stage == "S5") for sample in samples)
    assert len(logs) == (2 if stage == "S5" else 1)
    if stage == "S5":
        beside = len(ran.harness["scored"]["exchanges"]) + len(ran.harness["generated"]["exchanges"])
        assert len(logs[1].samples or ()) == beside + sum(len(log.samples or ()) for log in ran.through)


def test_no_key_is_in_any_log_and_no_hidden_prompt_in_those_of_other_tasks(ran: Ran) -> None:
    keys = [path.read_bytes().strip() for path in (ran.it.home / "keys").iterdir()]
    bodies = [b"".join(line for line in key.splitlines() if b"-----" not in line) for key in keys]
    logs = list(ran.it.audit.folder.parent.joinpath("logs").rglob("*.eval"))
    texts = [zipfile.ZipFile(path) for path in logs]
    held = b"".join(archive.read(name) for archive in texts for name in archive.namelist())
    own = (ran.it.home / "auditor.log").read_bytes()

    assert held
    assert not [body for body in bodies if body[:40] in held + own]
    assert b"canary-prompt-" not in held + own
    assert b"duck eggs" not in own
