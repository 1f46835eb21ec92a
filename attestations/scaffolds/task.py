"""What a scaffold may see of a task: the committed prompt, and DEV tasks with their right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attestations.answers import LETTERS
from attestations.documents.base import Hidden, Part, validated
from attestations.documents.dialogue import ChatRequest, ModelRequest, Sampling, ScoreRequest
from attestations.errors import MalformedEnvelope
from attestations.scaffolds.workspace import Workspace


class _Prompt(Hidden, Part):
    request: ModelRequest
    sampling: Sampling


class Choice(NamedTuple):
    """A choice that is answered in words, apart from how it was laid out, and the place of its right option."""

    question: str
    options: Sequence[str]
    right: int

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Demonstration(NamedTuple):
    """A DEV task as it is asked, its right answer as a model would write it, and what a choice is made of."""

    text: str
    answer: str
    choice: Choice | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Task(NamedTuple):
    """A task as it was committed, without its target; `options` and `scoring` are those of a choice."""

    request: ChatRequest | ScoreRequest
    sampling: Sampling
    type: str
    question: str
    options: Sequence[str]
    scoring: str | None
    demonstrations: Sequence[Demonstration] = ()
    workspace: Workspace | None = None

    @property
    def scored(self) -> bool:
        """Whether the answer is read off log-probabilities."""
        return isinstance(self.request, ScoreRequest)

    @property
    def lettered(self) -> bool:
        """Whether it is a choice that is answered in words, which can be laid out in another format."""
        return self.type == "choice" and not self.scored and 0 < len(self.options) <= len(LETTERS)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def task_of(prompt: Any, demonstrations: Sequence[Demonstration] = ()) -> Task:
    """Return a task from its committed `prompt` field (class C5).

    Raises:
        MalformedEnvelope, UnknownCriticalField: it is not one that can be asked.
    """
    if not isinstance(prompt, Mapping):
        raise MalformedEnvelope("a prompt is an object", field="prompt")
    asked = validated(_Prompt, {"request": prompt.get("request"), "sampling": prompt.get("sampling")})
    if not isinstance(asked.request, ChatRequest | ScoreRequest):
        raise MalformedEnvelope("a task asks for a text or for scores", field="prompt.request")
    options = prompt.get("options") or ()
    if not isinstance(options, list | tuple) or not all(isinstance(option, str) for option in options):
        raise MalformedEnvelope("options are texts", field="prompt.options")
    scoring, workspace = prompt.get("scoring"), prompt.get("workspace")
    return Task(
        request=asked.request,
        sampling=asked.sampling,
        type=str(prompt.get("type", "")),
        question=str(prompt.get("question", "")),
        options=tuple(options),
        scoring=scoring if isinstance(scoring, str) else None,
        demonstrations=tuple(demonstrations),
        workspace=None if workspace is None else validated(Workspace, workspace),
    )


def demonstration(prompt: Any, target: Any) -> Demonstration | None:
    """Return a DEV task with its right answer, or None where no text is the one right answer (a pattern)."""
    task = task_of(prompt)
    if not isinstance(target, Mapping):
        raise MalformedEnvelope("a target is an object", field="target")
    answer = _right(task, target)
    if answer is None:
        return None
    lettered = task.lettered and target.get("grader") == "choice-letter"
    choice = Choice(task.question, task.options, target["answer"]) if lettered else None
    return Demonstration(committed_text(task), answer, choice)


def committed_text(task: Task) -> str:
    """Return the committed text of a task: the last turn, or the text before the options."""
    request = task.request
    if isinstance(request, ScoreRequest) and request.prefix is not None:
        return request.prefix
    if not request.messages:
        raise MalformedEnvelope("a task without a text", field="prompt.request")
    return request.messages[-1].content


def _right(task: Task, target: Mapping[str, Any]) -> str | None:
    grader = target.get("grader")
    if grader in ("choice-scored", "choice-letter"):
        place = target.get("answer")
        if type(place) is not int or not 0 <= place < min(len(task.options), len(LETTERS)):
            raise MalformedEnvelope("the right answer is none of the options", field="target.answer")
        return task.options[place] if grader == "choice-scored" else LETTERS[place]
    if grader == "exact":
        answers = target.get("answers")
        return str(answers[0]) if isinstance(answers, list | tuple) and answers else None
    return str(target["value"]) if grader == "numeric" and "value" in target else None
