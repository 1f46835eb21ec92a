"""What an auditor should know of a lab's pack before it runs: whether TEST has leaked into it, and what hides in it.

Nothing here decides: the pack is the lab's advice and is run as it is. A finding names the field and the rule, never
the text, so that it can be printed and passed on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from attestations.documents.elicitation import ElicitationPack
from auditor_client.eliciting.arms import DEV
from auditor_client.frozen_suite import FrozenSuite

Rule = Literal["TEST_TEXT", "CANARY", "DEV_ANSWER", "INVISIBLE_TEXT", "ROLE_MARKER"]
WORDS: dict[Rule, str] = {
    "TEST_TEXT": "holds the text of a hidden task: the test has leaked",
    "CANARY": "holds a canary string of the suite: the test has leaked",
    "DEV_ANSWER": "holds answers of DEV tasks: it will do well there, and the best arm is chosen there",
    "INVISIBLE_TEXT": "holds characters that nobody sees but the model",
    "ROLE_MARKER": "holds markers of a chat template, which can end a turn or begin another",
}
LEAKS: frozenset[Rule] = frozenset({"TEST_TEXT", "CANARY"})
_SHORTEST = 24  # of a task's text, in characters: shorter ones stand in other texts by chance
_FEW = 3  # answers of DEV tasks, so that a word of everyday language is no finding
_MARKERS = ("<|", "|>", "[INST]", "[/INST]", "<<SYS>>", "<start_of_turn>", "<end_of_turn>", "</s>", "<s>")
_INVISIBLE = frozenset({"Cf", "Co", "Cn", "Cs"})
_SEEN = "\n\r\t"


class PackFinding(NamedTuple):
    """One finding: the field of the pack, the rule, and how many tasks or characters it is about."""

    field: str
    rule: Rule
    times: int

    def __str__(self) -> str:
        return f"{self.field} {WORDS[self.rule]} ({self.times})"


def pack_findings(pack: ElicitationPack, suite: FrozenSuite) -> list[PackFinding]:
    """Return what is found in a pack, leaks first."""
    texts = dict(_texts(pack))
    folded = {field: _folded(text) for field, text in texts.items()}
    found: list[PackFinding] = []
    for field, text in folded.items():
        found += _count(field, "TEST_TEXT", text, [known for known in _hidden(suite) if len(known) >= _SHORTEST])
        found += _count(field, "CANARY", text, list(_canaries(suite)))
        found += _count(field, "DEV_ANSWER", text, list(_answers(suite)), few=_FEW)
    for field, text in texts.items():
        hidden = sum(_unseen(character) for character in text)
        if hidden:
            found.append(PackFinding(field, "INVISIBLE_TEXT", hidden))
        # A template is the place for markers; anywhere else they are not what a reader takes them for.
        marked = sum(marker in text for marker in _MARKERS)
        if marked and field not in ("method.template", "tokens"):
            found.append(PackFinding(field, "ROLE_MARKER", marked))
    return sorted(found, key=lambda one: list(WORDS).index(one.rule))


def _count(field: str, rule: Rule, text: str, known: Sequence[str], *, few: int = 1) -> Iterator[PackFinding]:
    hits = sum(item in text for item in {*known} if item)
    if hits >= few:
        yield PackFinding(field, rule, hits)


def _texts(pack: ElicitationPack) -> Iterator[tuple[str, str]]:
    method = pack.method
    thinking = None if method.thinking is None else method.thinking.instruction
    fields = {
        "method.system": method.system,
        "method.template": method.template,
        "method.thinking": thinking,
        "fineTuning": pack.fine_tuning,
        "failureModes": "\n".join(pack.failure_modes),
        "tokens": "\n".join(pack.tokens),
        "notes": pack.notes,
    }
    for field, text in fields.items():
        if text:
            yield field, text


def _hidden(suite: FrozenSuite) -> Iterator[str]:
    for task in suite.tasks:
        prompt = None if task.kind == DEV else task.value("prompt")
        if isinstance(prompt, dict):
            request: dict[str, Any] = prompt.get("request") or {}
            said = [turn.get("content") for turn in request.get("messages") or () if turn.get("role") == "user"]
            for text in (prompt.get("question"), request.get("prefix"), *said):
                if isinstance(text, str):
                    yield _folded(text)


def _canaries(suite: FrozenSuite) -> Iterator[str]:
    for task in suite.tasks:
        canary = task.value("canary")
        if isinstance(canary, str):
            yield _folded(canary)


def _answers(suite: FrozenSuite) -> Iterator[str]:
    for task in suite.tasks:
        if task.kind != DEV:
            continue
        target, prompt = task.value("target"), task.value("prompt")
        options = prompt.get("options") if isinstance(prompt, dict) else None
        if isinstance(target, dict):
            answer = target.get("answer")
            named = [options[answer]] if isinstance(options, list) and isinstance(answer, int) else []
            for text in (*named, *(target.get("answers") or ()), target.get("value")):
                if isinstance(text, str) and len(text) > 1:
                    yield _folded(text)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _unseen(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _INVISIBLE or (category == "Cc" and character not in _SEEN)
