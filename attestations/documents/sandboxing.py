"""What the scaffold hook is asked and what it answers: plain only at the auditor and in the worker.

A request says what to `do`; an answer says what it `did`. `docs/spec/hooks.md` is the normative page.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from attestations.documents.base import Base64, Document, Hidden, Name, Part
from attestations.documents.dialogue import ChatRequest, ChatResult, Sampling
from attestations.documents.hooks import SandboxLimits, Tier

MAX_FILE_BYTES = 16 << 20
MAX_PART_BYTES = 160 << 10  # of a file or an output in one exchange: one line of a view holds its base64
MAX_FILES = 4096
MAX_ARGUMENTS = 256
MAX_ARGUMENT_CHARACTERS = 64 << 10
MAX_WAIT_SECONDS = 60
MAX_EVENTS = 256
_SEGMENT = re.compile(r"[A-Za-z0-9._@+=, -]{1,128}", re.ASCII)
_MAX_PATH = 512


def _relative(path: str) -> str:
    parts = path.split("/")
    if len(path) > _MAX_PATH or any(part in ("", ".", "..") or not _SEGMENT.fullmatch(part) for part in parts):
        raise ValueError("not a relative path of plain names")
    return path


BoxPath = Annotated[str, AfterValidator(_relative)]
"""A file in the sandbox's folder: relative, ASCII, no empty, `.` or `..` step."""

