"""What an auditor keeps closed in a release, written as `C6/target=SECURITY` or `C5/prompt@3,10-19=HAZARD`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attestations.errors import ConfigurationInvalid
from attestations.statement_checks import check_right
from attestations.views import REASONS

OPEN = "OPEN"
_SPEC = re.compile(
    r"(?P<cls>C\d{1,2})(?:/(?P<path>[A-Za-z0-9._:/@+-]+?\*?))?(?:@(?P<tasks>[0-9,-]+))?=(?P<reason>[A-Z_]+)", re.ASCII
)
_RANGE = re.compile(r"(?P<first>\d{1,7})(?:-(?P<last>\d{1,7}))?", re.ASCII)


@dataclass(frozen=True)
class Closed:
    """Fields of one class that stay closed: of these paths and tasks, or of all."""

    content_class: str
    reason: str
    text: str
    by: str = "auditor"
    path: str | None = None
    tasks: tuple[range, ...] | None = None

    def covers(self, i: int, path: str) -> bool:
        """Tell whether a field is among them."""
        if self.path is not None:
            prefix = self.path.removesuffix("*")
            if not (path.startswith(prefix) if self.path.endswith("*") else path == prefix):
                return False
        return self.tasks is None or any(i in tasks for tasks in self.tasks)


def parse_redaction(text: str) -> Closed:
    """Read one redaction; the reason `OPEN` takes back what was asked for before.

    Raises:
        ConfigurationInvalid: it is not written as it must be.
        RedactionNotAllowed: an auditor may not keep this class closed.
    """
    match = _SPEC.fullmatch(text)
    if match is None or match["reason"] not in (*REASONS, OPEN):
        reasons = ", ".join(sorted(REASONS))
        raise ConfigurationInvalid(f"a redaction is written as C6/target=SECURITY; reasons: {reasons}", field="redact")
    check_right("auditor", match["cls"])
    return Closed(
        content_class=match["cls"],
        reason=match["reason"],
        text=text,
        path=match["path"],
        tasks=None if match["tasks"] is None else tuple(_ranges(match["tasks"])),
    )


def reason_for(closed: Sequence[Closed], i: int, path: str) -> tuple[str, str] | None:
    """Return why, and by whom, a field is closed; None if it is open."""
    return next(((item.reason, item.by) for item in closed if item.covers(i, path)), None)


def only_tasks(content_class: str, tasks: Iterable[int]) -> Closed:
    """Close everything of a class but the tasks an emergency names."""
    named = sorted(set(tasks))
    starts = [0, *(i + 1 for i in named)]
    ends = [*named, 1 << 20]
    between = tuple(range(start, end) for start, end in zip(starts, ends, strict=True))
    return Closed(content_class, "NOT_IN_SCOPE", "", tasks=between)


def _ranges(text: str) -> Iterable[range]:
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ConfigurationInvalid("tasks are written as 3,10-19", field="redact")
        first = int(match["first"])
        yield range(first, int(match["last"] or first) + 1)
