"""Whatever holds a prompt, an answer, a target or a key says nothing of it when it is printed."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from attestations.commitments import SuiteKey
from attestations.documents.dialogue import ChatRequest, ChatResult, Message, Sampling, ScoreRequest
from auditor_client.campaign_state import Ending, Exchange, Held, Item, Pending
from auditor_client.committing import Draft
from auditor_client.frozen_suite import FrozenQuestion, FrozenSuite, FrozenTask
from auditor_client.intending import Question
from auditor_client.suites.load import load_suite
from auditor_client.transport.channel import Credentials
from lab_server.model_port import Delta
from tests.support.auditor_identity import new_keys
from tests.support.suite_files import task, tasks, write

CANARY = "canary-7c1f"
BYTES = CANARY.encode()
CHAT = ChatRequest(messages=(Message(role="user", content=CANARY),))
SAMPLING = Sampling(max_output_tokens=16)
FROZEN = FrozenTask(
    i=0, fields={"task.target": ("C6", CANARY)}, question=FrozenQuestion(request=CHAT, sampling=SAMPLING)
)


def filled(kind: Any) -> Any:
    """Return a dataclass with the canary wherever it takes bytes or text."""
    return kind(**{field.name: BYTES if "bytes" in str(field.type) else CANARY for field in fields(kind)})


@pytest.mark.parametrize(
    "shown",
    [
        CHAT,
        CHAT.messages[0],
        ScoreRequest(prefix=CANARY, continuations=(CANARY, CANARY + "b")),
        ChatResult(content=CANARY),
        filled(Pending),
        filled(Ending),
        filled(Exchange),
        Held(BYTES, BYTES, BYTES),
        Draft({"task.target": ("C6", CANARY)}, None),
        FROZEN,
        FROZEN.question,
        FrozenSuite("suite", [FROZEN]),
        Question(CHAT, "deployed", SAMPLING),
        Delta(CANARY),
        SuiteKey(BYTES.ljust(32, b"."), "suite"),
        SuiteKey(BYTES.ljust(32, b"."), "suite").class_key("C5"),
        new_keys().signers,
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_says_its_kind_and_nothing_else(shown: Any) -> None:
    for text in (repr(shown), str(shown), f"{[shown]}"):
        assert CANARY not in text
        assert BYTES.hex() not in text
        assert "PRIVATE" not in text


def test_a_suite_and_its_tasks_are_not_shown(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, [*tasks(), task(CANARY)]))
    assert any(CANARY in item.id for item in suite.tasks)
    assert CANARY not in repr(suite) + str(suite) + repr(suite.tasks) + str(suite.tasks[-1])


def test_credentials_show_a_pin() -> None:
    keys = new_keys()
    certificate = (keys.identity.tls or "").encode()
    assert "PRIVATE" not in repr(Credentials(keys.tls_key, certificate, certificate))


def test_an_item_shows_its_place() -> None:
    assert "as_shipped" in repr(Item(3, "as_shipped", 0))
