"""The store as a few dictionaries: the readable reference that every other store is held against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence

from attestations.errors import EvidenceMissing, StoreFailed
from lab_server.ports import Equivocation, NewFrames, StoredAgreement, StoredFrame, StoredLeaf, StoredWish


class MemoryStore:
    """The lab's memory for as long as the process lives; `full` makes every change fail, as a full disk does."""

    def __init__(self) -> None:
        self.full = False
        self._entries: dict[str, list[bytes]] = {}
        self._terms: dict[str, bytes] = {}
        self._wishes: dict[str, StoredWish] = {}
        self._draws: dict[str, bytes] = {}
        self._equivocations: dict[str, dict[tuple[str, int], Equivocation]] = {}
        self._agreements: dict[str, StoredAgreement] = {}
        self._leaves: dict[str, list[StoredLeaf]] = {}
        self._frames: dict[tuple[str, str, int], NewFrames] = {}
        self._closing: dict[str, bytes] = {}
        self._cosigned: dict[str, dict[int, str]] = {}
        self._packages: dict[tuple[str, str], bytes] = {}

    async def add_entries(
        self, name: str, position: int, entries: Sequence[bytes], agreement: StoredAgreement | None = None
    ) -> bool:
        """Keep steps of one negotiation, and an agreement that comes into force; never over another step."""
        self._change()
        kept = self._entries.setdefault(name, [])
        if len(kept) != position:
            return False
        kept += entries
        if agreement is not None:
            self._agreements.setdefault(agreement.digest, agreement)
        return True

    async def entries(self, name: str) -> list[bytes]:
        """Return every step of one negotiation in order."""
        return list(self._entries.get(name, ()))

    async def negotiations(self) -> list[str]:
        """Return the names of all negotiations."""
        return sorted(self._entries)

    async def save_terms(self, auditor: str, terms: bytes) -> None:
        """Keep the terms one auditor is offered."""
        self._change()
        self._terms[auditor] = terms

    async def terms(self, auditor: str) -> bytes | None:
        """Return the terms one auditor was last offered."""
        return self._terms.get(auditor)

    async def save_wish(self, wish: StoredWish) -> None:
        """Keep a wish, replacing what was kept for the negotiation."""
        self._change()
        self._wishes[wish.name] = wish

    async def wishes(self) -> list[StoredWish]:
        """Return every wish, answered or not."""
        return [self._wishes[name] for name in sorted(self._wishes)]

    async def agreements(self) -> list[StoredAgreement]:
        """Return every agreement in force."""
        return [self._agreements[digest] for digest in sorted(self._agreements)]

    def append(self, agreement: str, leaf: StoredLeaf, frames: NewFrames | None = None) -> Awaitable[None]:
        """Add the next leaf of a log, and with it the frames of the answer it ends; never after a gap."""
        done = asyncio.get_running_loop().create_future()
        leaves = self._leaves.setdefault(agreement, [])
        if self.full or leaf.position != len(leaves):
            done.set_exception(StoreFailed("the leaf could not be kept"))
            return done
        leaves.append(leaf)
        if frames is not None:
            self._frames[agreement, frames.session, frames.seq] = frames
        done.set_result(None)
        return done

    async def save_closing(self, agreement: str, statement: bytes) -> None:
        """Keep our close statement until both have signed it."""
        self._change()
        self._closing[agreement] = statement

    async def closing(self, agreement: str) -> bytes | None:
        """Return our close statement, if we made one."""
        return self._closing.get(agreement)

    async def leaves(self, agreement: str, start: int) -> AsyncIterator[StoredLeaf]:
        """Give a log's leaves from `start` in order."""
        for leaf in list(self._leaves.get(agreement, ()))[start:]:
            yield leaf

    async def steps(self, agreement: str) -> list[StoredLeaf]:
        """Return the leaves of a log that belong to no exchange, in order."""
        return [leaf for leaf in self._leaves.get(agreement, ()) if leaf.session is None]

    async def exchange(self, agreement: str, session: str, seq: int) -> list[StoredLeaf]:
        """Return the leaves of one exchange in order."""
        return [leaf for leaf in self._leaves.get(agreement, ()) if (leaf.session, leaf.seq) == (session, seq)]

    async def frames(self, agreement: str, session: str, seq: int, *, now: str) -> list[StoredFrame]:
        """Return the frames of one answer, or none once their time has passed."""
        kept = self._frames.get((agreement, session, seq))
        return [] if kept is None or kept.until < now else list(kept.frames)

    async def purge_frames(self, *, now: str) -> int:
        """Forget every frame whose time has passed and return how many there were."""
        self._change()
        passed = [place for place, kept in self._frames.items() if kept.until < now]
        return sum(len(self._frames.pop(place).frames) for place in passed)

    async def save_cosigned(self, agreement: str, size: int, note: str) -> None:
        """Keep a cosigned checkpoint; the largest is what a restart is held against."""
        self._change()
        self._cosigned.setdefault(agreement, {})[size] = note

    async def cosigned(self, agreement: str) -> str | None:
        """Return the largest cosigned checkpoint."""
        notes = self._cosigned.get(agreement)
        return notes[max(notes)] if notes else None

    async def draw_share(self, agreement: str, fresh: bytes) -> bytes:
        """Return our share of an agreement's draw: `fresh` unless one is kept already."""
        self._change()
        return self._draws.setdefault(agreement, fresh)

    async def save_equivocation(self, agreement: str, equivocation: Equivocation) -> None:
        """Keep two signed messages that claim one place: evidence against their signer; one pair a place is enough."""
        self._change()
        kept = self._equivocations.setdefault(agreement, {})
        kept.setdefault((equivocation.session, equivocation.seq), equivocation)

    async def equivocations(self, agreement: str) -> list[Equivocation]:
        """Return every kept pair, in the order they were kept."""
        return list(self._equivocations.get(agreement, {}).values())

    async def save_package(self, agreement: str, name: str, data: AsyncIterator[bytes]) -> None:
        """Keep the ciphertext of one sealed package; nothing if `data` raises."""
        blocks = [block async for block in data]
        self._change()
        self._packages[agreement, name] = b"".join(blocks)

    def package(self, agreement: str, name: str) -> Iterator[bytes]:
        """Give the bytes of one sealed package."""
        kept = self._packages.get((agreement, name))
        if kept is None:
            raise EvidenceMissing("a sealed package is not kept", package=name)
        yield kept

    def _change(self) -> None:
        if self.full:
            raise StoreFailed("the store is full")
