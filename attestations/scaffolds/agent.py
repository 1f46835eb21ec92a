"""The loop of an agentic task: the model acts, its programs run in a sandbox at the lab, it is shown what they print.

Every step is an exchange of the item: what the model is asked, and what the sandbox is asked. Nobody grades before
the end, and nothing that could is ever at the lab.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from attestations.documents.asking import AnyRequest, AnyResult
from attestations.documents.dialogue import NOTHING_DRAWN, ChatRequest, ChatResult, Message, Sampling, Tool
from attestations.documents.sandboxing import (
    MAX_ARGUMENT_CHARACTERS,
    Close,
    Exec,
    Executed,
    Failed,
    Open,
    SandboxRequest,
    SandboxResult,
    Write,
)
from attestations.scaffolds.workspace import FENCES, MAX_CALLS_A_TURN, PARAMETERS, Workspace, tool

MAX_SHOWN = 4000  # characters of a program's output: its beginning and its end
MAX_CONVERSATION = 400_000  # characters; a longer one is over
MAX_MESSAGES = 240
RECEIVED = "received"
_BLOCK = re.compile(r"^```(bash|python|submit)[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_SHELL = {"bash": ("bash", "-c"), "python": ("python3", "-c")}

Step: TypeAlias = tuple[AnyRequest, Sampling]


class Act(NamedTuple):
    """What the model wants done: a tool and its text; `call` names it where the model called a tool."""

    name: str
    text: str
    call: str | None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def work(
    workspace: Workspace, messages: tuple[Message, ...], sampling: Sampling
) -> Generator[Step, AnyResult, ChatResult]:
    """Play an agentic task; what is submitted last is its answer, or what the model says when it stops acting."""
    yield from _prepared(workspace)
    messages, tools = _opened(workspace, messages), _tools(workspace)
    submitted, count = None, 0
    for _ in range(workspace.turns):
        answer = yield ChatRequest(messages=messages, tools=tools), sampling
        said = answer if isinstance(answer, ChatResult) else ChatResult(content="")
        acts = list(acts_of(workspace, said))
        if not acts:
            submitted = said.content if submitted is None else submitted
            break
        calls = said.tool_calls[:MAX_CALLS_A_TURN] if workspace.protocol == "tools" else ()
        messages = (*messages, Message(role="assistant", content=said.content, tool_calls=calls))
        for act in acts:
            if act.name == "submit":
                submitted, count, seen = act.text, count + 1, RECEIVED
            else:
                seen = yield from _seen(workspace, act)
            messages = (*messages, _shown(act, seen))
        if count >= workspace.submissions or len(messages) > MAX_MESSAGES or _long(messages):
            break
    yield SandboxRequest(action=Close()), NOTHING_DRAWN
    return ChatResult(content=submitted or "")


def _shown(act: Act, seen: str) -> Message:
    if act.call is None:
        return Message(role="user", content=seen)
    return Message(role="tool", content=seen, tool_call_id=act.call)


def acts_of(workspace: Workspace, said: ChatResult) -> Iterator[Act]:
    """Give what an answer wants done, in order."""
    if workspace.protocol == "fences":
        block = _BLOCK.search(said.content)
        if block is not None:
            yield Act(block[1], block[2].rstrip("\n"), None)
        return
    for call in said.tool_calls[:MAX_CALLS_A_TURN]:
        yield Act(call.name, _argument(call.name, call.arguments), call.id)


def _argument(name: str, arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get(PARAMETERS.get(name, "")) if isinstance(value, dict) else None
    return text if isinstance(text, str) and _plain(text) else arguments


def _plain(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _prepared(workspace: Workspace) -> Generator[Step, AnyResult, None]:
    opening = SandboxRequest(action=Open(tier=workspace.tier, limits=workspace.limits, model=False))
    opened = yield opening, NOTHING_DRAWN
    if isinstance(opened, SandboxResult) and isinstance(opened.result, Failed):
        # An earlier attempt was cut short in this session and left its sandbox.
        yield SandboxRequest(action=Close()), NOTHING_DRAWN
        yield opening, NOTHING_DRAWN
    for file in workspace.files:
        write = Write(path=file.path, data=file.data, executable=file.executable)
        yield SandboxRequest(action=write), NOTHING_DRAWN


def _opened(workspace: Workspace, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if workspace.protocol == "tools":
        return messages
    return (*messages[:-1], messages[-1].model_copy(update={"content": f"{messages[-1].content}\n\n{FENCES}"}))


def _tools(workspace: Workspace) -> tuple[Tool, ...]:
    return tuple(tool(name) for name in (*workspace.tools, "submit")) if workspace.protocol == "tools" else ()


def _seen(workspace: Workspace, act: Act) -> Generator[Step, AnyResult, str]:
    if act.name not in workspace.tools:
        return "there is no such tool"
    if "\0" in act.text or len(act.text) > MAX_ARGUMENT_CHARACTERS:
        return "not a program that can be run"
    run = Exec(argv=(*_SHELL[act.name], act.text), timeout_seconds=workspace.tool_seconds)
    answer = yield SandboxRequest(action=run), NOTHING_DRAWN
    done = answer.result if isinstance(answer, SandboxResult) else None
    return _told(done) if isinstance(done, Executed) else "it could not be run"


def _told(done: Executed) -> str:
    text = "".join(base64.b64decode(data).decode(errors="replace") for data in (done.stdout, done.stderr))
    if len(text) > MAX_SHOWN:
        text = f"{text[: MAX_SHOWN // 2]}\n[...]\n{text[-MAX_SHOWN // 2 :]}"
    if done.reason != "exited":
        return f"{text}\n[ended: {done.reason}]"
    return text if done.exit_code == 0 else f"{text}\n[exit code {done.exit_code}]"


def _long(messages: Sequence[Message]) -> bool:
    return sum(len(message.content) for message in messages) > MAX_CONVERSATION
