"""Outside the agreed dates nothing begins, what has begun is ended, and a person is told the date."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from attestations.errors import ScopeExceeded
from tests.unit.auditor_client.conftest import Audit

BEFORE = datetime(2026, 11, 23, tzinfo=UTC)
AFTER = datetime(2026, 12, 25, tzinfo=UTC)


@pytest.mark.parametrize(("at", "said"), [(BEFORE, "begins at 2026-11-24"), (AFTER, "ended at 2026-12-24")])
async def test_outside_the_dates_nothing_is_asked(audit: Audit, at: datetime, said: str) -> None:
    audit.clock.at = at
    with pytest.raises(ScopeExceeded, match=said) as refused:
        await audit.run()
    assert refused.value.facts["rule"] == "access"
    assert audit.lab.calls == []


async def test_access_that_ends_during_a_run_ends_what_was_asked_and_begins_nothing(audit: Audit) -> None:
    def answer(_: str) -> str:
        if len(audit.lab.calls) == 3:
            audit.clock.at = AFTER
        return "yes"

    audit.lab.answer = answer  # type: ignore[assignment]
    with pytest.raises(ScopeExceeded, match="ended at 2026-12-24"):
        await audit.run(lanes=2)
    asked = len(audit.lab.calls)
    assert asked in (3, 4)
    assert audit.journal.progress().done == asked
    assert all(audit.journal.pending(session.name) is None for session in audit.journal.sessions())
    with pytest.raises(ScopeExceeded, match=f"{7 - asked} items were never asked"):
        await audit.run(lanes=2)
    assert len(audit.lab.calls) == asked
