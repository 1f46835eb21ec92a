"""Which fields of which class stay closed for a recipient: what is asked now, was asked before, or others may ask."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attestations.documents.engagement import ReleasedView, Stage
from attestations.views import VIEWED_CLASSES, released_view
from auditor_client.redacting import OPEN, Closed, only_tasks, parse_redaction
from auditor_client.releasing import Releaser, classes_up_to
from auditor_client.viewing import Source, view_lines


@dataclass(frozen=True)
class View:
    """One class as one recipient gets it: the rules, the lines, and what the release says of them."""

    closed: Sequence[Closed]
    lines: bytes
    document: ReleasedView


@dataclass(frozen=True)
class Closing:
    """Makes the views of one recipient."""

    releaser: Releaser
    source: Source

    async def views(
        self, stage: Stage, recipient: str, *, only: Sequence[str], redact: Sequence[Closed]
    ) -> dict[str, View]:
        """Return {class: view} of every class of which something stays closed, or that is never opened whole."""
        made = {}
        for content_class in only or classes_up_to(stage):
            if content_class not in VIEWED_CLASSES:
                continue
            closed = self._closed(content_class, recipient, redact)
            if closed or content_class == "C9":
                lines = [line async for line in view_lines(self.source, content_class, closed)]
                data = b"".join(line + b"\n" for line in lines)
                made[content_class] = View(closed, data, released_view(lines))
        return made

    async def keep(self, recipient: str, views: Mapping[str, View]) -> None:
        """Remember what was asked, so that later stages show the same."""
        for content_class, view in views.items():
            texts = [item.text for item in view.closed if item.text]
            await self.releaser.journal.remember(f"redact/{content_class}/{recipient}", json.dumps(texts).encode())

    def _closed(self, content_class: str, recipient: str, redact: Sequence[Closed]) -> list[Closed]:
        asked = [item for item in redact if item.content_class == content_class]
        if not asked:
            kept = self.releaser.journal.recall(f"redact/{content_class}/{recipient}")
            asked = [parse_redaction(text) for text in json.loads(kept)] if kept is not None else []
        return [item for item in asked if item.reason != OPEN] + self._others(content_class, recipient)

    def _others(self, content_class: str, recipient: str) -> list[Closed]:
        ledger = self.releaser.history().ledger
        theirs = [
            Closed(content_class, document.reason, "", by=min(roles), path=path)
            for roles, document in ledger.redactions
            for path in document.paths
            if document.content_class == content_class
        ]
        now = self.releaser.now()
        if ledger.by_emergency(content_class, recipient, now):
            theirs.append(only_tasks(content_class, ledger.emergency_items(content_class, recipient)))
        return theirs
