"""Keeps one worker process running beside the gateway and speaks to it; its death is known at once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import structlog

from attestations.errors import SetupError, WorkerUnavailable
from lab_server.home import Home
from lab_server.ports import Job, JobOutcome, ServedVariant, StoredFrame, WorkerKeys

log = structlog.get_logger()
START_SECONDS = 120.0  # a large model loads slowly
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
# A worker starts sandboxes: gRPC's handlers around a fork would crash some of them before they become a program.
_WORKER_ENVIRONMENT = {"GRPC_ENABLE_FORK_SUPPORT": "false"}


class Client(Protocol):
    """A connection to one boot of a worker."""

    async def ready(self, seconds: float) -> None:
        """Wait until the worker answers."""

    async def enrol(self, agreement: str) -> WorkerKeys:
        """Return the keys of one agreement."""
        ...

    def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """Run one job."""
        ...

    async def forget(self, agreement: str) -> None:
        """Drop the keys of one agreement."""

    async def close(self) -> None:
        """Close the connection."""


class SupervisedWorker:
    """A `Worker` in a process of its own that is started again whenever it ends."""

    def __init__(self, home: Home, connect: Callable[[str], Client]) -> None:
        self._home = home
        self._connect = connect
        self._folder = tempfile.TemporaryDirectory(prefix="sc-worker-")  # mode 0700
        self._process: asyncio.subprocess.Process | None = None
        self._client: Client | None = None
        self._boot: str | None = None
        self._declined: dict[str, str] = {}
        self._starts = 0
        self._watch: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def boot(self) -> str | None:
        """The name of the running boot, or None while no worker runs."""
        return self._boot

    async def start(self) -> tuple[ServedVariant, ...]:
        """Start the worker, wait until it serves, and return what it serves.

        Raises:
            SetupError: it cannot be started; the message is the worker's own.
        """
        served = await self._start_once()
        self._watch = asyncio.create_task(self._keep_running())
        return served

    def refuses(self, hook: str) -> str | None:
        """Return why a hook is declined here, as the worker said when it last started."""
        return self._declined.get(hook)

    async def close(self) -> None:
        """End the worker."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
        if self._client is not None:
            await self._client.close()  # first: the worker stops when nobody is connected, and waits a while for that
        if self._process is not None and self._process.returncode is None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._folder.cleanup()

    async def enrol(self, agreement: str) -> WorkerKeys:
        """Return the keys of one agreement in the running boot."""
        return await self._running().enrol(agreement)

    async def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """Give the frames and the outcome of one job."""
        async for item in self._running().run(job):
            yield item

    async def forget(self, agreement: str) -> None:
        """Have the keys of one agreement dropped."""
        await self._running().forget(agreement)

    def _running(self) -> Client:
        if self._client is None or self._boot is None:
            raise WorkerUnavailable("the worker is being started again")
        return self._client

    async def _start_once(self) -> tuple[ServedVariant, ...]:
        self._starts += 1
        socket = str(Path(self._folder.name) / f"worker-{self._starts}.sock")
        with self._home.worker_log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "lab_server.worker",
                str(self._home.path),
                socket,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **_WORKER_ENVIRONMENT},
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                boot, served = await self._said()
        except TimeoutError:
            self._process.kill()
            raise WorkerUnavailable(f"the worker did not start within {START_SECONDS:.0f} s") from None
        client = self._connect(socket)
        await client.ready(START_SECONDS)
        self._client, self._boot = client, boot
        log.info("worker_started", boot=boot, pid=self._process.pid)
        return served

    async def _said(self) -> tuple[str, tuple[ServedVariant, ...]]:
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018 - just started
        line = await self._process.stdout.readline()
        try:
            message = json.loads(line)
        except ValueError:
            message = {}
        if "ready" in message:
            self._declined = {str(hook): str(why) for hook, why in message.get("declined", {}).items()}
            variants = ({**item, "operations": tuple(item["operations"])} for item in message["variants"])
            return str(message["ready"]), tuple(ServedVariant(**item) for item in variants)
        await self._process.wait()
        if "failed" in message:
            raise SetupError(str(message["failed"]), reason=str(message.get("reason", "")))
        raise WorkerUnavailable(f"the worker ended while starting; see {self._home.worker_log}")

    async def _keep_running(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing:
            assert self._process is not None  # noqa: S101 - started
            code = await self._process.wait()
            boot, client = self._boot, self._client
            self._boot, self._client = None, None
            log.warning("worker_ended", boot=boot, code=code)
            if client is not None:
                await client.close()
            while not self._closing:
                try:
                    await self._start_once()
                    pause = _FIRST_PAUSE
                    break
                except (SetupError, OSError) as error:  # the machine may have room or processes again later
                    reason = error.reason if isinstance(error, SetupError) else type(error).__name__
                    log.warning("worker_not_started", reason=reason)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
