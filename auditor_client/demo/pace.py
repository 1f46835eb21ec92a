"""How long the demo's policy makes everybody wait: long enough to be read, or as short as a test needs."""

from __future__ import annotations

from dataclasses import dataclass

_SKEW_SECONDS = 3  # both sides' tolerated clock skew, and whole seconds


@dataclass(frozen=True)
class Pace:
    """Seconds of rest before tasks are released, and until the overall figures are owed."""

    rest: int
    owed: int

    @property
    def permitted_after(self) -> float:
        """Seconds after which a release is surely permitted."""
        return self.rest + _SKEW_SECONDS

    @property
    def overdue_after(self) -> float:
        """Seconds after which the figures are surely overdue."""
        return self.owed + 2 * _SKEW_SECONDS

    def told(self, policy: str) -> str:
        """Return the demo's policy at this pace."""
        return policy.replace("PT30S", f"PT{self.rest}S").replace("PT90S", f"PT{self.owed}S")


FOR_PEOPLE = Pace(rest=30, owed=90)
FOR_TESTS = Pace(rest=8, owed=30)
