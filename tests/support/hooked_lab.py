"""A lab with hooks in one process: the real gateway and worker over a store and a folder that survive their crashes."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

from attestations.documents.agreement import FineTuningGrant
from attestations.documents.base import format_time
from attestations.documents.engagement import PreRegistration, RegisteredSuite, SessionOpen
from attestations.documents.hooks import SandboxLimits
from attestations.envelope import Envelope, sign_document
from attestations.errors import WorkerUnavailable
from lab_server.backends.scripted import ScriptedBackend
from lab_server.engagements import Engagements
from lab_server.exchanging import Exchanging
from lab_server.hook_port import HookHandler
from lab_server.opening import Opening
from lab_server.ports import Job, JobOutcome, ServedVariant, StoredAgreement, StoredFrame, WorkerKeys
from lab_server.sandbox.port import ExecResult, Report, Sandbox, Spec, StreamHandler, Tier, Usage
from lab_server.steps import Steps
from lab_server.storage.memory import MemoryStore
from lab_server.trainer.port import Event, Planned, Progress, Trained, TrainingJob, training_failed
from lab_server.worker.derived import DerivedVariants, JobFolders
from lab_server.worker.finetuning import FineTuning
from lab_server.worker.sandboxes import Sandboxes, SandboxPolicy
from lab_server.worker.sealed_runs import SealedRuns, Served
from lab_server.worker.training_run import Trainable
from tests.support.audit_world import MANIFEST, TEMPLATE, TestClock, World
from tests.support.sandbox_statements import MADE_UP

TOKENS_A_STEP = 5
GRANT = FineTuningGrant(max_jobs=3, max_train_tokens="60")


class HeldTrainer:
    """Trains a step whenever a test lets it, dies when it is told to, and keeps a checkpoint every second step."""

    def __init__(self) -> None:
        self.permits: defaultdict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
        self.begun: list[str] = []
        self.identifying = 0  # how long it takes to say what it is, as one that asks another process
        self._waiting: set[str] = set()

    async def identify(self) -> str:
        for _ in range(self.identifying):
            await asyncio.sleep(0)
        return "held/1"

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        name, steps, place = job.folder.name, job.recipe.epochs, job.folder / "checkpoint"
        begun = int(place.read_text()) if place.exists() else 0
        self.begun.append(name)
        await self._permit(name)
        yield Planned(steps, steps * TOKENS_A_STEP, begun)
        for step in range(begun + 1, steps + 1):
            await self._permit(name)
            yield Progress(step, step * TOKENS_A_STEP, 4.0 / step)
            if step % 2 == 0:
                place.write_text(str(step))
        adapter = job.folder / "adapter.json"
        adapter.write_text(name)
        yield Trained(adapter)

    def waiting(self) -> list[str]:
        """The jobs that wait for a permit, in the order they were first begun."""
        return [name for name in dict.fromkeys(self.begun) if name in self._waiting]

    async def _permit(self, name: str) -> None:
        self._waiting.add(name)
        try:
            said = await self.permits[name].get()
        finally:
            self._waiting.discard(name)
        if said == "die":
            raise training_failed("TRAINER_DIED", "it was told to")


class NoWalls:
    """A sandbox without walls or programs: for tests of what is said of sandboxes, never of what they hold."""

    id, evidence = "none", MADE_UP

    def __init__(self, alive: set[NoWalls]) -> None:
        self._alive = alive
        alive.add(self)

    async def exec(self, *_: Any, **__: Any) -> ExecResult:
        return ExecResult(0, None, b"done", b"", "exited", False, 0.0, 0.0, 0)

    async def close(self) -> Usage:
        self._alive.discard(self)
        return Usage(0.0, 0.0, 0, 0, 0, 0)


class NoWallsProvider:
    """Gives `NoWalls` and knows which are alive."""

    name = "none"
    tier = Tier.PROCESS

    def __init__(self) -> None:
        self.alive: set[NoWalls] = set()

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        return NoWalls(self.alive)  # type: ignore[return-value]

    async def doctor(self) -> Report:
        return Report(self.name, self.tier, ())

    async def reap(self) -> tuple[str, ...]:
        return ()


class HookedLab:
    """The lab, and the `Worker` port over its own worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(fine_tuning=GRANT, sandbox=True, sessions=3)
        self.store, self.clock = MemoryStore(), TestClock()
        self.trainer, self.steps, self.boots = HeldTrainer(), Steps(), 0
        self.slow: defaultdict[str, int] = defaultdict(int)  # by session, how long answers are on their way
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Bring the agreement into force, start both halves and register a suite."""
        envelope = self.world.engagement().envelope
        assert await self.store.add_entries("a b", 0, [b"{}"], StoredAgreement(envelope.digest, envelope.to_bytes()))
        self.start_worker()
        await self.start_gateway()
        document = PreRegistration(
            agreement=self.engagement.digest,
            suite=RegisteredSuite(id="suite", root="aa" * 32, tasks=1),
            class_keys=(),
            plan="bb" * 32,
            graders=(),
            arms=("as_shipped",),
            epochs=1,
            max_attempts=1,
            registered_at=format_time(self.clock.now()),
        )
        await self.engagement.log.append_receipted(
            "registration", sign_document(document, self.world.auditor.publication)
        )
        await self.start_gateway()

    async def start_gateway(self, store: MemoryStore | None = None) -> None:
        """Start the gateway from what the store holds, as after a kill: what was under way is not heard of again."""
        self.steps.cancel()
        await asyncio.sleep(0)
        engagements = Engagements(keys=self.world.lab, store=store or self.store, clock=self.clock)  # type: ignore[arg-type]
        await engagements.restore()
        (self.engagement,) = engagements.all
        self.steps = Steps()
        self.exchanging = Exchanging(
            keys=self.world.lab,  # type: ignore[arg-type]
            store=store or self.store,
            worker=self,
            clock=self.clock,
            steps=self.steps,
        )
        self.opening = Opening(keys=self.world.lab, worker=self, steps=self.steps)  # type: ignore[arg-type]
        if store is None:
            await self.exchanging.abort_open(self.engagement, "GATEWAY_RESTARTED")

    def start_worker(self) -> None:
        """Start a worker on the folder as it is."""
        self.boots += 1
        self.boot: str | None = f"boot-{self.boots}"
        folders = JobFolders(self.folder)
        self.derived = DerivedVariants(folders, self._adapt)
        self.provider = NoWallsProvider()
        models = {"deployed": Trainable(self.folder, MANIFEST)}
        self.tuning = FineTuning(trainer=self.trainer, models=models, folders=folders, derived=self.derived, at_once=2)
        policy = SandboxPolicy(image="00" * 32, most=SandboxLimits(), sandboxes=2, idle_seconds=3600)
        self.sandboxes = Sandboxes(self.provider, policy)
        backend = ScriptedBackend(["yes"])
        served = {"deployed": Served("deployed", MANIFEST, TEMPLATE, backend, "cc" * 32)}
        hooks: dict[str, HookHandler] = {"fine_tune": self.tuning, "sandbox": self.sandboxes}
        self.runs = SealedRuns(served, hooks, self.tuning.served)

    async def kill_worker(self) -> None:
        """End the worker as SIGKILL does: nothing on the disk changes any more."""
        self.boot = None
        before, dying = self.folder.parent / "before", [*self._tasks]
        if self.folder.exists():
            shutil.copytree(self.folder, before)
        await self.tuning.close()
        await self.sandboxes.close()
        for task in dying:
            task.cancel()
        await asyncio.gather(*dying, return_exceptions=True)
        if before.exists():
            shutil.rmtree(self.folder)
            before.rename(self.folder)
        self.trainer.permits.clear()

    def refuses(self, hook: str) -> str | None:
        """See `Worker.refuses`."""
        return None

    async def enrol(self, agreement: str) -> WorkerKeys:
        """See `Worker.enrol`."""
        made = self.runs.enrol(agreement)
        operations = ("chat", "fine_tune", "sandbox", "score")
        variant = ServedVariant("deployed", MANIFEST, TEMPLATE, operations, 0, tools=False)
        public = made.signer.key.public
        return WorkerKeys(self.boot or "", made.hpke.public, public, "scripted", "dd" * 32, (variant,), None, None)

    async def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """See `Worker.run`."""
        queue: asyncio.Queue[StoredFrame | JobOutcome] = asyncio.Queue()

        async def work() -> None:
            async for item in self.runs.run(job):
                queue.put_nowait(item)

        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        got = None
        try:
            while True:
                got = asyncio.create_task(queue.get())
                await asyncio.wait({got, task}, return_when=asyncio.FIRST_COMPLETED)
                if not got.done():
                    got.cancel()
                    if not queue.empty():
                        continue
                    raise WorkerUnavailable("the worker was killed")
                item = got.result()
                for _ in range(self.slow[job.session] if isinstance(item, JobOutcome) else 0):
                    await asyncio.sleep(0)
                yield item
                if isinstance(item, JobOutcome):
                    return
        finally:
            task.cancel()  # the gateway has hung up
            if got is not None:
                got.cancel()

    async def forget(self, agreement: str) -> None:
        """See `Worker.forget`."""
        await self.runs.forget(agreement)

    async def runtime(self) -> Envelope:
        """Return the runtime statement of the running worker."""
        return await self.opening.runtime(self.engagement)

    async def session(self, name: str) -> Envelope:
        """Open a session and return its grant."""
        document = SessionOpen(
            agreement=self.engagement.digest,
            session=name,
            nonce="ab" * 32,
            auditor_tls=self.engagement.agreement.transport.auditor,
            opened_at=format_time(self.clock.now()),
        )
        signed = sign_document(document, self.world.auditor.exchange)
        return await self.opening.open_session(self.engagement, signed, document)

    def leaves(self, start: int) -> list[bytes]:
        """Return the leaves from a place on, at this very moment."""
        return [leaf.data for leaf in self.store._leaves[self.engagement.digest][start:]]

    async def _adapt(self, base: str, adapter: Path) -> Any:
        return ScriptedBackend([f"learned by {adapter.parent.name} from {base}"])
