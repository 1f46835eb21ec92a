"""From a committed task to the words an arm uses: system prompt, demonstrations, template, instructions."""

from __future__ import annotations

from attestations.documents.dialogue import ChatRequest, Message, ScoreRequest
from attestations.formats import Format, render
from attestations.scaffolds.method import MARKER, Method
from attestations.scaffolds.task import Demonstration, Task, committed_text
from attestations.scaffolds.tools import TOOLS


def laid_out(method: Method, task: Task) -> Format | None:
    """Return the format a task is laid out in: the arm's, where the task is a choice that is answered in words."""
    return method.form if task.lettered else None


def conversation(method: Method, task: Task) -> tuple[Message, ...]:
    """Return the turns with which an arm opens a task that the model answers in words."""
    request = task.request
    if isinstance(request, ChatRequest):
        if method.plain:
            return request.messages
        before = request.messages[:-1]
        last = request.messages[-1]
    else:
        before, last = (), Message(role="user", content="")
    if method.system is not None:
        before = (
            Message(role="system", content=method.system),
            *(turn for turn in before if turn.role != "system"),
        )
    system = tuple(turn for turn in before if turn.role == "system")
    rest = tuple(turn for turn in before if turn.role != "system")
    shown: list[Message] = []
    for item in task.demonstrations:
        text, answer = _demonstrated(method, item, laid_out(method, task))
        shown.append(Message(role="user", content=_within(method, text)))
        shown.append(Message(role="assistant", content=f"{_marker(method)}{answer}"))
    asked = last.model_copy(update={"content": talked_text(method, task)})
    return (*system, *shown, *rest, asked)


def talked_text(method: Method, task: Task) -> str:
    """Return the text of a task that the model answers in words: a scored choice lists its options."""
    text, form = committed_text(task), laid_out(method, task)
    if form is not None:
        text = render(task.question, task.options, form, after_thinking=method.talks)
    if task.scored:
        text = "\n".join((task.question, "", *(f"- {option}" for option in task.options)))
    text = _within(method, text)
    if method.thinking is not None:
        text = f"{text}\n\n{method.thinking.instruction}"
    if method.tools is not None:
        listed = "\n".join(f"- {name}: {TOOLS[name].description}" for name in method.tools.tools)
        text = f"{text}\n\n{_TOOLS.replace('{tools}', listed)}"
    return text


def scored_request(method: Method, task: Task) -> ScoreRequest:
    """Return the request of a scored choice: plain text, with demonstrations before it."""
    request = task.request
    assert isinstance(request, ScoreRequest)  # noqa: S101 - callers ask `scored` first
    if request.prefix is None:
        return request.model_copy(update={"messages": conversation_of_scores(method, task)})
    parts = [f"{_within(method, item.text)} {item.answer}" for item in task.demonstrations]
    if method.system is not None:
        parts.insert(0, method.system)
    return request.model_copy(update={"prefix": "\n\n".join((*parts, _within(method, request.prefix)))})


def conversation_of_scores(method: Method, task: Task) -> tuple[Message, ...]:
    """Return the turns before a scored choice that was committed as a conversation."""
    plain = task.request
    asked = ChatRequest(messages=plain.messages)
    return conversation(method, task._replace(request=asked))


def _demonstrated(method: Method, item: Demonstration, form: Format | None) -> tuple[str, str]:
    """Return a demonstration's text and answer, in the format of the task it stands before."""
    if form is None or item.choice is None:
        return item.text, item.answer
    question, options, right = item.choice
    text = render(question, options, form, after_thinking=method.talks)
    return text, form.label(form.places(len(options)).index(right))


def _within(method: Method, text: str) -> str:
    return text if method.template is None else text.join(method.template.split("{prompt}"))


def _marker(method: Method) -> str:
    if method.thinking is not None:
        return f"{method.thinking.marker} "
    return f"{MARKER} " if method.tools is not None else ""


_TOOLS = """\
You can use these tools:
{tools}

To use one, write:
Thought: what you need to know
Action: the tool's name
Input: what you give it

You are then shown an Observation. Once you know the answer, write it on a line that begins with "Answer:"."""
