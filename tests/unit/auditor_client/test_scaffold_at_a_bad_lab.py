"""A lab that signs for a weaker sandbox, or makes up calls of the agent to spend the auditor's budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from attestations.documents.dialogue import ChatRequest, Message, Sampling
from attestations.documents.exchange import Record
from attestations.documents.hooks import SandboxLimits, SandboxStatement
from attestations.documents.sandboxing import (
    Close,
    Closed,
    Deed,
    Events,
    Exited,
    ModelCall,
    Open,
    Opened,
    SandboxRequest,
    SandboxResult,
    Start,
    Started,
    Wait,
)
from attestations.errors import MalformedEnvelope, SandboxUnavailable
from auditor_client.asked import Answered
from auditor_client.intending import Question
from auditor_client.questioning import Questioner
from auditor_client.scaffolds.bundle import Bundle
from auditor_client.scaffolds.running import Runner, RunOptions
from tests.support.sandbox_statements import sandbox_statement

LIMITS = SandboxLimits(model_calls=2)
STATED = sandbox_statement(limits=LIMITS)


def call(number: int) -> ModelCall:
    request = ChatRequest(messages=(Message(role="user", content="x"),))
    return ModelCall(call=number, request=request, sampling=Sampling(max_output_tokens=4))


class BadLab:
    """Stands for questioner and lab: tells each `waits` in turn, and counts what is asked of the model."""

    def __init__(self, waits: Sequence[Events] = (), stated: SandboxStatement | None = STATED) -> None:
        self.waits, self.stated = list(waits), stated
        self.did: list[str] = []
        self.asked = 0
        self.journal = self
        self.max_output_tokens = 16

    def own_line(self) -> None: ...

    async def remember(self, *_: object) -> None: ...

    async def ask(self, question: Question, **_: object) -> Answered:
        if not isinstance(question.request, SandboxRequest):
            self.asked += 1
            return self._answered(question, None)
        action = question.request.action
        self.did.append(action.do)
        deed: Deed
        match action:
            case Open():
                deed = Opened(sandbox="b-0", limits=LIMITS)
            case Start():
                deed = Started(job="j-0")
            case Wait():
                deed = self.waits.pop(0)
            case _:
                assert isinstance(action, Close)
                deed = Closed()
        return self._answered(question, SandboxResult(result=deed))

    def _answered(self, question: Question, answer: SandboxResult | None) -> Answered:
        told: dict[str, Any] = {"status": "ERROR", "code": None, "hook": self.stated, "finish_reason": None}
        record = Record.model_construct(None, **told)
        return Answered(question, "s", 0, cast("Any", None), record, answer)


async def run(lab: BadLab, **options: Any) -> None:
    runner = Runner(cast("Questioner", lab), scope=cast("Any", lab), variant="deployed")
    await runner.run(Bundle((), ("x",), {}), RunOptions(limits=LIMITS, **options))


@pytest.mark.parametrize(
    ("stated", "tier"),
    [(STATED, "vm"), (None, "process"), (STATED.model_copy(update={"limits": SandboxLimits()}), "process")],
)
async def test_nothing_enters_a_sandbox_that_the_lab_signs_for_as_weaker(
    stated: SandboxStatement | None, tier: str
) -> None:
    lab = BadLab(stated=stated)
    with pytest.raises(SandboxUnavailable):
        await run(lab, tier=tier)
    assert set(lab.did) == {"open", "close"}


@pytest.mark.parametrize(
    "second",
    [
        Events(first=0, events=(call(0),)),  # again
        Events(first=1, events=(call(0),)),
        Events(first=1, events=(call(1), call(2))),  # beyond the limit
        Events(first=3, events=(call(1),)),
    ],
)
async def test_no_call_is_asked_twice_or_beyond_what_the_sandbox_may_make(second: Events) -> None:
    ended = Events(first=9, events=(Exited(job="j-0", reason="exited", wall_ms=1),))
    lab = BadLab((Events(first=0, events=(call(0),)), second, ended))
    with pytest.raises(MalformedEnvelope):
        await run(lab)
    assert lab.asked <= 2
    assert lab.did[-1] == "close"
