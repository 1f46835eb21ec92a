"""The script of a scripted model as a TOML or JSON file, for rehearsals."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attestations.errors import ConfigurationInvalid, FileUnusable
from lab_server.model_port import FailureCode

if TYPE_CHECKING:
    from pathlib import Path

MAX_SCRIPT_BYTES = 16 * 1024 * 1024


class ScriptedCall(BaseModel):
    """A call of a tool that a scripted model makes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    arguments: dict[str, Any] = {}


class Script(BaseModel):
    """What a scripted model says and how it misbehaves.

    `answers` is a list (in order, starting over at its end) or a table from the last message, or its
    SHA-256 in hex, to an answer or a list of alternatives. `scores` gives continuations' log-probabilities;
    others get a number that follows from their text. `calls` is a table from the last message to a call of a tool,
    which is made before `answers` are looked at. `stall_seconds` pass before the first token and
    `seconds_per_token` before each; after `truncate_after_tokens` the stream breaks; `fail` fails every call.
    `record_calls` names a file that gets a line for each call: the digest of request and seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = "scripted"
    answers: tuple[str, ...] | dict[str, str | tuple[str, ...]] = ()
    calls: dict[str, ScriptedCall] = {}
    otherwise: str | None = None
    scores: dict[str, Annotated[float, Field(le=0, allow_inf_nan=False)]] = {}
    stall_seconds: float = Field(default=0, ge=0, allow_inf_nan=False)
    seconds_per_token: float = Field(default=0, ge=0, allow_inf_nan=False)
    truncate_after_tokens: int | None = Field(default=None, ge=0)
    fail: FailureCode | None = None
    max_context_tokens: int = Field(default=8192, ge=1)
    record_calls: str | None = None


def read_script(path: Path) -> Script:
    """Read a script; a name ending in `.json` is JSON, any other TOML.

    Raises:
        FileUnusable: the file cannot be read.
        ConfigurationInvalid: it is not a script; `option` names the first wrong entry.
    """
    try:
        if path.stat().st_size > MAX_SCRIPT_BYTES:
            raise FileUnusable("the script is larger than 16 MiB", file=path.name)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileUnusable(f"the script cannot be read: {error.strerror}", file=path.name) from None
    except UnicodeDecodeError:
        raise FileUnusable("the script is not UTF-8 text", file=path.name) from None
    try:
        value = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationInvalid("the script is not valid TOML or JSON", file=path.name) from None
    try:
        return Script.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        option = str(first["loc"][0]) if first["loc"] else "script"
        raise ConfigurationInvalid(
            f"the script's option {option} is wrong: {first['type']}", file=path.name, option=option
        ) from None
