"""The port behind which every elicitation hook stands: what answers a request that no model answers.

A handler never sees keys, budgets or signatures. What it learns of the place of a request is there so that two
agreements, and two sessions, share nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from attestations.documents.exchange import Usage

if TYPE_CHECKING:
    from attestations.documents.asking import AnyRequest, AnyResult
    from attestations.documents.hooks import HookStatement

NOTHING_USED = Usage(input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)


class HookPlace(NamedTuple):
    """Whose request it is, where it stands, and which variant it concerns.

    `commitment` is the Intent's to its request, `seed` follows from the Promise, and `most_tokens` is what the Intent
    allows the hook to charge.
    """

    agreement: str
    session: str
    seq: int
    variant: str
    commitment: str
    seed: int
    most_tokens: int


@dataclass(frozen=True, repr=False)
class Done:
    """What a hook did; `statement` goes into the Record, `usage` to the meter."""

    result: AnyResult
    statement: HookStatement | None
    usage: Usage = NOTHING_USED


@dataclass(frozen=True)
class NotDone:
    """Why a hook could not do what was asked: the Record's status and code."""

    status: str
    code: str
    statement: HookStatement | None = None


class HookHandler(Protocol):
    """One hook, ready to be asked; requests of several sessions may be under way at once."""

    async def answer(self, request: AnyRequest, place: HookPlace, *, deadline_seconds: float) -> Done | NotDone:
        """Do what is asked and tell how it went; cancelled at the deadline, it leaves nothing half told."""
        ...

    async def forget(self, agreement: str) -> None:
        """Destroy everything that belongs to one agreement."""
        ...

    async def close(self) -> None:
        """Destroy everything."""
        ...
