"""What an agentic task is: files, tools and limits, committed to with its prompt; graders are never among them.

`docs/spec/agents.md` is the normative page.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from attestations.documents.base import Base64, Hidden, Part
from attestations.documents.dialogue import Tool
from attestations.documents.hooks import SandboxLimits, Tier
from attestations.documents.sandboxing import MAX_PART_BYTES, BoxPath

MAX_TURNS = 64
MAX_CALLS_A_TURN = 4
MAX_WORKSPACE_FILES = 64
MAX_SUBMISSIONS = 16

Named = Annotated[str, Field(min_length=3, max_length=200)]
ToolName = Literal["bash", "python"]


class WorkspaceFile(Hidden, Part):
    """A file the model finds."""

    path: BoxPath
    data: Base64
    executable: bool = False


class Workspace(Hidden, Part):
    """Where and how a model works on an agentic task.

    Attributes:
        protocol: whether it acts by calls of tools, or by fenced blocks in its text (for models without tools).
        turns: the most answers it may give; each has the task's limit of tokens.
        tool_seconds: the most one program may take; `limits` bounds them all together.
        submissions: after so many the task is over; nothing about a submission is told before that, or ever.
        off_limits: texts that no honest program names (a grader's path, a hidden test); see `signs_of_cheating`.
    """

    protocol: Literal["tools", "fences"] = "tools"
    tools: tuple[ToolName, ...] = Field(default=("bash", "python"), min_length=1, max_length=2)
    files: tuple[WorkspaceFile, ...] = Field(default=(), max_length=MAX_WORKSPACE_FILES)
    turns: int = Field(default=16, ge=1, le=MAX_TURNS)
    submissions: int = Field(default=1, ge=1, le=MAX_SUBMISSIONS)
    tool_seconds: int = Field(default=60, ge=1, le=3600)
    tier: Tier = "process"
    limits: SandboxLimits = Field(default_factory=SandboxLimits)
    off_limits: tuple[Named, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _holds_together(self) -> Workspace:
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("two files of one path")
        if any(len(file.data) > MAX_PART_BYTES * 4 // 3 for file in self.files):
            raise ValueError("a file of a task is at most 160 KiB")
        return self


_TEXTS = {
    "bash": ("Run a shell command in the working folder; returns its output.", "command"),
    "python": ("Run a Python program in the working folder; returns its output.", "code"),
    "submit": ("Hand in the answer to the task.", "answer"),
}
PARAMETERS = {name: parameter for name, (_, parameter) in _TEXTS.items()}


def tool(name: str) -> Tool:
    """Return a tool as the model is shown it."""
    text, parameter = _TEXTS[name]
    schema = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return Tool(name=name, description=text, parameters=json.dumps(schema, separators=(",", ":"), sort_keys=True))


FENCES = """\
You work in a folder on a computer without network. To act, end your reply with one block:
```bash
a shell command
```
or
```python
a program
```
You are then shown its output. When you are done, hand in your answer:
```submit
the answer
```"""
