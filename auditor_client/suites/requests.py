"""From a written task to what the model is asked: a pure function of the task and the suite's prompt format."""

from __future__ import annotations

from attestations.answers import LETTERS
from attestations.documents.dialogue import NOTHING_DRAWN, ChatRequest, Message, Sampling, ScoreRequest
from auditor_client.frozen_suite import FrozenQuestion
from auditor_client.suites.manifest import PromptFormat
from auditor_client.suites.tasks import AgentTask, ChoiceTask, Task


def build_request(task: Task, form: PromptFormat) -> FrozenQuestion:
    """Return the request of a task, and how its answer is drawn.

    A choice by `sum` or `normalised` asks for the log-probability of " " + each option after the plain text of
    the template, without the model's chat template; everything else is a conversation of one turn.
    """
    body = task.task
    if isinstance(body, ChoiceTask) and body.scoring != "letter":
        return FrozenQuestion(
            request=ScoreRequest(
                prefix=form.scored.replace("{question}", body.question),
                continuations=tuple(f" {option}" for option in body.options),
            ),
            sampling=NOTHING_DRAWN,
        )
    if isinstance(body, ChoiceTask):
        listed = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, body.options, strict=False))
        # Each place is found in the template alone: a question or an option may hold the other's name.
        text = body.question.join(part.replace("{options}", listed) for part in form.letter.split("{question}"))
    else:
        text = form.chat.replace("{question}", body.question)
    system = () if form.system is None else (Message(role="system", content=form.system),)
    return FrozenQuestion(
        request=ChatRequest(messages=(*system, Message(role="user", content=text))),
        sampling=Sampling(
            max_output_tokens=body.turn_tokens if isinstance(body, AgentTask) else form.max_output_tokens,
            temperature=form.temperature,
            top_p=form.top_p,
        ),
    )
