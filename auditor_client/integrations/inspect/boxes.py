"""The boxes of one run: each sample has one for itself, in a session of its own, and none outlives its sample."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import anyio

from attestations.documents.hooks import SandboxLimits, Tier
from attestations.errors import SafeconductError
from attestations.keys import KeyUse
from auditor_client.asked import Line
from auditor_client.integrations.open_folder import OpenFolder, sessions_key
from auditor_client.integrations.receipts import receipt
from auditor_client.scaffolds.sandbox import RemoteSandbox

# All that the lab allows: a box is bounded by the lab's limits, which every Record of it states.
LIMITS = SandboxLimits(
    wall_seconds=86_400,
    cpu_seconds=86_400,
    cpu_cores="1024",
    memory_mb=1_048_576,
    processes=65_536,
    disk_mb=1_048_576,
    files=10_000_000,
    output_bytes=1 << 30,
    model_calls=0,
)


@dataclass(eq=False, repr=False)
class Box:
    """One sample's box, the line it is asked over, and what the lab allows it."""

    remote: RemoteSandbox
    line: Line
    limits: SandboxLimits = LIMITS


@dataclass(eq=False, repr=False)
class Boxes:
    """The boxes over one folder: at most as many at once as half its lanes, the other half is the models'."""

    folder: OpenFolder
    _room: asyncio.Semaphore = field(init=False)
    _free: list[Line] = field(default_factory=list)
    _open: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Keep the lanes that boxes may need."""
        questioner = self.folder.questioner
        most = max(1, questioner.lanes // 2)
        self._room = asyncio.Semaphore(most)
        questioner.reserved = most

    async def open(self, *, variant: str, tier: Tier) -> Box:
        """Make a box beside a variant; waits while as many are open as may be.

        Raises:
            SandboxUnavailable: the lab gives no such box, or no further one.
            ScopeExceeded, HookRefused and what else asking raises.
        """
        await self._room.acquire()
        try:
            line = self._free.pop() if self._free else self.folder.questioner.own_line()
        except SafeconductError:
            self._room.release()
            raise
        box = Box(RemoteSandbox(self.folder.questioner, line, variant=variant), line)
        self._open.append(box)
        try:
            opened = await box.remote.open(limits=LIMITS, env={}, tier=tier, model=False)
            box.limits = opened.limits
            await self._note()
        except BaseException:
            await self.close(box)
            raise
        return box

    async def close(self, box: Box) -> None:
        """End a box and everything in it, after the command that runs in it; harmless when repeated."""
        if box not in self._open:
            return
        self._open.remove(box)
        with anyio.CancelScope(shield=True):  # also when the sample is cancelled: only its session can end it
            try:
                if box.remote.asked:
                    await box.remote.close()
                await self._note()
            except SafeconductError:
                pass  # the lab is away or refuses: its idle limit ends the box
            finally:
                self._free.append(box.line)
                self._room.release()

    async def close_all(self) -> None:
        """End every box that is open still."""
        await asyncio.gather(*(self.close(box) for box in list(self._open)))

    async def close_kept(self, *, variant: str) -> int:
        """End what runs that were cut short have left, and return in how many sessions that was looked for."""
        sessions = self.folder.questioner.kept
        for _ in sessions:
            line = self.folder.questioner.own_line()
            await RemoteSandbox(self.folder.questioner, line, variant=variant).close()
        await self._note()
        return len(sessions)

    def told(self, box: Box) -> dict[str, Any]:
        """Return for a log where a box's exchanges are, and what the lab has signed about it."""
        if box.remote.last is None or box.remote.statement is None:
            raise RuntimeError("a box that was opened has been told of")
        told = receipt(box.remote.last, lab_key=self.folder.agreement.lab_key(KeyUse.RECORD))
        return told | {"sandbox": box.remote.statement.json_value()}

    async def _note(self) -> None:
        names = sorted(box.remote.session for box in self._open if box.remote.session is not None)
        questioner = self.folder.questioner
        await questioner.journal.remember(sessions_key(questioner.purpose), json.dumps(names).encode())
