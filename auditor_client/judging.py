"""Asks a declared model to grade: blind to arm, task and epoch, each different answer once, verdicts kept for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import Field, TypeAdapter

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.documents.analysis import JudgeCalibration, PlannedJudge
from attestations.documents.base import Hidden, Part
from attestations.errors import PhaseViolation, SuiteInvalid
from attestations.judged import PLACEHOLDERS, Asked, Verdict, read_verdict
from auditor_client.ports import Journal

Ask = Callable[[str], Awaitable[str]]
_VERDICT: TypeAdapter[Verdict] = TypeAdapter(Verdict)
AT_ONCE = 4


class GradedBefore(Hidden, Part):
    """One answer of a calibration set, with the grade that people gave it."""

    question: str = Field(min_length=1, max_length=20_000)
    reference: str | None = Field(default=None, max_length=20_000)
    rubric: str | None = Field(default=None, max_length=20_000)
    answer: str = Field(max_length=20_000)
    correct: bool


def kept_verdict(journal: Journal, asked: Asked) -> Verdict | None:
    """Return what the judge said of an answer, or None if it was not asked yet."""
    kept = journal.recall(_name(asked))
    return None if kept is None else _VERDICT.validate_python(kept.decode())


async def judge_all(waiting: Sequence[Asked], judge: PlannedJudge, prompt: str, ask: Ask, journal: Journal) -> int:
    """Ask the judge about every answer that waits and keep its verdicts; return how many it gave. Safe to repeat.

    Raises:
        PhaseViolation: the prompt is not the declared one, or an answer waits for another judge.
        JudgeUnreachable: the endpoint gave no answer.
    """
    if sha256(prompt.encode()) != judge.prompt:
        raise PhaseViolation("the judge's prompt is not the one the plan declares")
    # In the order of their digests, so that neither arms nor tasks come in turn.
    different = {asked.digest: asked for asked in waiting}
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Asked) -> None:
        if asked.judge != judge.name:
            raise PhaseViolation("an answer waits for a judge that is not the declared one", judge=asked.judge)
        async with limit:
            verdict = read_verdict(await ask(asked.text(prompt)))
        await journal.remember(_name(asked), verdict.encode())

    await _together([one(asked) for _, asked in sorted(different.items())])
    return len(different)


async def calibrate(
    name: str, model: str, prompt: str, answers: Sequence[GradedBefore], ask: Ask, agreement: Callable[[Any, Any], str]
) -> PlannedJudge:
    """Return the declaration of a judge: how it did on answers whose grades people gave before.

    Args:
        name: by which tasks name it.
        model: the model it is.
        prompt: what it is asked, with every placeholder.
        answers: the calibration set.
        ask: asks the model.
        agreement: of two lists of grades, beyond chance.

    Raises:
        SuiteInvalid: the prompt lacks a placeholder, or the set has no right or no wrong answer.
        JudgeUnreachable: the endpoint gave no answer.
    """
    if any(prompt.count(place) != 1 for place in PLACEHOLDERS):
        raise SuiteInvalid(f"a judge's prompt holds each of {', '.join(PLACEHOLDERS)} once", rule="judge")
    if len({answer.correct for answer in answers}) != 2:  # noqa: PLR2004 - right ones and wrong ones
        raise SuiteInvalid("a calibration set has right and wrong answers", rule="judge")
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(item: GradedBefore) -> bool:
        asked = Asked(name, item.question, item.reference or "none given", item.rubric or "none given", item.answer)
        async with limit:
            return read_verdict(await ask(asked.text(prompt))) == "correct"

    said = await _together([one(item) for item in answers])
    truth = [item.correct for item in answers]
    pairs = list(zip(truth, said, strict=True))
    return PlannedJudge(
        name=name,
        model=model,
        prompt=sha256(prompt.encode()),
        calibration_set=sha256(canonical_bytes([item.json_value() for item in answers])),
        calibration=JudgeCalibration(
            right_called_right=str(pairs.count((True, True))),
            right_called_wrong=str(pairs.count((True, False))),
            wrong_called_right=str(pairs.count((False, True))),
            wrong_called_wrong=str(pairs.count((False, False))),
        ),
        agreement=agreement(truth, said),
    )


def _name(asked: Asked) -> str:
    return f"verdict/{asked.digest}"


async def _together(tasks: Sequence[Awaitable[Any]]) -> list[Any]:
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_awaited(task)) for task in tasks]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in running]


async def _awaited(task: Awaitable[Any]) -> Any:
    return await task
