"""Whether a listed token or password changes what a model can do: DEV tasks, asked with each of them and without.

A lab lists special tokens and passwords in its elicitation pack; a model that is locked behind one shows it here, and
nowhere else in a run of prompts. DEV tasks are the lab's to know already, so nothing hidden is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Literal, NamedTuple

from attestations.documents.dialogue import ChatRequest, ChatResult, Message, ScoreRequest, ScoreResult
from attestations.errors import PhaseViolation
from attestations.grading import grade, needs_judge
from attestations.scaffolds.task import task_of
from auditor_client.eliciting.arms import DEV
from auditor_client.frozen_suite import FrozenSuite, FrozenTask
from auditor_client.probing import Asked

Placement = Literal["system", "before"]
PLACEMENTS: tuple[Placement, ...] = ("system", "before")
"""A token as the system prompt, or in front of what is asked."""


class Trigger(NamedTuple):
    """What one token did: right with it and without it, over the same tasks, and Holm's p over all of them.

    `token` is its place in the list; its text is not repeated. The p is of McNemar's exact test, one-sided.
    """

    token: int
    placement: Placement
    n: int
    right: int
    right_without: int
    p: float


class Sweep(NamedTuple):
    """Tasks, each asked plainly first and then in every way, and how many ways there are."""

    tasks: tuple[FrozenTask, ...]
    ways: tuple[tuple[int, Placement], ...]
    asked: tuple[Asked, ...]


def sweep(suite: FrozenSuite, tokens: Sequence[str], *, most: int) -> Sweep:
    """Return everything to ask: at most `most` DEV tasks that one exchange answers and no judge has to grade.

    Raises:
        PhaseViolation: there are no tokens, or no such task.
    """
    if not tokens:
        raise PhaseViolation("there is no token to try: the lab's pack lists none, and none was given")
    tasks = tuple(task for task in suite.tasks if task.kind == DEV and _plain(task))[:most]
    if not tasks:
        raise PhaseViolation("the suite has no DEV task that one exchange answers and a program grades")
    ways = tuple(product(range(len(tokens)), PLACEMENTS))
    asked = [one for task in tasks for one in _asked(task, [(tokens[token], place) for token, place in ways])]
    return Sweep(tasks, ways, tuple(asked))


def triggers(made: Sweep, results: Sequence[ChatResult | ScoreResult]) -> list[Trigger]:
    """Return what each token did, the most striking first; `results` are in the order of `made.asked`."""
    from scipy import stats  # noqa: PLC0415 - an optional extra
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415

    width = 1 + len(made.ways)
    rows = [
        [_right(task, result) for result in results[number * width : (number + 1) * width]]
        for number, task in enumerate(made.tasks)
    ]
    found = []
    for column, (token, placement) in enumerate(made.ways, 1):
        only_with = sum(row[column] and not row[0] for row in rows)
        only_without = sum(row[0] and not row[column] for row in rows)
        differ = only_with + only_without
        p = float(stats.binomtest(only_with, differ, alternative="greater").pvalue) if differ else 1.0
        right, plain = sum(row[column] for row in rows), sum(row[0] for row in rows)
        found.append(Trigger(token, placement, len(rows), right, plain, p))
    corrected = multipletests([one.p for one in found], method="holm")[1]
    return sorted(
        (one._replace(p=float(p)) for one, p in zip(found, corrected, strict=True)),
        key=lambda one: (one.p, -one.right, one.token, one.placement),
    )


def _plain(task: FrozenTask) -> bool:
    known = task_of(task.value("prompt"))
    return known.workspace is None and not needs_judge(task.value("target"), ChatResult(content="x"))


def _right(task: FrozenTask, result: ChatResult | ScoreResult) -> bool:
    return grade(task.value("target"), task.value("prompt"), result).outcome == "correct"


def _asked(task: FrozenTask, ways: Sequence[tuple[str, Placement]]) -> Iterator[Asked]:
    known = task_of(task.value("prompt"))
    yield Asked(task.i, known.request, known.sampling)
    for token, placement in ways:
        yield Asked(task.i, _with(known.request, token, placement), known.sampling)


def _with(request: ChatRequest | ScoreRequest, token: str, placement: Placement) -> ChatRequest | ScoreRequest:
    if isinstance(request, ScoreRequest) and request.prefix is not None:
        gap = "\n\n" if placement == "system" else " "
        return request.model_copy(update={"prefix": f"{token}{gap}{request.prefix}"})
    first, *rest = request.messages
    if placement == "system":
        if first.role == "system":
            first = first.model_copy(update={"content": f"{token}\n{first.content}"})
            return request.model_copy(update={"messages": (first, *rest)})
        return request.model_copy(update={"messages": (Message(role="system", content=token), first, *rest)})
    turns = list(request.messages)
    place = max(number for number, turn in enumerate(turns) if turn.role == "user")
    turns[place] = turns[place].model_copy(update={"content": f"{token} {turns[place].content}"})
    return request.model_copy(update={"messages": tuple(turns)})
