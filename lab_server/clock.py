"""What time it is on this machine."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, in whole milliseconds."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