Argument = Annotated[str, Field(max_length=MAX_ARGUMENT_CHARACTERS, pattern=r"^[^\x00]*$")]
Arguments = Annotated[tuple[Argument, ...], Field(min_length=1, max_length=MAX_ARGUMENTS)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Seconds = Annotated[int, Field(ge=1, le=86_400)]


class Variable(Hidden, Part):
    """One variable of the environment that programs in the sandbox see."""

    name: VariableName
    value: Argument


class Open(Hidden, Part):
    """Makes the session's sandbox, empty; `tier` is the least the auditor accepts.

    With `model`, programs inside find an OpenAI-compatible server at 127.0.0.1:8080 for the Intent's variant.
    """

    do: Literal["open"] = "open"
    tier: Tier = "process"
    limits: SandboxLimits = SandboxLimits()
    env: tuple[Variable, ...] = Field(default=(), max_length=128)
    model: bool = True


class Exec(Hidden, Part):
    """Runs one program to its end, in the sandbox's folder, with `stdin` as its input."""

    do: Literal["exec"] = "exec"
    argv: Arguments
    stdin: Base64 = ""
    timeout_seconds: Seconds = 60


class Write(Hidden, Part):
    """Brings a part of a file; with `more` the rest follows, and nothing is written before the last part has come."""

    do: Literal["write"] = "write"
    path: BoxPath
    data: Base64
    more: bool = False
    executable: bool = False


class Read(Hidden, Part):
    """Reads a part of a regular file; all parts are of the file as it was when part 0 was read."""

    do: Literal["read"] = "read"
    path: BoxPath
    offset: int = Field(default=0, ge=0, le=MAX_FILE_BYTES)


class Start(Hidden, Part):
    """Starts the entry point in the background, one at a time; `wait` tells what it does."""

    do: Literal["start"] = "start"
    argv: Arguments
    timeout_seconds: Seconds = 600


class CallAnswer(Hidden, Part):
    """What a call of the scaffold to the model is answered with; `finish_reason` is the Record's.

    `prompt_tokens` and `completion_tokens` are the Record's usage.
    """

    kind: Literal["answer"] = "answer"
    call: int = Field(ge=0, le=2**53 - 1)
    result: ChatResult
    finish_reason: Literal["stop", "length", "tool_calls", "filtered"]
    prompt_tokens: int = Field(ge=0, le=2**53 - 1)
    completion_tokens: int = Field(ge=0, le=2**53 - 1)


class CallFailure(Hidden, Part):
    """A call that got no answer; the scaffold sees an error of that HTTP status."""

    kind: Literal["failure"] = "failure"
    call: int = Field(ge=0, le=2**53 - 1)
    status: Literal[400, 429, 500, 502, 504]
    code: Name


Reply = Annotated[CallAnswer | CallFailure, Field(discriminator="kind")]


class Wait(Hidden, Part):
    """Hands over replies and asks for the events from number `after` on; waits for one if there is none yet.

    Events before `after` are forgotten: what an exchange that failed did not deliver can be asked for again.
    """

    do: Literal["wait"] = "wait"
    after: int = Field(default=0, ge=0, le=2**53 - 1)
    seconds: int = Field(default=10, ge=0, le=MAX_WAIT_SECONDS)
    replies: tuple[Reply, ...] = Field(default=(), max_length=MAX_EVENTS)


class Close(Hidden, Part):
    """Ends the sandbox and everything in it; nothing stays."""

    do: Literal["close"] = "close"


Action = Annotated[Open | Exec | Write | Read | Start | Wait | Close, Field(discriminator="do")]


class SandboxRequest(Hidden, Document):
    """Asks something of the session's sandbox."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.sandbox-request.v1+json"

    operation: Literal["sandbox"] = "sandbox"
    action: Action


class Opened(Hidden, Part):
    """The sandbox is there and empty; `limits` are those in force, never more than the lab allows."""

    did: Literal["open"] = "open"
    sandbox: Name
    limits: SandboxLimits


class Executed(Hidden, Part):
    """How a program ended; `reason` tells who ended it, and outputs are cut at the limit (`truncated`)."""

    did: Literal["exec"] = "exec"
    exit_code: int | None = None
    signal: int | None = None
    reason: Literal["exited", "timeout", "output_limit", "file_limit", "oom", "killed"]
    stdout: Base64 = ""
    stderr: Base64 = ""
    truncated: bool = False
    wall_ms: int = Field(ge=0, le=2**53 - 1)


class Written(Hidden, Part):
    """The part has come, and with the last one the file is written."""

    did: Literal["write"] = "write"


class ReadPart(Hidden, Part):
    """A part of a file; `end` tells that nothing follows."""

    did: Literal["read"] = "read"
    data: Base64
    end: bool


class Started(Hidden, Part):
    """The entry point runs."""

    did: Literal["start"] = "start"
    job: Name


class ModelCall(Hidden, Part):
    """The scaffold asks the model; nothing but the auditor's reply answers it.

    What the OpenAI form of the request says beyond these fields is refused or without meaning here
    (`docs/spec/hooks.md` lists it).
    """

    kind: Literal["model_call"] = "model_call"
    call: int = Field(ge=0, le=2**53 - 1)
    request: ChatRequest
    sampling: Sampling


class Gone(Hidden, Part):
    """A call whose program no longer waits; a reply to it has no meaning."""

    kind: Literal["gone"] = "gone"
    call: int = Field(ge=0, le=2**53 - 1)


class Output(Hidden, Part):
    """What the entry point wrote."""

    kind: Literal["output"] = "output"
    stream: Literal["stdout", "stderr"]
    data: Base64


class Exited(Hidden, Part):
    """The entry point has ended; its output came before."""

    kind: Literal["exited"] = "exited"
    job: Name
    exit_code: int | None = None
    signal: int | None = None
    reason: Literal["exited", "timeout", "output_limit", "file_limit", "oom", "killed"]
    truncated: bool = False
    wall_ms: int = Field(ge=0, le=2**53 - 1)


class Lost(Hidden, Part):
    """The sandbox is gone: nothing in it can be reached any more, and it is not made again by itself."""

    kind: Literal["lost"] = "lost"
    code: Name


Event = Annotated[ModelCall | Gone | Output | Exited | Lost, Field(discriminator="kind")]


class Events(Hidden, Part):
    """What has happened: the events from number `first` on."""

    did: Literal["wait"] = "wait"
    first: int = Field(ge=0, le=2**53 - 1)
    events: tuple[Event, ...] = Field(default=(), max_length=MAX_EVENTS)


class Closed(Hidden, Part):
    """The last process is gone."""

    did: Literal["close"] = "close"


class Failed(Hidden, Part):
    """What was asked could not be done, and nothing has changed; `code` says why: BUSY, or FILE_ and a rule."""

    did: Literal["fail"] = "fail"
    code: Name


Deed = Annotated[
    Opened | Executed | Written | ReadPart | Started | Events | Closed | Failed, Field(discriminator="did")
]


class SandboxResult(Hidden, Document):
    """What the sandbox did."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.sandbox-result.v1+json"

    operation: Literal["sandbox"] = "sandbox"
    result: Deed
