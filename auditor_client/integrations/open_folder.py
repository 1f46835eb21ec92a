"""Auditor's folders this process asks from: each is opened once, held against other commands, and closed together."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from attestations.documents.agreement import Agreement
from auditor_client.app import auditor
from auditor_client.beginning import begin
from auditor_client.ports import Journal
from auditor_client.questioning import Questioner


@dataclass(frozen=True)
class OpenFolder:
    """A folder with an agreement in force and its suite registered, ready to be asked from."""

    agreement: Agreement
    digest: str  # of the agreement as first concluded, the engagement's name
    questioner: Questioner


@dataclass
class _Opening:
    loop: asyncio.AbstractEventLoop
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    task: asyncio.Task[OpenFolder] | None = None


class OpenFolders:
    """The folders of one process, opened for one purpose."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._openings: dict[Path, _Opening] = {}

    async def open(self, path: Path) -> OpenFolder:
        """Return a folder; the first to ask opens it, and registers the suite if that was not done before.

        Raises:
            FileUnusable, ConfigurationInvalid, PhaseViolation: the folder is not ready for it.
            StoreFailed: another command works in it.
            LabUnreachable: the lab does not answer.
        """
        opening = self._openings.get(path)
        if opening is not None and opening.loop.is_closed():
            opening = None  # its run ended without a word: what it held went with its loop
        if opening is None:
            opening = self._openings[path] = _Opening(asyncio.get_running_loop())
            opening.task = asyncio.create_task(self._open(path, opening.stack))
        if opening.task is None:
            raise RuntimeError("a folder that is being opened has its task")
        try:
            return await asyncio.shield(opening.task)
        except BaseException:
            if opening.task.done() and self._openings.get(path) is opening:
                del self._openings[path]
                await opening.stack.aclose()
            raise

    async def close(self) -> None:
        """Close every folder: what was begun ends, and the log is cosigned."""
        openings = list(self._openings.values())
        self._openings.clear()
        for opening in openings:
            if opening.loop is not asyncio.get_running_loop():
                continue
            if opening.task is not None:
                await asyncio.wait([opening.task])
            await opening.stack.aclose()

    async def _open(self, path: Path, stack: AsyncExitStack) -> OpenFolder:
        us = await stack.enter_async_context(auditor(path))
        engagement = us.engagement()
        mirror = us.mirror()
        stack.callback(mirror.close)
        await begin(us, engagement, mirror)
        kept = _kept(us.journal, self._purpose)
        asking = us.questioner(engagement, mirror, self._purpose, kept=kept)
        questioner = await stack.enter_async_context(asking)
        return OpenFolder(engagement.agreement, engagement.digest, questioner)


def sessions_key(purpose: str) -> str:
    """Return under which name a folder's journal keeps the sessions in which sandboxes were left open."""
    return f"{purpose}/sandboxes"


def _kept(journal: Journal, purpose: str) -> tuple[str, ...]:
    return tuple(json.loads(journal.recall(sessions_key(purpose)) or b"[]"))
