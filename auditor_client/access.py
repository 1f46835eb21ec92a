"""When the agreement lets us ask: outside its dates nothing begins, and a person is told the dates."""

from __future__ import annotations

from datetime import datetime

from attestations.documents.agreement import Access
from attestations.documents.base import parse_time
from attestations.errors import ScopeExceeded


def is_open(access: Access, now: datetime) -> bool:
    """Tell whether an exchange may begin now."""
    return parse_time(access.not_before) <= now <= parse_time(access.not_after)


def check_open(access: Access, now: datetime, *, left: int) -> None:
    """Refuse to begin outside the agreed dates.

    Raises:
        ScopeExceeded: the message names the date, and how many items wait.
    """
    if now < parse_time(access.not_before):
        raise ScopeExceeded(f"access begins at {access.not_before}; {left} items wait", rule="access")
    if now > parse_time(access.not_after):
        raise ScopeExceeded(f"access ended at {access.not_after}; {left} items were never asked", rule="access")
