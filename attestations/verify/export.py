"""What a verified evidence file opens, as readable JSON lines: nothing is written from a file that does not hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from attestations.container import Container
from attestations.documents.agreement import Agreement
from attestations.errors import CommitmentMismatch, ExitCode
from attestations.escrow.released import EscrowRelease
from attestations.trust import Trust
from attestations.verify import opened
from attestations.verify.engine import Request, examine
from attestations.verify.report import Report
from attestations.verify.tally import Tally
from attestations.verify.transcript import Transcript
from attestations.verify.transcripts import read_transcripts


@dataclass(frozen=True, repr=False)
class Verified:
    """An evidence file that holds, and what it opens."""

    container: Container
    report: Report
    agreement: Agreement
    digest: str  # of the agreement as first concluded
    log: Transcript
    content: opened.Content


def open_verified(stream: BinaryIO, trust: Trust, released: Sequence[EscrowRelease] = ()) -> Verified:
    """Verify an evidence file and open it; `released` is what escrow holders opened.

    Raises:
        CommitmentMismatch: the file does not verify; nothing of it is shown as fact.
    """
    container = Container(stream)
    found = examine(container, trust, Request(escrow=tuple(released)))
    report, content = found.report, found.content
    if report.exit_code is not ExitCode.OK or content is None:
        raise CommitmentMismatch(
            f"the evidence file does not verify (exit code {int(report.exit_code)}); run `safeconduct verify` on it"
        )
    agreed, log = found.ground()
    return Verified(container, report, agreed.agreement, agreed.digest, log, content)


def export_opened(stream: BinaryIO, trust: Trust, released: Sequence[EscrowRelease] = ()) -> dict[str, Iterable[bytes]]:
    """Return {file name: its lines} of everything the file's keys open, each read when it is asked for.

    Raises:
        CommitmentMismatch: as `open_verified`.
    """
    verified = open_verified(stream, trust, released)
    content, report = verified.content, verified.report
    files: dict[str, Iterable[bytes]] = {"agreement.json": [_pretty(verified.agreement.json_value())]}
    if content.aggregate is not None:
        files["plan.json"] = [_pretty(content.aggregate.plan.json_value())]
    if report.predicate is not None:
        files["attestation.json"] = [_pretty(report.predicate.model_dump(mode="json", by_alias=True))]
    if content.rows is not None:
        files["grades.jsonl"] = (
            _line(
                {"task": row.task, "arm": row.arm, "epoch": row.epoch, "category": row.category}
                | row.value.json_value()
            )
            for row in content.rows
        )
    if content.tasks.kinds:
        files["tasks.jsonl"] = _tasks(content)
    if content.views:
        files["view.jsonl"] = (line + b"\n" for line in verified.container.lines("view.jsonl"))
    if content.transcripts is not None:
        files["transcripts.jsonl"] = _transcripts(content, verified.log.exchanges.tally)
    return files


def _tasks(content: opened.Content) -> Iterator[bytes]:
    classes = [name for name in ("C5", "C6", "C8") if name in content.keys]
    for task in range(len(content.tasks.kinds)):
        fields: dict[str, Any] = {"task": task}
        for name in classes:
            fields |= content.tasks.fields(name, task)
        yield _line(fields)


def _transcripts(content: opened.Content, tally: Tally) -> Iterator[bytes]:
    for answered in read_transcripts(content, tally):
        signed = answered.signed
        yield _line(
            {
                "session": signed.session,
                "seq": signed.seq,
                "request": answered.request.json_value(),
                "result": answered.result.json_value(),
            }
        )


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
