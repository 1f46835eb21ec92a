"""Every command the guide to Inspect and lm-evaluation-harness shows, in its order, against a real lab."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")
pytest.importorskip("lm_eval", reason="needs safeconduct[lm-eval]")

from inspect_ai.log import read_eval_log

from tests.support.audit_in_process import scripted
from tests.support.scaffold_audit import HOOK, why_no_sandbox

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_COMMAND = re.compile(r"^\$ ((?:safeconduct|inspect) .*)$", re.MULTILINE)
TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match


@task
def capitals():
    return Task(dataset=[Sample(input="The capital of France?", target="Paris")], scorer=match())
"""
WORDS = "How many words has words.txt?"
SCRIPT = {
    "calls": {
        WORDS: {"name": "bash", "arguments": {"command": "wc -w < words.txt"}},
        "4\n": {"name": "submit", "arguments": {"answer": "4 of them"}},
    },
    "otherwise": "Paris",
}
SUMS = """
task: sums
dataset_path: json
dataset_kwargs:
  data_files:
    test: sums.jsonl
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: "{{options}}"
metric_list:
  - metric: acc
"""
ENTRY = "[inspect_ai]\nsafeconduct = auditor_client.integrations.inspect.registry\n"


def environment(folder: Path, repository: Path) -> dict[str, str]:
    """Return what the commands run with; where this checkout is not installed, its entry point is laid beside it."""
    paths = [str(repository), str(repository / "proto"), os.environ.get("PYTHONPATH", "")]
    if not [entry for entry in entry_points(group="inspect_ai") if entry.name == "safeconduct"]:
        made = folder / "site" / "safeconduct_here-0.dist-info"
        made.mkdir(parents=True)
        (made / "METADATA").write_text("Metadata-Version: 2.1\nName: safeconduct-here\nVersion: 0\n")
        (made / "entry_points.txt").write_text(ENTRY)
        paths.insert(0, str(made.parent))
    hub = {"HF_DATASETS_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "INSPECT_DISPLAY": "none"}
    return {**hub, "PYTHONPATH": os.pathsep.join(paths)}


def block(page: str, first: str) -> str:
    """Return the fenced block of the guide that begins with a line."""
    return next(text for text in page.split("```") if first in text).partition("\n")[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_commands_of_the_guide_work_in_their_order(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "capitals.py").write_text(TASK)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.yaml").write_text(SUMS)
    (tmp_path / "sums.jsonl").write_text(json.dumps({"question": "1 + 1 =", "options": ["2", "3"], "answer": 0}) + "\n")
    for name, value in environment(tmp_path, repository).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    page = (repository / "docs" / "guides" / "inspect.md").read_text()
    # The guide has the harness last; evidence is made of all that was asked, so the export comes after it.
    commands = sorted(_COMMAND.findall(page), key=lambda command: " export " in command)
    sandboxes = asyncio.run(why_no_sandbox()) is None
    if sandboxes:
        (tmp_path / "words.py").write_text(block(page, "# words.py"))
    else:
        commands = [command for command in commands if "--sandbox" not in command]
    granted = 'tools = true\noperations = ["chat", "score", "count", "sandbox"]\n' + HOOK
    with scripted(tmp_path, SCRIPT, granted=granted) as it:
        for command in commands:
            program, *words = shlex.split(command.replace("smollm2-135m-instruct", "rehearsed"))
            if "export" in words:
                it.end()
                shutil.copy(it.evidence("S5"), tmp_path)
            if program == "inspect":
                subprocess.run([sys.executable, "-m", "inspect_ai", *words], check=True, timeout=100)
            else:
                it.command(*words)

    assert len(commands) == 4 + sandboxes
    headers = [read_eval_log(str(path), header_only=True) for path in (tmp_path / "logs").glob("*.eval")]
    scores = {log.eval.task: log.results.scores[0].metrics["accuracy"].value for log in headers if log.results}
    assert scores == {"capitals": 1, **({"words": 1} if sandboxes else {})}
    assert json.loads((tmp_path / "harness.json").read_text())["results"]["sums"]["name"] == "sums"
    assert (tmp_path / "capitals-suite" / "suite.yaml").exists()
    assert sorted(path.name for path in (tmp_path / "exported").iterdir()) == ["S5-exchanges.eval", "S5.eval"]
