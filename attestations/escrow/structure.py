"""Who can open a class without the auditor: branches joined by OR, groups joined by AND, a threshold in each group.

(REG and 1 of {T1, T2}) or (2 of {T1, T2, T3} once overdue)
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from attestations.documents.base import Name, Part

MAX_SHARES = 24  # of one class; their sealed forms and the commitments fit one leaf of the log

Ground = Literal["overdue", "order"]


class HolderGroup(Part):
    """A number of holders of which `need` must take part; a holder of two groups holds two shares."""

    need: int = Field(ge=1, le=16)
    of: tuple[Name, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _can_be_met(self) -> HolderGroup:
        if len(set(self.of)) != len(self.of) or self.need > len(self.of):
            raise ValueError("a group names each holder once, and as many as it needs")
        return self


class Branch(Part):
    """One way to open: every group must be met, on one of the grounds, `grace_days` after the obligation fell due."""

    id: Name
    groups: tuple[HolderGroup, ...] = Field(min_length=1, max_length=4)
    opens: tuple[Ground, ...] = Field(default=("overdue",), min_length=1, max_length=2)
    grace_days: int = Field(default=0, ge=0, le=365)

    @model_validator(mode="after")
    def _nobody_alone(self) -> Branch:
        everywhere = set.intersection(*(set(group.of) for group in self.groups))
        if everywhere and all(group.need == 1 for group in self.groups):
            raise ValueError("one holder alone could open")
        return self

    def holders(self) -> tuple[str, ...]:
        """Return every holder of the branch, each once, in order."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group.of))


class Escrow(Part):
    """The access structure both sides sign: whoever meets any branch can open what is owed."""

    branches: tuple[Branch, ...] = Field(min_length=1, max_length=4)

    @model_validator(mode="after")
    def _fits(self) -> Escrow:
        if len({branch.id for branch in self.branches}) != len(self.branches):
            raise ValueError("two branches of one name")
        if sum(len(group.of) for branch in self.branches for group in branch.groups) > MAX_SHARES:
            raise ValueError("more than 24 shares a class")
        return self

    def holders(self) -> tuple[str, ...]:
        """Return every holder, each once, in order."""
        return tuple(dict.fromkeys(name for branch in self.branches for name in branch.holders()))

    def branch(self, name: str) -> Branch | None:
        """Return the branch of this name, or None."""
        return next((branch for branch in self.branches if branch.id == name), None)

    def without(self, lost: frozenset[str]) -> Escrow | None:
        """Return the structure less some holders, or None if nobody could open any more.

        Thresholds stay: whoever can open afterwards could before. A branch that can no longer be met goes.
        """
        left = [smaller for branch in self.branches if (smaller := _less(branch, lost)) is not None]
        return Escrow(branches=tuple(left)) if left else None


def _less(branch: Branch, lost: frozenset[str]) -> Branch | None:
    groups = []
    for group in branch.groups:
        left = tuple(name for name in group.of if name not in lost)
        if len(left) < group.need:
            return None
        groups.append(HolderGroup(need=group.need, of=left))
    return branch.model_copy(update={"groups": tuple(groups)})
