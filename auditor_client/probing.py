"""Asks the model what a contamination probe needs: log-probabilities of items and of what they might have been.

Each question is an exchange of the purpose `probe`: signed, metered, in the transcript, and of no figure of the audit.
What was answered before is taken from the journal, so a probe that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import factorial
from typing import NamedTuple

from attestations.canonical import canonical_bytes
from attestations.documents.asking import parse_result
from attestations.documents.dialogue import (
    NOTHING_DRAWN,
    ChatRequest,
    ChatResult,
    Sampling,
    ScoreRequest,
    ScoreResult,
)
from attestations.documents.exchange import Intent
from attestations.envelope import parse_envelope
from attestations.errors import BackendFailed, FileUnusable, PhaseViolation
from auditor_client.asked import Answered
from auditor_client.frozen_suite import FrozenSuite, FrozenTask
from auditor_client.intending import Question
from auditor_client.ports import Journal
from auditor_client.questioning import Questioner

PURPOSE = "probe"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OnAnswer = Callable[[int, int], None]


class Asked(NamedTuple):
    """One question of a probe: the number of the task it is about, and what is asked."""

    i: int
    request: ChatRequest | ScoreRequest
    sampling: Sampling = NOTHING_DRAWN


class Item(NamedTuple):
    """What came back for one item: natural log-probability and tokens of each text, in the order they were asked."""

    i: int
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def per_token(self) -> tuple[float, ...]:
        """The mean log-probability a token of each text."""
        return tuple(logprob / max(1, tokens) for logprob, tokens in zip(self.logprobs, self.tokens, strict=True))


def in_other_orders(suite: FrozenSuite, *, orders: int, seed: int) -> Iterator[Asked]:
    """Give each scored item of options in its committed order and in others, drawn from `seed` without repetition.

    Args:
        suite: the committed suite; items whose options are fewer than two, or not all different, are left out.
        orders: how many other orders at most; two options have one.
        seed: of the orders, so that who has the transcript can draw them again.
    """
    for task in suite.tasks:
        options = _options(task)
        if options is None:
            continue
        drawn = [options, *islice(_orders(options, random.Random(f"{seed}/{task.i}")), orders)]  # noqa: S311 - no secret
        texts = tuple("\n".join(map("{}. {}".format, _LETTERS, order)) for order in drawn)
        yield Asked(task.i, ScoreRequest(prefix=f"{task.value('prompt')['question']}\n", continuations=texts))


def beside_paraphrases(suite: FrozenSuite, paraphrases: Mapping[int, str]) -> Iterator[Asked]:
    """Give each item that has a paraphrase: its question as committed, then the other text, after the same prefix.

    Raises:
        FileUnusable: a paraphrase is of no scored item, or is the question itself; texts are never quoted.
    """
    for i, text in sorted(paraphrases.items()):
        task = suite.tasks[i] if 0 <= i < len(suite.tasks) else None
        prompt = None if task is None or task.kind != "test" else task.value("prompt")
        question = prompt.get("question") if isinstance(prompt, dict) else None
        if not isinstance(question, str):
            raise FileUnusable(f"task {i} is no scored item with a question", task=str(i))
        if " ".join(question.split()) == " ".join(text.split()):
            raise FileUnusable(f"the paraphrase of task {i} is its question", task=str(i))
        yield Asked(i, ScoreRequest(prefix="Question:", continuations=(f" {question}", f" {text}")))


def read_paraphrases(data: bytes, name: str) -> dict[int, str]:
    """Read JSON lines `{"i": 3, "paraphrase": "…"}`.

    Raises:
        FileUnusable: naming the first line that is none; it is never quoted.
    """
    found: dict[int, str] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            i, text = value["i"], value["paraphrase"]
        except (ValueError, LookupError, TypeError, RecursionError):
            i = text = None
        if type(i) is not int or not isinstance(text, str) or not text.strip() or i in found:
            said = f"{name}: line {number} is no paraphrase of an item of its own"
            raise FileUnusable(said, file=name, line=str(number))
        found[i] = text
    if not found:
        raise FileUnusable(f"{name} holds no paraphrase", file=name)
    return found


@dataclass(frozen=True)
class Prober:
    """Asks one variant; as many items at once as there are lanes."""

    questioner: Questioner
    journal: Journal
    variant: str

    async def ask(
        self, items: Sequence[Asked], heard: OnAnswer = lambda *_: None
    ) -> tuple[list[ChatResult | ScoreResult], list[Answered]]:
        """Return what the model answers to each question, in their order, and the exchanges that were made for it now.

        Raises:
            PhaseViolation: no item can be asked so.
            BackendFailed: an item got no answer.
            ScopeExceeded: the agreement grants no scored continuations.
            RefusedError, PeerError, EvidenceError: as for any exchange.
        """
        if not items:
            raise PhaseViolation("the suite has no item that this probe can ask")
        known = {name: result async for name, result in self._answered()}
        fresh: list[Answered] = []

        async def one(item: Asked) -> ChatResult | ScoreResult:
            result = known.get(_name(item.request, item.sampling))
            if result is None:
                answered = await self.questioner.answer(Question(item.request, self.variant, item.sampling))
                if not isinstance(answered.answer, ChatResult | ScoreResult):
                    code = answered.record.code or answered.record.status
                    raise BackendFailed(f"the lab's model did not answer: {code}", code=code)
                fresh.append(answered)
                result = answered.answer
            found.append(item.i)
            heard(len(found), len(items))
            return result

        found: list[int] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(item)) for item in items]
        except ExceptionGroup as several:  # the first failure takes back every question that is not yet asked
            raise several.exceptions[0] from None
        return [task.result() for task in tasks], fresh

    async def _answered(self) -> AsyncIterator[tuple[bytes, ChatResult | ScoreResult]]:
        async for exchange in self.journal.exchanges():
            if exchange.item.purpose == PURPOSE and exchange.result is not None:
                intent = Intent.parse(parse_envelope(exchange.intent).payload)
                result = parse_result(exchange.result, intent.operation)
                if intent.variant == self.variant and isinstance(result, ChatResult | ScoreResult):
                    yield exchange.request + canonical_bytes(intent.sampling.json_value()), result


def _options(task: FrozenTask) -> list[str] | None:
    prompt = task.value("prompt") if task.kind == "test" else None
    if not isinstance(prompt, dict) or not isinstance(prompt.get("question"), str):
        return None
    options = prompt.get("options")
    if not isinstance(options, list) or not all(isinstance(item, str) for item in options):
        return None
    return options if 1 < len({*options}) == len(options) <= len(_LETTERS) else None


def _orders(options: Sequence[str], rng: random.Random) -> Iterator[list[str]]:
    """Give other orders than the committed one, each once, in a drawn order."""
    seen, most = {tuple(options)}, factorial(len(options))
    while len(seen) < most:
        order = rng.sample(options, len(options))
        if tuple(order) not in seen:
            seen.add(tuple(order))
            yield order


def scored(items: Sequence[Asked], results: Sequence[ChatResult | ScoreResult]) -> list[Item]:
    """Return log-probabilities and tokens of the texts that were asked about.

    Raises:
        BackendFailed: the model scored other texts.
    """
    found = []
    for item, result in zip(items, results, strict=True):
        asked = item.request.continuations if isinstance(item.request, ScoreRequest) else ()
        scores = result.scores if isinstance(result, ScoreResult) else ()
        if not asked or len(scores) != len(asked):
            raise BackendFailed("the lab's model scored other texts than it was asked", code="SCORES")
        found.append(Item(item.i, tuple(float(one.logprob) for one in scores), tuple(one.tokens for one in scores)))
    return found


def _name(request: ChatRequest | ScoreRequest, sampling: Sampling) -> bytes:
    return request.to_bytes() + canonical_bytes(sampling.json_value())
