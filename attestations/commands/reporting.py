"""`safeconduct report`: one page about an evidence file, after every check that can be made."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from attestations.container import Container, Watch
from attestations.documents.agreement import Agreement
from attestations.files import open_file, write_file
from attestations.rendering.pages import page
from attestations.rendering.report_facts import deviation_words
from attestations.rendering.report_view import ReportView, report_view, view_json
from attestations.trust import Trust
from attestations.verify import transcript
from attestations.verify.deviating import deviations_in
from attestations.verify.engine import Request, examine
from attestations.verify.opened import Content
from attestations.verify.report import Report
from attestations.verify.schedule import RUN_KINDS


class Written(NamedTuple):
    """The page that was written, and the verifier's report it rests on."""

    view: ReportView
    report: Report


def write_report(
    file: Path,
    trust: Trust,
    out: Path,
    *,
    data: Path | None = None,
    at: datetime | None = None,
    watch: Watch | None = None,
) -> Written:
    """Verify an evidence file and write its page, and the same as JSON where `data` says.

    Raises:
        FileUnusable, MalformedEnvelope: the file cannot be read, or names no agreement the page could be about.
    """
    with open_file(file) as stream:
        container = Container(stream, watch)
        found = examine(container, trust, Request(at=at))
        report, content = found.report, found.content if found.report.holds else None
        agreed, log = found.ground()
        view = report_view(
            report,
            _in_force(log, agreed.agreement),
            rows=None if content is None else content.rows,
            plan=None if content is None or content.aggregate is None else content.aggregate.plan,
            exposures=_exposures(content),
            deviations=[deviation_words(item.document) for item in deviations_in(log)],
        )
    write_file(out, [page("report.html", view=view).encode()])
    if data is not None:
        write_file(data, [json.dumps(view_json(view, report), indent=1, ensure_ascii=False).encode() + b"\n"])
    return Written(view, report)


def _in_force(log: transcript.Transcript, agreement: Agreement) -> Agreement:
    return agreement if log.broken else log.agreement


def _exposures(content: Content | None) -> list[str] | None:
    if content is None or "C8" not in content.keys or "C5" not in content.keys:
        return None
    asked = [i for i, kind in enumerate(content.tasks.kinds) if kind in RUN_KINDS]
    return [str(content.tasks.fields("C8", i).get("exposureBefore")) for i in asked]
