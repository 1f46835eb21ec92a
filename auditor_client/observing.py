"""The auditor's own log: one JSON line an event, digests and counts only, never content."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from attestations.files import Lines

# Whatever else a caller passes is dropped: a name that is not here could hold content.
ALLOWED = frozenset(
    {
        "agreement", "call", "code", "count", "digest", "done", "event", "failed", "index", "lanes", "level",
        "reason", "recipient", "seconds", "seq", "session", "size", "stage", "status", "timestamp", "total",
    }
)  # fmt: skip


def open_log(path: Path) -> tuple[structlog.typing.FilteringBoundLogger, Lines]:
    """Return a logger that appends to `path`, and the file to close afterwards."""
    file = Lines(path)
    logger = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", file)),
        processors=[
            _level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_allowed,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return logger, file


def _level(_: Any, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["level"] = level
    return event


def _only_allowed(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: value for name, value in event.items() if name in ALLOWED}
