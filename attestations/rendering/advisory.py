"""The release log of an evidence file as a CSAF 2.1 document, for those whose tools read advisories.

It is an export and no evidence: nobody signs it; only the evidence file proves what it says of figures and releases.
The profile is CSAF Base, as no product and no vulnerability is named; texts of findings are not in evidence files but
in reports of their own, which go into a document of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from attestations.documents.base import format_time, parse_time
from attestations.documents.engagement import EvidenceIndex
from attestations.documents.finding import CONTENT_CLASS as FINDINGS
from attestations.errors import CommitmentMismatch
from attestations.labels import ceiling, strictest
from attestations.policy.words import class_words, recipient_words
from attestations.predicate import Result
from attestations.verify.established import LoggedRelease, Transcript
from attestations.verify.findings import Found
from attestations.verify.report import Report

VERSION = "2.1"
SCHEMA = "https://docs.oasis-open.org/csaf/csaf/v2.1/schema/csaf.json"
_GROUPS = uuid.UUID("6f2a5f0e-8a53-4f0e-9a51-9d2f4f6a7c11")  # of the sharing groups of agreements


def advisory(log: Transcript, report: Report, index: EvidenceIndex, *, namespace: str) -> dict[str, Any]:
    """Return the document.

    Args:
        log: what the verified log says.
        report: the verifier's report on the whole file.
        index: the file's signed index.
        namespace: a URL of the auditor's, as CSAF names publishers.

    Raises:
        CommitmentMismatch: the evidence does not hold, or shows nothing that was released.
    """
    made = [item for item in log.releases if item.document.recipient in (index.recipient, "PUBLIC")]
    if not report.holds or not made:
        raise CommitmentMismatch("only evidence that holds, of something that was released, is exported")
    agreement, who = log.agreement, recipient_words(index.recipient)
    label = strictest(
        [
            *(ceiling(item.document.content_class, public=_public(log, item)) for item in made),
            *(item.document.tlp or "CLEAR" for item in made),
            index.tlp or "CLEAR",
        ]
    )
    return _csaf(
        title=f"Audit {agreement.engagement}: {index.stage} for {who}",
        label=label,
        group=(f"{index.agreement} {index.recipient}", _capital(who)),
        notes=list(_notes(report, made)),
        publisher=(agreement.party("auditor").id, namespace),
        name=f"{agreement.engagement}-{index.agreement[:16]}-{index.recipient}",
        history=[(_second(parse_time(item.logged_at)), _released(item)) for item in made],
    )


def flaw_advisory(found: Found, *, namespace: str) -> dict[str, Any]:
    """Return a flaw report as a CSAF 2.1 document for those it was given to; an export, and no evidence.

    Args:
        found: the report, held against a log.
        namespace: a URL of the auditor's, as CSAF names publishers.
    """
    report, who = found.report, [recipient_words(recipient) for recipient in found.recipients]
    texts = {
        "Impact": report.impact,
        "Prevalence": report.prevalence,
        "Reproduction": report.reproduction,
        "Mitigation": report.mitigation,
    }
    notes = [
        _note("summary", "Flaw", [f"{report.title} (severity: {report.severity}; model: {report.variant})"]),
        _note("description", "Description", [report.description]),
        *(_note("details", title, [text]) for title, text in texts.items() if text),
        _note("other", "Evidence", [f"SHA-256 of the signed report: {found.digest}. This document is not signed."]),
    ]
    return _csaf(
        title=f"Flaw report {report.id}",
        label=ceiling(FINDINGS, public=False),
        group=(f"{report.agreement} {' '.join(found.recipients)}", _capital(" and ".join(who))),
        notes=notes,
        publisher=(found.auditor, namespace),
        name=f"{report.agreement[:16]}-{report.id}",
        history=[
            (_second(logged.at.upper), f"Given to {', '.join(recipient_words(to) for to in logged.document.to)}.")
            for logged in found.notices
        ],
    )


def _csaf(
    *,
    title: str,
    label: str,
    group: tuple[str, str],
    notes: list[dict[str, str]],
    publisher: tuple[str, str],
    name: str,
    history: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    distribution: dict[str, Any] = {"tlp": {"label": label}}
    if label != "CLEAR":
        made = uuid.uuid5(_GROUPS, group[0])
        # The fields of a random UUID, so that it passes as one; the same readers are always the same group.
        distribution["sharing_group"] = {"id": str(uuid.UUID(bytes=made.bytes, version=4)), "name": group[1]}
    return {
        "$schema": SCHEMA,
        "document": {
            "category": "csaf_base",
            "csaf_version": VERSION,
            "distribution": distribution,
            "lang": "en",
            "notes": notes,
            "publisher": {"category": "discoverer", "name": publisher[0], "namespace": publisher[1]},
            "title": title,
            "tracking": {
                "current_release_date": history[-1][0],
                "generator": {"engine": {"name": "safeconduct"}},
                "id": name,
                "initial_release_date": history[0][0],
                "revision_history": [
                    {"date": date, "number": str(number), "summary": summary}
                    for number, (date, summary) in enumerate(history, start=1)
                ],
                "status": "final",
                "version": str(len(history)),
            },
        },
    }


def _second(at: datetime) -> str:
    return format_time(at.replace(microsecond=0))


def _notes(report: Report, made: Sequence[LoggedRelease]) -> Iterator[dict[str, str]]:
    figures = [] if report.predicate is None else list(report.predicate.results)
    if figures:
        yield _note("summary", "Figures", [_figure(item) for item in figures])
    yield _note("details", "What was released", [_released(item) for item in made])
    if report.limitations:
        yield _note("general", "What is not proven", report.limitations)
    digest = report.attestation or "unknown"
    yield _note("other", "Evidence", [f"SHA-256 of the signed attestation: {digest}. This document is not signed."])


def _figure(item: Result) -> str:
    low, high = item.interval
    named = item.id if item.category is None else f"{item.id} ({item.category})"
    return f"{named}: {item.value}, {low} to {high} at level {item.level}, of {item.n}; {item.verdict}."


def _released(item: LoggedRelease) -> str:
    document = item.document
    view = document.view
    part = "" if view is None else f", {view.opened} fields open and {view.closed} closed"
    return f"{_capital(class_words(document.content_class))} for {recipient_words(document.recipient)}{part}."


def _note(category: str, title: str, lines: Sequence[str]) -> dict[str, str]:
    return {"category": category, "text": "\n".join(lines), "title": title}


def _public(log: Transcript, item: LoggedRelease) -> bool:
    return item.document.recipient == "PUBLIC" or log.ledger.is_public(item.document.content_class)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
