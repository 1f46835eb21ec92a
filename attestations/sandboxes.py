"""What the Records of one log say about sandboxes: no hook nobody asked for, and nothing that changes on its way."""

from __future__ import annotations

from decimal import Decimal

from attestations.documents.agreement import HOOKS
from attestations.documents.exchange import Intent, Record
from attestations.documents.hooks import HookStatement, SandboxLimits, SandboxStatement
from attestations.errors import AttributionFailed

_LIMITS = tuple(SandboxLimits.model_fields)
_SAME = ("tier", "provider", "version", "image", "policy", "self_test", "limits", "degraded")


def narrower(given: SandboxLimits, wanted: SandboxLimits) -> bool:
    """Tell whether a sandbox may use less of anything than was asked for."""
    return any(Decimal(str(getattr(given, name))) < Decimal(str(getattr(wanted, name))) for name in _LIMITS)


class SandboxLedger:
    """Grows with the Records of one engagement."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], SandboxStatement] = {}

    def stated(self, session: str, sandbox: str) -> SandboxStatement | None:
        """Return what was last stated of a sandbox, or None where nothing was."""
        return self._last.get((session, sandbox))

    def take(self, intent: Intent, record: Record) -> None:
        """Take a Record into account.

        Raises:
            AttributionFailed: it states a hook that was not asked, states none where one was carried out, or
                contradicts an earlier statement about its sandbox.
        """
        place = {"session": intent.session, "seq": str(intent.seq)}
        check_stated(intent, record.status, record.hook)
        stated = record.hook
        if not isinstance(stated, SandboxStatement):
            return
        if stated.model_calls > stated.limits.model_calls:
            raise AttributionFailed("a sandbox made more calls than its limit", **place)
        before = self._last.get((intent.session, stated.sandbox))
        if before is not None and not _follows(before, stated):
            raise AttributionFailed("a statement about a sandbox contradicts an earlier one", **place)
        self._last[intent.session, stated.sandbox] = stated


def check_stated(intent: Intent, status: str, hook: HookStatement | None) -> None:
    """Refuse what a Record of this status states of hooks, where its Intent asked for another one or for none.

    Raises:
        AttributionFailed.
    """
    stated = None if hook is None else hook.hook
    wanted = intent.operation if intent.operation in HOOKS else None
    if stated != wanted and (stated is not None or status == "COMPLETED"):
        place = {"session": intent.session, "seq": str(intent.seq)}
        raise AttributionFailed("a Record states another hook than was asked", **place)


def _follows(before: SandboxStatement, now: SandboxStatement) -> bool:
    if any(getattr(before, name) != getattr(now, name) for name in _SAME) or now.model_calls < before.model_calls:
        return False
    return before.state == "OPEN" or (before.state == "LOST" and now.state != "OPEN")
