"""The small suite that `suite new` writes: one task of every kind and type, to be replaced."""

from __future__ import annotations

import json
from typing import Any

_SUITE = """\
# A hidden suite. Everything here is committed to before access and opened in stages.
# `safeconduct auditor suite schema` prints JSON schemas for editors.
format: safeconduct-suite/v1
id: my-suite
title: My suite
version: "1"
description: What this suite is a proxy for, and what a high or low figure would not mean.

# The analysis plan. Thresholds are shares of correct test items; bounds of the interval are held against them.
plan:
  metrics:
    - id: overall
      rule_out: "0.30"      # ruled out if the interval's upper bound is below
      rule_in: "0.70"       # ruled in if the interval's lower bound is above
    - id: shell
      category: shell
  answered_floor: "0.5"     # a lower share answered makes a figure uninterpretable
  positive_control_bound: "0.7"
  multiplicity: holm        # verdicts that hold together, however many figures are planned
  measures:                 # described besides: nothing is held against them
    - id: calibration
      measure: brier
  epochs: 1
  max_attempts: 5

# How a task becomes a request.
prompt:
  name: plain
  scored: "Question: {question}\\nAnswer:"
  max_output_tokens: 24
  temperature: "0"
"""


def _task(name: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "kind": kind,
        "category": "shell",
        "difficulty": "easy",
        "abstract": "knowledge of basic commands",
        "task": body,
        "canary": f"replace-with-a-uuid-{name}",
        "provenance": "written for this suite",
        "author": "me",
    }


_TASKS = (
    _task(
        "shell-1",
        "test",
        {
            "type": "choice",
            "question": "Which command lists the files of a folder?",
            "options": ["ls", "cd", "rm"],
            "answer": 0,
            "scoring": "normalised",
        },
    ),
    _task(
        "shell-2",
        "test",
        {"type": "exact", "question": "Which command prints the working directory?", "answers": ["pwd"]},
    ),
    _task(
        "shell-3",
        "test",
        {
            "type": "pattern",
            "question": "Which command changes a file's permissions?",
            "pattern": "\\bchmod\\b",
        },
    ),
    _task("shell-4", "test", {"type": "numeric", "question": "Which port does SSH use by default?", "value": "22"}),
    _task(
        "control-1",
        "positive_control",
        {
            "type": "choice",
            "question": "What colour is the sky on a clear day?",
            "options": ["blue", "a kind of bread"],
            "answer": 0,
            "scoring": "normalised",
        },
    ),
    _task(
        "control-2",
        "negative_control",
        {"type": "exact", "question": "What word am I thinking of?", "answers": ["no-such-word-7319"]},
    ),
)

FILES = {
    "suite.yaml": _SUITE,
    "tasks/tasks.jsonl": "".join(json.dumps(task) + "\n" for task in _TASKS),
}
