"""The lab's sandbox as Inspect sees it: `--sandbox safeconduct`, every command a signed exchange."""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path
from typing import Literal, overload

import sniffio
from inspect_ai.log import transcript
from inspect_ai.model import get_model
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUserUnsupportedError,
)
from inspect_ai.util._sandbox.environment import SandboxUnavailableError  # not exported, and part of the contract

from attestations.documents.base import decode
from attestations.documents.hooks import TIERS, Tier
from attestations.documents.sandboxing import MAX_PART_BYTES, Executed
from attestations.errors import ConfigurationInvalid, SandboxLost
from auditor_client.integrations.inspect import box_programs
from auditor_client.integrations.inspect.boxes import Box, Boxes
from auditor_client.integrations.inspect.folders import BOXES, folder_of

USERS = ("box", "1000")  # the only user of a box, by name and by number
_FILE_SECONDS = 60
_STARTED = "cannot start the program: "
_MARGIN_BYTES = 4096  # of an output, beside the part of a file that is printed


class SafeconductSandbox(SandboxEnvironment):
    """A box at the lab for one sample, with the folder `/box`, one user and no network.

    `--sandbox safeconduct:TIER` asks for more than the tier `process`.
    """

    def __init__(self, boxes: Boxes, box: Box, *, most_seconds: int) -> None:
        super().__init__()
        self._boxes = boxes
        self._box = box
        self._most_seconds = most_seconds
        self._part = max(1, min(box_programs.PART_BYTES, box.limits.output_bytes - _MARGIN_BYTES))
        self._numbers = count()

    @classmethod
    async def sample_init(
        cls,
        task_name: str,  # noqa: ARG003 - the library's signature
        config: SandboxEnvironmentConfigType | None,
        metadata: dict[str, str],  # noqa: ARG003
    ) -> dict[str, SandboxEnvironment]:
        """Open a box in a session of its own; waits while as many are open as may be.

        Raises:
            SandboxUnavailable: the lab cannot give such a box.
            ScopeExceeded, BudgetExhausted, and other RefusedError: the agreement does not cover it.
        """
        if sniffio.current_async_library() != "asyncio":
            raise ConfigurationInvalid("gRPC needs asyncio: unset INSPECT_ASYNC_BACKEND", field="INSPECT_ASYNC_BACKEND")
        tier = _tier(config)
        path, variant = _place()
        boxes = await BOXES.open(path)
        agreement = boxes.folder.agreement
        box = await boxes.open(variant=variant or agreement.scope.variants[0], tier=tier)
        transcript().info(boxes.told(box), source="safeconduct")
        return {"default": cls(boxes, box, most_seconds=agreement.timing.respond_seconds)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,  # noqa: ARG003 - the library's signature
        config: SandboxEnvironmentConfigType | None,  # noqa: ARG003
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,  # noqa: ARG003, FBT001
    ) -> None:
        """End the sample's box and everything in it."""
        for environment in environments.values():
            sandbox = environment.as_type(cls)
            await sandbox._boxes.close(sandbox._box)  # noqa: SLF001 - of this class

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:  # noqa: A002 - Inspect's name
        """End what a run that was killed has left at the lab, before the lab's idle limit does.

        Raises:
            ConfigurationInvalid: an id is given; no box has one outside its session.
        """
        if id is not None:
            raise ConfigurationInvalid("boxes have no id here: leave it out", field="id")
        try:
            boxes = await BOXES.open(folder_of(None))
            await boxes.close_kept(variant=boxes.folder.agreement.scope.variants[0])
        finally:
            await BOXES.close()

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,  # noqa: A002 - Inspect's name
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,  # noqa: ASYNC109 - the box enforces it, not this task
        timeout_retry: bool = True,  # noqa: ARG002, FBT001, FBT002 - a command is an exchange, and runs once
        concurrency: bool = True,  # noqa: ARG002, FBT001, FBT002
    ) -> ExecResult[str]:
        """Run a program to its end; commands of one sample follow each other.

        Raises:
            SandboxUserUnsupportedError: another user than the box's only one.
            SandboxUnavailableError: the box is gone.
            TimeoutError: the program was ended after `timeout` seconds, or as long as an exchange may last.
            PermissionError: the file is no program.
            ValueError: the command is empty, or has less than a second.
            OutputLimitExceededError: it printed more than one exchange carries.
            RefusedError: the agreement or its budget does not cover it any more.
        """
        if not cmd or (timeout is not None and timeout < 1):
            raise ValueError("a command has at least one word, and at least one second")
        if user is not None and user not in USERS:
            raise SandboxUserUnsupportedError(f"a box has one user, {USERS[0]}: nothing runs as {user!r} in it")
        given = input.encode(errors="surrogatepass") if isinstance(input, str) else input or b""
        staging = f"/tmp/.safeconduct-{next(self._numbers)}"  # noqa: S108 - in the box, which is one sample's
        start = box_programs.start(cmd, stdin=given, cwd=cwd, env=env or {}, staging=staging)
        if start.staged is not None:
            await self._write(staging, start.staged)
        seconds = min(timeout or self._most_seconds, self._most_seconds)
        return _result(cmd, await self._run(start.argv, start.stdin, seconds), seconds)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file, and make its folders.

        Raises:
            PermissionError, IsADirectoryError, OSError: as the box's file system says.
            SandboxUnavailableError, RefusedError: as for `exec`.
        """
        await self._write(file, contents.encode() if isinstance(contents, str) else contents)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...  # noqa: FBT002 - Inspect's signature

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:  # noqa: FBT001, FBT002
        """Return a file.

        Raises:
            FileNotFoundError, PermissionError, IsADirectoryError, OSError: as the box's file system says.
            OutputLimitExceededError: it is larger than Inspect's limit.
            UnicodeDecodeError: it is no text.
            SandboxUnavailableError, RefusedError: as for `exec`.
        """
        data, most = bytearray(), SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
        while True:
            ended = await self._run(box_programs.read(_checked(file), len(data), self._part), b"", _FILE_SECONDS)
            size = _said(ended, file)
            part = decode(ended.stdout)
            data += part
            if max(size, len(data)) > most:
                raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None)
            if len(part) < self._part:
                return data.decode() if text else bytes(data)

    async def _write(self, file: str, data: bytes) -> None:
        for start in range(0, len(data) or 1, box_programs.PART_BYTES):
            argv = box_programs.write(_checked(file), more=start > 0)
            part = data[start : start + box_programs.PART_BYTES]
            _said(await self._run(argv, part, _FILE_SECONDS), file)

    async def _run(self, argv: tuple[str, ...], stdin: bytes, seconds: int) -> Executed:
        try:
            return await self._box.remote.exec(argv, stdin=stdin, seconds=seconds)
        except SandboxLost as lost:
            if lost.facts.get("status") == "TIMEOUT":
                raise TimeoutError("the lab did not end a command in time") from None
            raise SandboxUnavailableError(f"the box at the lab is gone: {lost.facts.get('code')}") from None


def _result(cmd: list[str], ended: Executed, seconds: int) -> ExecResult[str]:
    out, err = (decode(data).decode(errors="replace") for data in (ended.stdout, ended.stderr))
    if ended.reason == "timeout":
        raise TimeoutError(f"the command was ended after {seconds} seconds")
    if ended.truncated:
        raise OutputLimitExceededError(f"{MAX_PART_BYTES >> 10} KiB", out + err)
    if ended.exit_code == 126 and err == f"{_STARTED}{os.strerror(errno.EACCES)}\n":  # noqa: PLR2004 - a shell's code
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), cmd[0])
    if ended.reason != "exited":
        err += f"the program was ended: {ended.reason}\n"
    code = ended.exit_code if ended.exit_code is not None else 128 + (ended.signal or 0)
    return ExecResult(success=code == 0 and ended.reason == "exited", returncode=code, stdout=out, stderr=err)


def _said(ended: Executed, file: str) -> int:
    """Return the number one of our programs printed, or raise the error it met."""
    words = decode(ended.stderr).decode(errors="replace").strip()
    if ended.reason == "timeout":
        raise TimeoutError(f"a file was not read or written in {_FILE_SECONDS} seconds")
    if ended.reason != "exited" or (ended.exit_code != 0 and not words.isdecimal()):
        code = errno.ENOSPC if ended.reason == "file_limit" else errno.EIO
        raise OSError(code, os.strerror(code), file)
    if ended.exit_code != 0:
        raise OSError(int(words), os.strerror(int(words)), file)
    return int(words) if words.isdecimal() else 0


def _checked(file: str) -> str:
    if not file or len(file) > box_programs.MAX_PATH or not box_programs.is_sayable(file):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), file[:100])
    return file


def _tier(config: SandboxEnvironmentConfigType | None) -> Tier:
    for tier in TIERS[1:]:
        if config == tier or (config is None and tier == "process"):
            return tier
    raise ConfigurationInvalid("say --sandbox safeconduct, or safeconduct: and process, kernel or vm", field="sandbox")


def _place() -> tuple[Path, str | None]:
    """Return the folder and the variant of the model that is evaluated; without one of ours, the environment's."""
    from auditor_client.integrations.inspect.provider import SafeconductAPI  # noqa: PLC0415 - it needs the registry

    try:
        api = get_model().api
    except ValueError:  # there is none
        api = None
    return (api.folder, api.model_name) if isinstance(api, SafeconductAPI) else (folder_of(None), None)
