"""Has the lab fine-tune a model: demonstrations in, a variant of this engagement out, each request an exchange.

What is asked is kept before it is sent, under the number of its auxiliary item, so that a crash at any point is
mended by asking again: a job is started once, and one that runs can be followed from another process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.asking import MAX_HOOK_DOCUMENT_BYTES
from attestations.documents.base import decode, encode, validated
from attestations.documents.dialogue import Message, Sampling
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
from auditor_client.campaign import FINE_TUNE, Campaign
from auditor_client.campaign_state import AUXILIARY, Item
from auditor_client.intending import Question, Randomness
from auditor_client.ports import Journal

WAIT_SECONDS = 5
_ASKED, _JOB = "finetune/asked/", "finetune/job/"
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


class FineTuner:
    """Starts, follows and cancels jobs over one campaign."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._journal = campaign.journal

    async def start(
        self, demonstrations: tuple[Demonstration, ...], recipe: Recipe, *, variant: str, randomness: Randomness
    ) -> FineTuneResult:
        """Start a job, or take up the start that an interruption left open, and return how it stands.

        Raises:
            HookRefused: the lab declines, on record.
            BudgetExhausted, ScopeExceeded: the agreement does not grant it.
            TrainingFailed: the lab could not begin; the fact `code` says why.
        """
        await self._recover()
        for job in self.jobs():
            action = self._started(job)
            same = (action.demonstrations, action.recipe, self._variant(job)) == (demonstrations, recipe, variant)
            if same and self._campaign.engagement.training.jobs[job].state not in ENDED:
                return await self.status(job)
        action = StartTraining(recipe=recipe, demonstrations=demonstrations, salt=encode(randomness(32)))
        number, result = await self._ask(action, variant)
        await self._keep(number, result, variant)
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
        result = (await self._ask(WaitTraining(job=job, seconds=seconds), self._variant(job)))[1]
        self._check(result)
        return result

    async def cancel(self, job: str) -> FineTuneResult:
        """End a job; one that has ended already stays as it is."""
        return (await self._ask(CancelTraining(job=job), self._variant(job)))[1]

    def jobs(self) -> list[str]:
        """Return the jobs that were started."""
        return [name.removeprefix(_JOB) for name in self._journal.names(_JOB)]

    async def _recover(self) -> None:
        """Carry through what an interruption left open, and keep jobs of which nobody has heard yet."""
        await self._campaign.run(lanes=1, only=lambda _: False)
        for item in self._items():
            answers = self._journal.answers(item)
            request = _asked(self._journal, item.epoch)
            if not answers or not isinstance(request.action, StartTraining):
                continue
            result = _result(answers[-1])
            if result.statement.job not in self.jobs():
                await self._keep(item.epoch, result, result.statement.base)

    async def _keep(self, number: int, result: FineTuneResult, variant: str) -> None:
        kept = canonical_bytes({"asked": number, "variant": variant})
        await self._journal.remember(f"{_JOB}{result.statement.job}", kept)
        self._check(result)

    def _items(self) -> list[Item]:
        return [item for item in self._journal.items() if item.auxiliary and item.arm == FINE_TUNE]

    async def _ask(
        self, action: StartTraining | WaitTraining | CancelTraining, variant: str
    ) -> tuple[int, FineTuneResult]:
        items = self._items()
        open_now = {
            pending.item.epoch
            for session in self._journal.sessions()
            if (pending := self._journal.pending(session.name)) is not None and pending.item in items
        }
        # A number that was refused was never promised: it is used again, so that the numbers stay dense.
        waiting = [item for item in items if item.state == "WAITING" and item.epoch not in open_now]
        item = waiting[0] if waiting else Item(AUXILIARY, FINE_TUNE, len(items))
        kept = canonical_bytes({"request": FineTuneRequest(action=action).json_value(), "variant": variant})
        await self._journal.remember(f"{_ASKED}{item.epoch}", kept)
        await self._journal.schedule([item])
        await self._campaign.run(lanes=1, only=lambda other: other.auxiliary and other == item)
        answers = self._journal.answers(item)
        if not answers:
            raise TrainingFailed("the lab did not do it", code=await self._code(item))
        return item.epoch, _result(answers[-1])

    async def _code(self, item: Item) -> str:
        async for exchange in self._journal.exchanges():
            if (exchange.item.task, exchange.item.arm, exchange.item.epoch) == (item.task, item.arm, item.epoch):
                code = exchange.code or exchange.status
        return code

    def _variant(self, job: str) -> str:
        return str(self._kept(job)["variant"])

    def _kept(self, job: str) -> dict[str, Any]:
        kept = self._journal.recall(f"{_JOB}{job}")
        if kept is None:
            raise PhaseViolation("no such job was started from this folder", job=job)
        value: dict[str, Any] = parse_canonical(kept)
        return value

    def _started(self, job: str) -> StartTraining:
        action = _asked(self._journal, int(self._kept(job)["asked"])).action
        if not isinstance(action, StartTraining):
            raise PhaseViolation("no such job was started from this folder", job=job)
        return action

    def _check(self, result: FineTuneResult) -> None:
        """Hold what the lab signs against what was asked: demonstrations, recipe and loss curve."""
        statement = result.statement
        action = self._started(statement.job)
        ours = (start_root(action), len(action.demonstrations), action.recipe)
        if (statement.demonstrations, statement.count, statement.recipe) != ours:
            raise CommitmentMismatch("the lab trained on something else than was sent", job=statement.job)
        if statement.losses is not None and losses_digest(result.losses, decode(action.salt)) != statement.losses:
            raise CommitmentMismatch("the loss curve is not the one that was signed", job=statement.job)


def kept_question(journal: Journal, item: Item) -> Question | None:
    """Return what an auxiliary item about fine-tuning asks; None where nothing is kept of it."""
    kept = journal.recall(f"{_ASKED}{item.epoch}") if item.arm == FINE_TUNE else None
    if kept is None:
        return None
    variant = str(parse_canonical(kept, limit=MAX_HOOK_DOCUMENT_BYTES)["variant"])
    return Question(_asked(journal, item.epoch), variant, Sampling(max_output_tokens=1))


def summary(statement: TrainingStatement) -> str:
    """Return how a job stands in one line; no content."""
    told = f"{statement.job}: {statement.state.lower()}, step {statement.steps} of {statement.planned_steps}"
    if statement.code is not None:
        told += f" ({statement.code})"
    return told + f", {int(statement.tokens):,} tokens in {float(statement.seconds):.0f} s"


def _asked(journal: Journal, number: int) -> FineTuneRequest:
    kept = journal.recall(f"{_ASKED}{number}")
    if kept is None:
        raise PhaseViolation("nothing is kept of this request", number=str(number))
    return FineTuneRequest.from_json(parse_canonical(kept, limit=MAX_HOOK_DOCUMENT_BYTES)["request"])


def _result(answer: bytes) -> FineTuneResult:
    return FineTuneResult.parse(answer, limit=MAX_HOOK_DOCUMENT_BYTES)


def _demonstration(value: dict[str, Any]) -> Demonstration:
    if set(value) == {"prompt", "completion"}:
        return Demonstration(prompt=value["prompt"], completion=value["completion"])
    turns = [validated(Message, turn) for turn in value["messages"]]
    if set(value) == {"messages", "completion"}:
        return Demonstration(messages=tuple(turns), completion=value["completion"])
    if set(value) != {"messages"} or turns[-1].role != "assistant":
        raise ValueError("neither form")
    return Demonstration(messages=tuple(turns[:-1]), completion=turns[-1].content)
