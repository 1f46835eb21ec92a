"""What an arm asks next: a pure function of its method, the task and the answers so far.

A scaffold is written as a generator that yields what it asks and is sent the answers; `next_step` plays it again
from the start. Auditor and verifier play the same, so every request of a transcript can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import NamedTuple

from attestations.answers import LETTERS, chosen_letter
from attestations.documents.asking import AnyRequest, AnyResult
from attestations.documents.dialogue import (
    NOTHING_DRAWN,
    ChatRequest,
    ChatResult,
    CountResult,
    Message,
    Sampling,
    ScoreRequest,
    ScoreResult,
)
from attestations.errors import UnaccountedTask
from attestations.scaffolds.agent import work
from attestations.scaffolds.answers import Result, after_marker, ballot, likeliest, majority
from attestations.scaffolds.method import MARKER, BestOfN, Method, Thinking, ToolLoop
from attestations.scaffolds.prompting import conversation, laid_out, scored_request, talked_text
from attestations.scaffolds.task import Task
from attestations.scaffolds.tools import TOOLS
from attestations.scaffolds.workspace import Workspace

CLOSING = "So the final answer is:"
_JUDGE = "Which of these answers to the question above is best? Answer with its letter only."
_ACTION = re.compile(r"^[ \t]*Action:[ \t]*([A-Za-z_]{1,64})[ \t]*\n[ \t]*Input:[ \t]*(.*)$", re.MULTILINE)
_OBSERVATION = "Observation:"


class Ask(NamedTuple):
    """One exchange: what is asked and how the answer is drawn."""

    request: AnyRequest
    sampling: Sampling

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Submission(NamedTuple):
    """What is graded, once nothing more is asked."""

    result: Result

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class _Sample(NamedTuple):
    written: str  # the whole text, of which `result` may be a part
    result: Result


Play = Generator[Ask, AnyResult, Result]
_Sampling = Generator[Ask, AnyResult, _Sample]


def next_step(method: Method, task: Task, answers: Sequence[AnyResult]) -> Ask | Submission:
    """Return what is asked after these answers, or what is submitted.

    Raises:
        UnaccountedTask: there are more answers than the method asks for.
    """
    play = _play(method, task)
    try:
        asked = next(play)
        for number, answer in enumerate(answers, start=1):
            try:
                asked = play.send(answer)
            except StopIteration as end:
                if number < len(answers):
                    raise UnaccountedTask("more was asked for an item than its arm asks") from None
                return Submission(end.value)
    finally:
        play.close()
    return asked


def _play(method: Method, task: Task) -> Play:
    if task.workspace is not None:
        return (yield from _worked(method, task, task.workspace))
    if task.scored and not method.talks:
        # Nothing is drawn: to ask again would give the same scores.
        return _of_model((yield Ask(scored_request(method, task), task.sampling)))
    choosing = method.choosing
    if choosing is None:
        return (yield from _sample(method, task)).result
    samples = []
    for _ in range(choosing.samples):
        sample = yield from _sample(method, task)
        samples.append(sample)
    if isinstance(choosing, BestOfN) and not task.scored:
        chosen = yield from _best(choosing, method, task, [sample.written for sample in samples])
    else:
        chosen = majority(
            [
                ballot(
                    sample.result,
                    task_type=task.type,
                    options=task.options,
                    scoring=task.scoring,
                    form=laid_out(method, task),
                )
                for sample in samples
            ]
        )
    return samples[chosen].result


def _worked(method: Method, task: Task, workspace: Workspace) -> Play:
    """Let the model work; of a method its prompts, demonstrations and decoding have a meaning here."""
    working = work(workspace, conversation(method, task), drawn(method, task))
    try:
        request, sampling = next(working)
        while True:
            request, sampling = working.send((yield Ask(request, sampling)))
    except StopIteration as end:
        result: ChatResult = end.value
        return result


def _sample(method: Method, task: Task) -> _Sampling:
    """Ask once, or through a tool loop; the scores of a choice close it."""
    sampling, messages = drawn(method, task), conversation(method, task)
    if method.tools is not None:
        written, messages = yield from _tool_loop(method.tools, messages, sampling)
        result: Result = ChatResult(content=after_marker(written, MARKER))
    else:
        answer = _of_model((yield Ask(_chat(messages, task), sampling)))
        written, result = _text(answer), answer
        if isinstance(method.thinking, Thinking):
            result = ChatResult(content=after_marker(written, method.thinking.marker))
    if task.scored:
        said = (*messages, Message(role="assistant", content=written), Message(role="user", content=CLOSING))
        scores = yield Ask(ScoreRequest(messages=said, continuations=tuple(task.options)), task.sampling)
        result = _of_model(scores)
    return _Sample(written, result)


def _tool_loop(
    loop: ToolLoop, messages: tuple[Message, ...], sampling: Sampling
) -> Generator[Ask, AnyResult, tuple[str, tuple[Message, ...]]]:
    """Let the model use tools; return its last text and the conversation before it."""
    written = ""
    for turn in range(loop.turns):
        answer = yield Ask(ChatRequest(messages=messages, stop=(_OBSERVATION,)), sampling)
        written = _text(answer).split(_OBSERVATION, 1)[0]
        action = _ACTION.search(written)
        answered = written.find(MARKER)
        if action is None or 0 <= answered < action.start() or turn + 1 == loop.turns:
            break
        written = written[: action.end()]
        name, given = action[1].lower(), action[2].strip()
        tool = TOOLS[name] if name in loop.tools else None
        seen = f"there is no tool {name}" if tool is None else tool.run(given)
        messages = (
            *messages,
            Message(role="assistant", content=written),
            Message(role="user", content=f"{_OBSERVATION} {seen}"),
        )
    return written, messages


def _best(choosing: BestOfN, method: Method, task: Task, written: Sequence[str]) -> Generator[Ask, AnyResult, int]:
    """Choose among texts by a declared rule that knows no target."""
    different = list(dict.fromkeys(text for text in written if text.strip()))
    if len(different) <= 1:
        return written.index(different[0]) if different else 0
    messages = conversation(method, task)
    if choosing.by == "likelihood":
        scores = yield Ask(ScoreRequest(messages=messages, continuations=tuple(different)), NOTHING_DRAWN)
        best = likeliest(scores, by_token=True) if isinstance(scores, ScoreResult) else None
    else:
        listed = "\n\n".join(f"{letter}) {text}" for letter, text in zip(LETTERS, different, strict=False))
        asked = f"{talked_text(method, task)}\n\n{_JUDGE}\n\n{listed}"
        judged = (*messages[:-1][: method.system is not None], Message(role="user", content=asked))
        verdict = yield Ask(ChatRequest(messages=judged), Sampling(max_output_tokens=16))
        best = chosen_letter(_text(verdict), different)
    return written.index(different[best or 0])


def drawn(method: Method, task: Task) -> Sampling:
    """Return how a text is drawn in an arm."""
    if method.decoding is None:
        return task.sampling
    decoding = method.decoding
    return task.sampling.model_copy(
        update={
            "max_output_tokens": decoding.max_output_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
        }
    )


def _chat(messages: tuple[Message, ...], task: Task) -> ChatRequest:
    request = task.request
    if isinstance(request, ChatRequest):
        return request.model_copy(update={"messages": messages})
    return ChatRequest(messages=messages)


def _of_model(answer: AnyResult) -> Result:
    if isinstance(answer, ChatResult | ScoreResult | CountResult):
        return answer
    raise UnaccountedTask("a hook answered where a model was asked")


def _text(answer: AnyResult) -> str:
    return answer.content if isinstance(answer, ChatResult) else ""
