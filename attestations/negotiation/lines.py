"""An agreement as lines a person can read: a heading, a path, a name in plain words and a value, in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from attestations.digests import sha256
from attestations.documents.agreement import Agreement, Terms
from attestations.plain import plain

HEADINGS = {
    "parties": "Parties and keys",
    "transport": "Parties and keys",
    "variants": "Models",
    "scope": "What may be asked",
    "budget": "How much may be asked",
    "fineTuning": "How much may be trained",
    "access": "When it may be asked",
    "timing": "Deadlines",
    "runtime": "Runtime",
    "origin": "The log",
    "witnesses": "The log",
    "policy": "Who may learn what, and when",
    "escrow": "Who opens what is owed if the auditor goes silent",
    "clauses": "Clauses",
}
NAMES = {
    "scope.variants": "models",
    "scope.operations": "kinds of request",
    "scope.tools": "tools",
    "scope.maxTopLogprobs": "log-probabilities for each token",
    "scope.maxOutputTokens": "longest answer, in tokens",
    "scope.maxSessions": "sessions at once",
    "budget.requests": "requests in all",
    "budget.inputTokens": "input tokens in all",
    "budget.outputTokens": "output tokens in all",
    "budget.crashes": "exchanges that may be aborted by crashes",
    "budget.unrevealed": "Promises that may stay unused",
    "fineTuning.maxJobs": "fine-tune jobs in all",
    "fineTuning.maxTrainTokens": "tokens trained on in all",
    "access.notBefore": "access begins",
    "access.notAfter": "access ends",
    "access.businessDays": "business days of access owed",
    "timing.revealSeconds": "seconds for the auditor to use a Promise",
    "timing.respondSeconds": "seconds for the model to answer",
    "timing.cosignSeconds": "seconds until the auditor cosigns the log",
    "timing.cosignLeaves": "log entries until the auditor cosigns the log",
    "timing.redeliverSeconds": "seconds for which sealed answers can be fetched again",
    "timing.skewSeconds": "tolerated difference of the clocks, in seconds",
    "timing.relaySeconds": "seconds for the lab to answer what a relay puts before it",
    "runtime.level": "what is proven about the machine",
    "runtime.retention": "prompts are kept",
    "runtime.training": "prompts are trained on",
    "origin": "name of the log",
    "witnesses.quorum": "witnesses needed",
    "transport.gateway": "TLS key of the lab",
    "transport.auditor": "TLS key of the auditor",
    "policy.anchor": "event that times count from",
    "policy.maxHold": "longest hold in all",
    "policy.calendar.holidays": "days that are no business days",
    "policy.protected": "rules that change only with their beneficiary's signature",
    "clauses.publicationControl": "the lab's say before publication",
    "clauses.noGag": "imminent harm may always be told to regulator and lab",
    "clauses.safeHarbor": "no legal action for good-faith research",
    "clauses.funding": "who pays the audit",
    "clauses.contingentPay": "pay depends on the result",
    "clauses.elicitationDays": "days for the lab to advise once it has seen the DEV tasks",
    "clauses.termination.by": "who may end the agreement alone",
    "clauses.termination.noticeDays": "days of notice before the end",
}
_RULE = {
    "class": "content",
    "to": "recipient",
    "permit": "may be released once",
    "oblige": "must be released once",
    "escrow": "escrow holders",
}
_SKIPPED = frozenset({"v", "engagement", "createdAt", "supersedes", "auditor", "issuedAt", "originPrefix"})
_ORDER = tuple(HEADINGS)
_PLACE = re.compile(r"\[[^\]]*\]")
_LONG = 40


class Line(NamedTuple):
    """One thing that was agreed."""

    heading: str
    path: str
    name: str
    value: str


def lines(document: Agreement | Terms) -> tuple[Line, ...]:
    """Return everything a document says, in the order a person reads it."""
    value = document.json_value()
    if isinstance(document, Terms):
        value["parties"] = [value.pop("lab")]
        value["transport"] = {"gateway": value.pop("gateway")}
    fields = sorted(
        (name for name in value if name not in _SKIPPED),
        key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER),
    )
    return tuple(
        Line(HEADINGS.get(field, "Other"), path, _name(path), text)
        for field in fields
        for path, text in _walk(field, value[field])
    )


def page(document: Agreement | Terms) -> list[str]:
    """Return a document as text with a heading for each part."""
    shown: list[str] = []
    heading = ""
    for line in lines(document):
        if line.heading != heading:
            heading = line.heading
            shown += ["", plain(heading)]
        shown.append(plain(f"  {line.name}: {line.value}"))
    return shown[1:]


def _walk(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if path.endswith((".permit", ".oblige")):
        yield path, formula_text(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name != "v":
                yield from _walk(f"{path}.{name}", item)
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _item(path, number, item)
    else:
        yield path, _text(value, secret=path.endswith(".public"))


def _item(path: str, number: int, item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    label = next((name for name in ("id", "use", "name", "clause") if name in item), None)
    place = f"{path}[{number if label is None else item[label]}]"
    rest = {name: inner for name, inner in item.items() if name != label}
    if not rest:
        yield place, "yes"
    for name, inner in rest.items():
        yield from _walk(f"{place}.{name}", inner)


def formula_text(formula: Any) -> str:
    """Return a policy's formula in one line; a rule without one says `never`."""
    if formula is None:
        return "never"
    if isinstance(formula, dict):
        ((word, parts),) = formula.items()
        inner = [f"({formula_text(part)})" if isinstance(part, dict) else formula_text(part) for part in parts]
        return f" {word} ".join(inner)
    return str(formula)


def _text(value: Any, *, secret: bool) -> str:
    if value is None or value in ([], ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(item, secret=False) for item in value)
    if secret and len(str(value)) > _LONG:
        return f"key {sha256(str(value).encode())[:16]}"
    return str(value)


def _name(path: str) -> str:
    known = NAMES.get(path)
    if known is not None:
        return known
    if path.startswith("policy.rules["):
        rule, _, field = path.removeprefix("policy.rules[").partition("].")
        return f"rule {rule}, {_RULE.get(field, field)}"
    places = [place[1:-1] for place in _PLACE.findall(path)]
    field = _PLACE.sub("", path).rpartition(".")[2]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).lower()
    return " ".join([*places, words]) if places else words
