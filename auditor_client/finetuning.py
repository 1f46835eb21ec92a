"""Has the lab fine-tune a model: demonstrations in, a variant of this engagement out, each request an exchange.

What was asked stands in the journal, so a crash at any point is mended by asking again: the same job is started
once, and one that runs can be followed from another process.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from attestations.documents.asking import MAX_HOOK_DOCUMENT_BYTES
from attestations.documents.base import decode, encode, validated
from attestations.documents.dialogue import NOTHING_DRAWN, Message, ScoreRequest
from attestations.documents.finetuning import (
    ENDED,
    MAX_DEMONSTRATIONS,
    CancelTraining,
    Demonstration,
    FineTuneRequest,
    FineTuneResult,
    Recipe,
    StartTraining,
    TrainingStatement,
    WaitTraining,
    losses_digest,
    start_root,
)
from attestations.errors import (
    CommitmentMismatch,
    FileUnusable,
    PhaseViolation,
    SafeconductError,
    TrainingFailed,
)
from attestations.scaffolds.task import demonstration, task_of
from auditor_client.eliciting.arms import DEV
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.intending import Question, Randomness
from auditor_client.questioning import Questioner

WAIT_SECONDS = 5
FINE_TUNE = "fine_tune"
_LOOK_SECONDS = 0.05
Following = Callable[[FineTuneResult], None]


def read_demonstrations(data: bytes, name: str) -> tuple[Demonstration, ...]:
    """Read a JSONL file: `{"prompt": …, "completion": …}`, or `{"messages": […]}` that ends with the assistant's turn.

    Raises:
        FileUnusable: naming the first line that is neither, and never quoting it.
    """
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_demonstration(json.loads(line)))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, SafeconductError):
            raise FileUnusable(f"{name}: line {number} is no demonstration", file=name, line=str(number)) from None
    if not 1 <= len(found) <= MAX_DEMONSTRATIONS:
        raise FileUnusable(f"{name} holds {len(found)} demonstrations, not 1 to {MAX_DEMONSTRATIONS}", file=name)
    return tuple(found)


def dev_demonstrations(suite: FrozenSuite) -> tuple[Demonstration, ...]:
    """Return the suite's DEV tasks with their right answers, as they are asked; never a TEST task.

    Raises:
        PhaseViolation: none has a right answer that is one text.
    """
    found = []
    for task in suite.tasks:
        if task.kind != DEV:
            continue
        prompt = task.value("prompt")
        shown, request = demonstration(prompt, task.value("target")), task_of(prompt).request
        if shown is None:
            continue
        if isinstance(request, ScoreRequest) and request.prefix is not None:
            found.append(Demonstration(prompt=request.prefix, completion=f" {shown.answer}"))
        else:
            found.append(Demonstration(messages=request.messages, completion=shown.answer))
    if not found:
        raise PhaseViolation("the suite has no DEV task with one right answer")
    return tuple(found)


class FineTuner:
    """Starts, follows and cancels jobs; each request is an exchange of the purpose `fine_tune`."""

    def __init__(self, questioner: Questioner) -> None:
        self._questioner = questioner
        self._journal = questioner.journal
        self._engagement = questioner.engagement

    async def start(
        self, demonstrations: tuple[Demonstration, ...], recipe: Recipe, *, variant: str, randomness: Randomness
    ) -> FineTuneResult:
        """Start a job, or find the same one that still runs, and return how it stands.

        Raises:
            HookRefused: the lab declines, on record.
            BudgetExhausted, ScopeExceeded: the agreement does not grant it.
            TrainingFailed: the lab could not begin; the fact `code` says why.
        """
        for job, (action, base) in (await self.started()).items():
            same = (action.demonstrations, action.recipe, base) == (demonstrations, recipe, variant)
            if same and self._engagement.training.jobs[job].state not in ENDED:
                return await self.status(job)
        action = StartTraining(recipe=recipe, demonstrations=demonstrations, salt=encode(randomness(32)))
        result = await self._ask(action, variant)
        _check(result, action)
        return result

    async def follow(self, job: str, heard: Following) -> FineTuneResult:
        """Ask until a job has ended, and return how it did."""
        while True:
            result = await self.status(job, seconds=WAIT_SECONDS)
            heard(result)
            if result.statement.state in ENDED:
                return result

    async def status(self, job: str, *, seconds: int = 0) -> FineTuneResult:
        """Return how a job stands, at the latest after so many seconds."""
        action, variant = await self._known(job)
        result = await self._ask(WaitTraining(job=job, seconds=seconds), variant)
        _check(result, action)
        return result

    async def cancel(self, job: str) -> FineTuneResult:
        """End a job; one that has ended already stays as it is."""
        return await self._ask(CancelTraining(job=job), (await self._known(job))[1])

    async def started(self) -> dict[str, tuple[StartTraining, str]]:
        """Return every job that was started from this folder: what was asked, and the variant it trains from."""
        while self._open():  # noqa: ASYNC110 - the lanes carry through what a crash left, and tell the journal
            await asyncio.sleep(_LOOK_SECONDS)
        found = {}
        async for exchange in self._journal.exchanges():
            if exchange.item.purpose != FINE_TUNE or exchange.result is None:
                continue
            action = FineTuneRequest.parse(exchange.request, limit=MAX_HOOK_DOCUMENT_BYTES).action
            if isinstance(action, StartTraining):
                statement = FineTuneResult.parse(exchange.result, limit=MAX_HOOK_DOCUMENT_BYTES).statement
                found[statement.job] = (action, statement.base)
        return found

    def _open(self) -> bool:
        waiting = (self._journal.pending(session.name) for session in self._journal.sessions())
        return any(pending is not None and pending.item.purpose == FINE_TUNE for pending in waiting)

    async def _known(self, job: str) -> tuple[StartTraining, str]:
        started = await self.started()
        if job not in started:
            raise PhaseViolation("no such job was started from this folder", job=job)
        return started[job]

    async def _ask(self, action: StartTraining | WaitTraining | CancelTraining, variant: str) -> FineTuneResult:
        question = Question(FineTuneRequest(action=action), variant, NOTHING_DRAWN)
        answered = await self._questioner.ask(question)
        if not isinstance(answered.answer, FineTuneResult):
            code = answered.record.code or answered.record.status
            raise TrainingFailed(f"the lab did not do it: {code}", code=code)
        return answered.answer


def _check(result: FineTuneResult, action: StartTraining) -> None:
    """Hold what the lab signs of a job against what was sent: demonstrations, recipe and loss curve."""
    statement = result.statement
    ours = (start_root(action), len(action.demonstrations), action.recipe)
    if (statement.demonstrations, statement.count, statement.recipe) != ours:
        raise CommitmentMismatch("the lab trained on something else than was sent", job=statement.job)
    if statement.losses is not None and losses_digest(result.losses, decode(action.salt)) != statement.losses:
        raise CommitmentMismatch("the loss curve is not the one that was signed", job=statement.job)


def summary(statement: TrainingStatement) -> str:
    """Return how a job stands in one line; no content."""
    told = f"{statement.job}: {statement.state.lower()}, step {statement.steps} of {statement.planned_steps}"
    if statement.code is not None:
        told += f" ({statement.code})"
    return told + f", {int(statement.tokens):,} tokens in {float(statement.seconds):.0f} s"


def _demonstration(value: dict[str, Any]) -> Demonstration:
    if set(value) == {"prompt", "completion"}:
        return Demonstration(prompt=value["prompt"], completion=value["completion"])
    turns = [validated(Message, turn) for turn in value["messages"]]
    if set(value) == {"messages", "completion"}:
        return Demonstration(messages=tuple(turns), completion=value["completion"])
    if set(value) != {"messages"} or turns[-1].role != "assistant":
        raise ValueError("neither form")
    return Demonstration(messages=tuple(turns[:-1]), completion=turns[-1].content)
