"""The models that fine-tune jobs have made: kept for their engagement alone, loaded when asked, destroyed with it.

What lies where: `fine-tuning/AGREEMENT/JOB/` in the lab's folder, which only its user can enter, holds `job.json`
(the statement and the loss curve) and the adapter. Adapters are in clear: whoever can read them can read the keys
beside them. Demonstrations are never written.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from attestations.digests import sha256
from attestations.documents.base import validated
from attestations.documents.dialogue import Sampling
from attestations.documents.finetuning import LossPoint, TrainingStatement, variant_name
from attestations.errors import ModelIdentityMismatch, SafeconductError
from lab_server.model_port import Delta, Finished, ModelBackend, Request
from lab_server.worker.sealed_runs import Served

_JOB = "job.json"
_LOADED = 2  # adapted models kept in memory at once, besides the lab's own
Adapt = Callable[[str, Path], Awaitable[ModelBackend]]
"""From a variant and an adapter file to a backend that serves the one under the other."""


@dataclass(frozen=True)
class KeptJob:
    """One job as it lies on disk."""

    folder: Path
    statement: TrainingStatement
    losses: tuple[LossPoint, ...]

    @property
    def variant(self) -> str:
        """The name of what the job makes."""
        return variant_name(self.statement.base, self.statement.job)

    @property
    def adapter(self) -> Path:
        """The trained file of a job that SUCCEEDED."""
        return next(iter(sorted(self.folder.glob("adapter.*"))), self.folder / "adapter")


class JobFolders:
    """The folders of every job of every agreement."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, agreement: str, job: str) -> Path:
        """Return a new, empty folder for a job."""
        folder = self._of(agreement) / job
        folder.mkdir(mode=0o700, parents=True)
        for made in (self._root, folder.parent):
            made.chmod(0o700)
        return folder

    def jobs(self, agreement: str) -> Iterator[KeptJob]:
        """Give an agreement's jobs that have stated something; one that is being planned has not."""
        for folder in self._folders(agreement):
            kept = _read(folder)
            if kept is not None:
                yield kept

    def sweep(self) -> None:
        """Remove what a crash left before its first statement; only while no job runs."""
        for agreement in self.agreements():
            for folder in self._folders(agreement):
                if _read(folder) is None:
                    shutil.rmtree(folder, ignore_errors=True)

    def keep(self, kept: KeptJob) -> None:
        """Write down how a job stands, whole or not at all."""
        value = {
            "statement": kept.statement.json_value(),
            "losses": [point.json_value() for point in kept.losses],
        }
        path = kept.folder / _JOB
        unfinished = path.with_suffix(".part")
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def clear(self, folder: Path, *, adapter: bool) -> None:
        """Remove a job's checkpoint, and its adapter too where `adapter` says so."""
        for path in folder.iterdir():
            if path.name != _JOB and (adapter or not path.name.startswith("adapter.") or path.suffix == ".part"):
                path.unlink()

    def destroy(self, agreement: str) -> None:
        """Remove everything of one agreement."""
        shutil.rmtree(self._of(agreement), ignore_errors=False) if self._of(agreement).exists() else None

    def agreements(self) -> list[str]:
        """Return the agreements that have jobs."""
        return sorted(path.name for path in self._root.iterdir()) if self._root.is_dir() else []

    def _folders(self, agreement: str) -> list[Path]:
        own = self._of(agreement)
        return sorted(own.iterdir()) if own.is_dir() else []

    def _of(self, agreement: str) -> Path:
        return self._root / agreement


class DerivedVariants:
    """Serves what jobs have made."""

    def __init__(self, folders: JobFolders, adapt: Adapt) -> None:
        self._folders = folders
        self._adapt = adapt
        self._loaded: OrderedDict[tuple[str, str], _InUse] = OrderedDict()
        self._loading = asyncio.Lock()

    def find(self, agreement: str, variant: str) -> KeptJob | None:
        """Return the job of this agreement that made a variant, or None."""
        if "+" not in variant:
            return None
        jobs = self._folders.jobs(agreement)
        return next((job for job in jobs if job.variant == variant and job.statement.state == "SUCCEEDED"), None)

    async def served(self, agreement: str, variant: str) -> Served | None:
        """Return a derived variant, loaded if it is not; None where no job of this agreement made it.

        Raises:
            ModelIdentityMismatch: the adapter is not the one the statement names.
            FileUnusable, ConfigurationInvalid: it cannot be loaded.
        """
        kept = self.find(agreement, variant)
        if kept is None or kept.statement.manifest is None:
            return None
        backend = await self._backend(agreement, kept)
        identity = await backend.identify()
        return Served(variant, kept.statement.manifest, identity.template_digest, backend, identity.fingerprint)

    async def _backend(self, agreement: str, kept: KeptJob) -> ModelBackend:
        name = (agreement, kept.variant)
        async with self._loading:
            if name not in self._loaded:
                await asyncio.to_thread(_check, kept)
                self._loaded[name] = _InUse(await self._adapt(kept.statement.base, kept.adapter))
            self._loaded.move_to_end(name)
            # One that is answering stays, whoever asks for more meanwhile.
            idle = [other for other in self._loaded if not self._loaded[other].answers]
            for other in idle[: max(0, len(self._loaded) - _LOADED)]:
                if other != name:
                    await self._loaded.pop(other).close()
            return self._loaded[name]

    async def forget(self, agreement: str) -> None:
        """Destroy what was made under one agreement."""
        async with self._loading:
            for name in [name for name in self._loaded if name[0] == agreement]:
                await self._loaded.pop(name).close()
            self._folders.destroy(agreement)

    async def close(self) -> None:
        """Unload everything; what lies on disk stays."""
        while self._loaded:
            await self._loaded.popitem()[1].close()


class _InUse:
    """A `ModelBackend` that counts the answers under way."""

    def __init__(self, backend: ModelBackend) -> None:
        self._backend = backend
        self.capabilities = backend.capabilities
        self.identify, self.close = backend.identify, backend.close
        self.answers = 0

    async def answer(
        self, request: Request, sampling: Sampling, *, seed: int, deadline_seconds: float
    ) -> AsyncIterator[Delta | Finished]:
        self.answers += 1
        try:
            async for item in self._backend.answer(request, sampling, seed=seed, deadline_seconds=deadline_seconds):
                yield item
        finally:
            self.answers -= 1


def _read(folder: Path) -> KeptJob | None:
    try:
        value = json.loads((folder / _JOB).read_text())
        statement = validated(TrainingStatement, value["statement"])
        losses = tuple(validated(LossPoint, point) for point in value["losses"])
    except (OSError, ValueError, KeyError, TypeError, SafeconductError):
        return None
    return KeptJob(folder, statement, losses)


def _check(kept: KeptJob) -> None:
    try:
        digest = sha256(kept.adapter.read_bytes())
    except OSError:
        digest = "missing"
    if digest != kept.statement.adapter:
        raise ModelIdentityMismatch("an adapter is not the one that was trained", job=kept.statement.job)
