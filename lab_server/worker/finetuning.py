"""The fine-tune hook: starts jobs, tells how they stand, ends them. Demonstrations stay in this process's memory.

A trainer that dies is started again from its last checkpoint. A worker that dies takes its jobs with it, because the
demonstrations are gone: the next worker says `ABORTED_CRASH`.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress

from attestations.digests import sha256
from attestations.documents.base import decode
from attestations.documents.exchange import Usage
from attestations.documents.finetuning import (
    CancelTraining,
    FineTuneRequest,
    FineTuneResult,
    JobState,
    StartTraining,
    TrainingStatement,
    derived_manifest,
    job_name,
    losses_digest,
)
from attestations.errors import TrainingFailed
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.trainer.port import Planned, Progress, Trained, Trainer, TrainingJob, training_failed
from lab_server.worker.derived import DerivedVariants, JobFolders, KeptJob
from lab_server.worker.sealed_runs import Served
from lab_server.worker.training_run import (
    JobUnderWay,
    Trainable,
    curve,
    first_statement,
    heard,
    seconds_so_far,
    told,
)

_DEATHS = 5  # of the trainer in a row without a step between them
_EARLY = 0.5  # seconds to answer before the exchange's own deadline


class FineTuning:
    """Every fine-tune job of this worker (a `HookHandler`)."""

    def __init__(
        self,
        *,
        trainer: Trainer,
        models: Mapping[str, Trainable],
        folders: JobFolders,
        derived: DerivedVariants,
        at_once: int = 1,
        threads: int = 1,
        checkpoint_steps: int = 20,
    ) -> None:
        """Train from `models` by variant, at most `at_once` jobs at a time."""
        self._trainer = trainer
        self._models = models
        self._folders = folders
        self._derived = derived
        self._at_once = at_once
        self._threads = threads
        self._checkpoint_steps = checkpoint_steps
        self._running: dict[tuple[str, str], JobUnderWay] = {}
        folders.sweep()
        for agreement in folders.agreements():
            for kept in folders.jobs(agreement):
                self._abort(kept)

    async def answer(self, request: object, place: HookPlace, *, deadline_seconds: float) -> Done | NotDone:
        """See `HookHandler.answer`."""
        if not isinstance(request, FineTuneRequest):
            return NotDone("REFUSED_POLICY", "OPERATION_MISMATCH")
        action = request.action
        if isinstance(action, StartTraining):
            return await self._start(action, place)
        running = self._running.get((place.agreement, action.job))
        if running is not None and not running.statement.planned_steps:
            return NotDone("REFUSED_POLICY", "JOB_UNKNOWN")  # it has not begun, and whoever starts it waits for that
        if running is not None and running.base == place.variant:
            if running.due is not None:
                self._finish(running, *running.due)
            if isinstance(action, CancelTraining):
                await self._stop(running)
            else:
                await self._wait(running, min(float(action.seconds), deadline_seconds - _EARLY))
            return told(running)
        for kept in self._folders.jobs(place.agreement):
            if kept.statement.job == action.job and kept.statement.base == place.variant:
                return Done(FineTuneResult(statement=kept.statement, losses=kept.losses), kept.statement)
        return NotDone("REFUSED_POLICY", "JOB_UNKNOWN")

    async def served(self, agreement: str, variant: str) -> Served | None:
        """Return what a job of this agreement made, ready to answer; None where none made it."""
        return await self._derived.served(agreement, variant)

    async def forget(self, agreement: str) -> None:
        """End the jobs of one agreement and destroy what they made."""
        for name in [name for name in self._running if name[0] == agreement]:
            await self._end(self._running.pop(name))
        await self._derived.forget(agreement)

    async def close(self) -> None:
        """End every job; the next boot finds those that were under way and says so."""
        for running in self._running.values():
            await self._end(running)
        self._running.clear()
        await self._derived.close()

    async def _start(self, action: StartTraining, place: HookPlace) -> Done | NotDone:
        trainable = self._models.get(place.variant)
        if trainable is None:
            return NotDone("REFUSED_POLICY", "VARIANT_NOT_TRAINABLE")
        try:
            trainer = await self._trainer.identify()
        except TrainingFailed as error:
            return NotDone("ERROR", error.facts["code"])
        if len(self._running) >= self._at_once:  # nothing is awaited from here until this job is one of them
            return NotDone("REFUSED_POLICY", "TRAINER_BUSY")
        job = job_name(place.commitment)
        running = JobUnderWay(
            agreement=place.agreement,
            action=action,
            base=place.variant,
            folder=self._folders.make(place.agreement, job),
            trainer=trainer,
            statement=first_statement(action, place, trainable, trainer, job),
            began=time.monotonic(),
            most_tokens=place.most_tokens,
        )
        self._running[place.agreement, job] = running
        running.task = asyncio.create_task(self._train(running, trainable, place))
        try:
            while not running.statement.planned_steps and running.failed is None:
                running.changed.clear()
                await running.changed.wait()
        except asyncio.CancelledError:
            await self._drop(running)  # nobody was told of it
            raise
        if running.failed is not None:
            await self._drop(running)
            return NotDone("ERROR", running.failed.facts["code"])
        answer = told(running)
        planned = int(running.statement.planned_tokens)
        usage = Usage(input_tokens=planned, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
        return Done(answer.result, answer.statement, usage)

    async def _train(self, running: JobUnderWay, trainable: Trainable, place: HookPlace) -> None:
        try:
            await self._until_ended(running, trainable, place)
        finally:
            if self._ended(running):  # with the last reference to it go the demonstrations
                self._running.pop((running.agreement, running.statement.job), None)

    async def _until_ended(self, running: JobUnderWay, trainable: Trainable, place: HookPlace) -> None:
        job = TrainingJob(
            model=trainable.model,
            recipe=running.action.recipe,
            demonstrations=running.action.demonstrations,
            seed=place.seed % 2**32,
            folder=running.folder,
            most_tokens=place.most_tokens,
            threads=self._threads,
            checkpoint_steps=self._checkpoint_steps,
        )
        deaths = 0
        while True:
            before = running.statement.steps
            try:
                async with aclosing(self._trainer.train(job)) as events:
                    async for event in events:
                        self._heard(running, trainable, event)
            except TrainingFailed as error:
                died = error.facts["code"] == "TRAINER_DIED"
                deaths = deaths + 1 if running.statement.steps <= before else 0
                if died and deaths < _DEATHS:
                    running.deaths += 1
                    continue
                self._failed(running, error, aborted=died)
            except OSError:
                self._failed(running, training_failed("NO_ROOM", "the job's folder cannot be used"), aborted=False)
            except Exception as error:  # noqa: BLE001 - a job always ends, and its error may quote content
                self._failed(running, TrainingFailed(type(error).__name__, code="TRAINER_DIED"), aborted=True)
            return

    def _heard(self, running: JobUnderWay, trainable: Trainable, event: Planned | Progress | Trained) -> None:
        now, changes = running.statement, heard(running, event)
        if isinstance(event, Trained):
            adapter = sha256(event.adapter.read_bytes())
            changes |= {
                "state": "SUCCEEDED",
                "losses": losses_digest(curve(running), decode(running.action.salt)),
                "adapter": adapter,
                "manifest": derived_manifest(trainable.manifest, adapter),
            }
        statement = TrainingStatement.model_validate(now.model_copy(update=changes).model_dump())
        if isinstance(event, Trained):
            self._folders.clear(running.folder, adapter=False)
        if not isinstance(event, Progress):
            self._keep(running, statement)
        running.statement = statement
        running.changed.set()

    def _failed(self, running: JobUnderWay, error: TrainingFailed, *, aborted: bool) -> None:
        if not running.statement.planned_steps:
            running.failed = error
        else:
            self._finish(running, "ABORTED_CRASH" if aborted else "FAILED", error.facts["code"])
        running.changed.set()

    def _finish(self, running: JobUnderWay, state: JobState, code: str | None) -> None:
        changes = {"state": state, "code": code, "seconds": seconds_so_far(running)}
        statement = running.statement.model_copy(update=changes)
        try:
            self._folders.clear(running.folder, adapter=True)
            self._keep(running, statement)
        except OSError:
            # An end never changes, and the next boot would know of none: it is told once it is written.
            running.due = (state, code)
            return
        running.due, running.statement = None, statement
        self._running.pop((running.agreement, statement.job), None)
        running.changed.set()

    def _keep(self, running: JobUnderWay, statement: TrainingStatement) -> None:
        self._folders.keep(KeptJob(running.folder, statement, tuple(curve(running))))

    async def _wait(self, running: JobUnderWay, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                while not self._ended(running):
                    running.changed.clear()
                    await running.changed.wait()

    async def _stop(self, running: JobUnderWay) -> None:
        if self._ended(running):
            return
        await self._end(running)
        if not self._ended(running):  # it may have ended well while it was told to stop
            self._finish(running, *(running.due or ("CANCELLED", None)))

    async def _drop(self, running: JobUnderWay) -> None:
        self._running.pop((running.agreement, running.statement.job), None)
        await self._end(running)
        shutil.rmtree(running.folder, ignore_errors=True)

    @staticmethod
    async def _end(running: JobUnderWay) -> None:
        if running.task is not None:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)

    @staticmethod
    def _ended(running: JobUnderWay) -> bool:
        return running.statement.state != "RUNNING"

    def _abort(self, kept: KeptJob) -> None:
        if kept.statement.state != "RUNNING":
            return
        changes = {"state": "ABORTED_CRASH", "code": "WORKER_RESTARTED"}
        self._folders.clear(kept.folder, adapter=True)
        self._folders.keep(KeptJob(kept.folder, kept.statement.model_copy(update=changes), kept.losses))
