"""Whether an item agrees with its own grader: the right answer must be correct, and no wrong one may be."""

from __future__ import annotations

from collections.abc import Iterator

from attestations.answers import LETTERS
from attestations.documents.dialogue import ChatResult, ScoredContinuation, ScoreResult
from attestations.grading import GRADERS, Grade, Result
from auditor_client.suites.drafting import target_of
from auditor_client.suites.tasks import ChoiceTask, ExactTask, NumericTask, Task

_LETTERS = [ChatResult(content=letter) for letter in LETTERS]
_BEST, _REST = ScoredContinuation(logprob="-1", tokens=1), ScoredContinuation(logprob="-2", tokens=1)


def grader_rules(task: Task) -> Iterator[str]:
    """Give the rules an item breaks when its own answers are graded. Of a pattern, no answer is known."""
    body = task.task
    if isinstance(body, ChoiceTask):
        yield from _choice(body, task)
    elif isinstance(body, ExactTask | NumericTask):
        run = GRADERS[body.type].run
        answers = body.answers if isinstance(body, ExactTask) else (body.value,)
        if not all(_correct(run(target_of(task), None, ChatResult(content=answer))) for answer in answers):
            yield "own-grader"


def _choice(body: ChoiceTask, task: Task) -> Iterator[str]:
    target, prompt, many = target_of(task), {"options": body.options}, len(body.options)
    if body.scoring == "letter":
        run = GRADERS["choice-letter"].run
        answers: list[Result] = list(_LETTERS[:many])
    else:
        run = GRADERS["choice-scored"].run
        answers = [
            ScoreResult(scores=tuple(_BEST if number == best else _REST for number in range(many)))
            for best in range(many)
        ]
    if any(_correct(run(target, prompt, answer)) != (number == body.answer) for number, answer in enumerate(answers)):
        yield "own-grader"
    if body.scoring == "letter":
        texts = [run(target, prompt, ChatResult(content=option)).outcome for option in body.options]
        if any(
            outcome != "correct" if number == body.answer else outcome == "correct"
            for number, outcome in enumerate(texts)
        ):
            yield "text-answer"


def _correct(graded: Grade) -> bool:
    return graded.outcome == "correct"
