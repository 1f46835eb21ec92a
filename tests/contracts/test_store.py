"""What every store of the lab keeps: order without gaps, frames until their time, all or nothing, and durably."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from attestations.errors import EvidenceMissing, StoreFailed
from lab_server.ports import Equivocation, NewFrames, Store, StoredAgreement, StoredFrame, StoredLeaf, StoredWish
from lab_server.storage.memory import MemoryStore
from lab_server.storage.sqlite import SqliteStore

AGREEMENT, OTHER = "aa" * 32, "bb" * 32
NOW, LATER = "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z"


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    made = SqliteStore(tmp_path / "store.sqlite")
    yield made
    await made.close()


def leaf(position: int, *, session: str | None = None, seq: int | None = None) -> StoredLeaf:
    return StoredLeaf(position, "record", session, seq, b"leaf %d" % position)


def frames(*ciphertexts: bytes, until: str = LATER) -> NewFrames:
    last = len(ciphertexts) - 1
    return NewFrames(
        "lane", 0, [StoredFrame(number, data, number == last) for number, data in enumerate(ciphertexts)], until
    )


async def blocks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def listed(store: Store, start: int = 0) -> list[StoredLeaf]:
    return [found async for found in store.leaves(AGREEMENT, start)]


async def test_leaves_come_back_in_order_and_by_exchange(store: Store) -> None:
    written = [leaf(0), leaf(1, session="lane", seq=0), leaf(2, session="lane", seq=0), leaf(3, session="lane", seq=1)]
    for item in written:
        await store.append(AGREEMENT, item)

    assert await listed(store) == written
    assert await listed(store, 2) == written[2:]
    assert await store.exchange(AGREEMENT, "lane", 0) == written[1:3]
    assert await store.exchange(OTHER, "lane", 0) == []


async def test_leaves_take_their_turn_when_they_are_given_not_when_they_are_awaited(store: Store) -> None:
    waiting = [store.append(AGREEMENT, leaf(position)) for position in range(500)]
    await asyncio.gather(*reversed(waiting))

    assert [found.position for found in await listed(store)] == list(range(500))


async def test_a_leaf_that_would_leave_a_gap_or_take_a_place_twice_is_refused(store: Store) -> None:
    await store.append(AGREEMENT, leaf(0))
    for position in (0, 2):
        with pytest.raises(StoreFailed):
            await store.append(AGREEMENT, leaf(position))

    assert await listed(store) == [leaf(0)]


async def test_one_agreements_failure_is_not_anothers(store: Store) -> None:
    bad, good = store.append(AGREEMENT, leaf(7)), store.append(OTHER, leaf(0))
    with pytest.raises(StoreFailed):
        await bad
    await good

    assert [found async for found in store.leaves(OTHER, 0)] == [leaf(0)]


async def test_frames_are_kept_with_their_leaf_until_their_time(store: Store) -> None:
    await store.append(AGREEMENT, leaf(0, session="lane", seq=0), frames(b"one", b"two"))

    assert await store.frames(AGREEMENT, "lane", 0, now=NOW) == [
        StoredFrame(0, b"one", final=False),
        StoredFrame(1, b"two", final=True),
    ]
    assert await store.frames(AGREEMENT, "lane", 0, now="2026-11-24T10:00:01Z") == []
    assert await store.frames(AGREEMENT, "lane", 1, now=NOW) == []


async def test_frames_whose_time_has_passed_are_forgotten(store: Store) -> None:
    await store.append(AGREEMENT, leaf(0, session="lane", seq=0), frames(b"one", b"two"))

    assert await store.purge_frames(now=NOW) == 0
    assert await store.purge_frames(now="2026-11-24T10:00:01Z") == 2
    assert await store.frames(AGREEMENT, "lane", 0, now=NOW) == []


async def test_a_refused_leaf_leaves_no_frames(store: Store) -> None:
    with pytest.raises(StoreFailed):
        await store.append(AGREEMENT, leaf(5, session="lane", seq=0), frames(b"one"))

    assert await store.frames(AGREEMENT, "lane", 0, now=NOW) == []


async def test_one_equivocation_a_place_is_kept_for_each_agreement(store: Store) -> None:
    first, again = Equivocation("lane", 4, b"one", b"two"), Equivocation("lane", 4, b"one", b"three")
    other = Equivocation("lane", 5, b"four", b"five")
    for pair in (first, again, other):
        await store.save_equivocation(AGREEMENT, pair)

    assert await store.equivocations(AGREEMENT) == [first, other]
    assert await store.equivocations(OTHER) == []


async def test_a_share_of_a_draw_is_kept_once_and_for_all(store: Store) -> None:
    assert await store.draw_share(AGREEMENT, b"first") == b"first"
    assert await store.draw_share(AGREEMENT, b"second") == b"first"
    assert await store.draw_share(OTHER, b"third") == b"third"


async def test_a_negotiation_only_grows_and_comes_into_force_in_one_step(store: Store) -> None:
    name = "auditor audit-1"
    assert await store.add_entries(name, 0, [b"offer", b"accept"])
    assert not await store.add_entries(name, 1, [b"another offer"])
    assert await store.entries(name) == [b"offer", b"accept"]
    assert await store.entries("auditor audit-2") == []

    assert await store.add_entries(name, 2, [b"conclude"], StoredAgreement(AGREEMENT, b"envelope"))
    assert not await store.add_entries(name, 2, [b"conclude"], StoredAgreement(OTHER, b"another"))
    assert await store.agreements() == [StoredAgreement(AGREEMENT, b"envelope")]
    assert await store.negotiations() == [name]


async def test_terms_and_wishes_are_replaced(store: Store) -> None:
    assert await store.terms("auditor") is None
    for terms in (b"first", b"second"):
        await store.save_terms("auditor", terms)
    assert await store.terms("auditor") == b"second"

    for answer in (None, "done"):
        await store.save_wish(StoredWish("auditor audit-1", b"conclude", answer))
    assert await store.wishes() == [StoredWish("auditor audit-1", b"conclude", "done")]


async def test_steps_are_the_leaves_of_no_exchange(store: Store) -> None:
    for item in (leaf(0), leaf(1, session="lane", seq=0), leaf(2)):
        await store.append(AGREEMENT, item)
    assert await store.steps(AGREEMENT) == [leaf(0), leaf(2)]
    assert await store.steps(OTHER) == []


async def test_two_processes_never_take_one_place_in_a_negotiation(tmp_path: Path) -> None:
    """A command beside the gateway: exactly one of two steps decided on the same thread is kept."""
    stores = [SqliteStore(tmp_path / "store.sqlite") for _ in range(2)]
    for position in range(20):
        kept = await asyncio.gather(*(one.add_entries("a b", position, [b"step"]) for one in stores))
        assert sorted(kept) == [False, True]
    assert len(await stores[0].entries("a b")) == 20
    for one in stores:
        await one.close()


async def test_the_largest_cosigned_checkpoint_counts(store: Store) -> None:
    assert await store.cosigned(AGREEMENT) is None
    for size in (10, 200, 30):
        await store.save_cosigned(AGREEMENT, size, f"note {size}")

    assert await store.cosigned(AGREEMENT) == "note 200"


async def test_a_close_statement_is_kept(store: Store) -> None:
    assert await store.closing(AGREEMENT) is None
    await store.save_closing(AGREEMENT, b"statement")
    assert await store.closing(AGREEMENT) == b"statement"


async def test_a_package_is_kept_whole_or_not_at_all(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise EvidenceMissing("the sender went away")

    with pytest.raises(EvidenceMissing):
        await store.save_package(AGREEMENT, "C2.sealed", broken())
    with pytest.raises(EvidenceMissing):
        b"".join(store.package(AGREEMENT, "C2.sealed"))

    await store.save_package(AGREEMENT, "C2.sealed", blocks(b"one", b"two"))
    assert b"".join(store.package(AGREEMENT, "C2.sealed")) == b"onetwo"


class TestSqlite:
    """What only a store on disk can promise."""

    @pytest.fixture
    async def opened(self, tmp_path: Path) -> AsyncIterator[Callable[[], SqliteStore]]:
        made: list[SqliteStore] = []

        def again() -> SqliteStore:
            made.append(SqliteStore(tmp_path / "store.sqlite"))
            return made[-1]

        yield again
        for store in made:
            await store.close()

    async def test_what_was_awaited_is_there_for_the_next_process(self, opened: Callable[[], SqliteStore]) -> None:
        await opened().append(AGREEMENT, leaf(0), frames(b"one"))
        assert await listed(opened()) == [leaf(0)]

    async def test_a_full_disk_fails_every_waiting_change_and_loses_nothing_acknowledged(
        self, opened: Callable[[], SqliteStore], tmp_path: Path
    ) -> None:
        store = opened()
        await store.append(AGREEMENT, leaf(0))
        pages = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
        store._writer._connection.execute(f"PRAGMA max_page_count = {pages}")  # what SQLite knows as a full disk
        big = StoredLeaf(1, "record", None, None, b"x" * 60_000)
        results = await asyncio.gather(
            store.append(AGREEMENT, big), store.append(AGREEMENT, leaf(2)), return_exceptions=True
        )
        assert [type(result) for result in results] == [StoreFailed, StoreFailed]
        assert await listed(opened()) == [leaf(0)]

        store._writer._connection.execute("PRAGMA max_page_count = 1073741823")
        await store.append(AGREEMENT, leaf(1))
        assert await listed(opened()) == [leaf(0), leaf(1)]

    async def test_who_stops_waiting_neither_cancels_the_change_nor_stops_the_store(
        self, opened: Callable[[], SqliteStore]
    ) -> None:
        store = opened()
        waiting = asyncio.ensure_future(store.append(AGREEMENT, leaf(0)))
        waiting.cancel()
        await store.append(AGREEMENT, leaf(1))
        assert await listed(store) == [leaf(0), leaf(1)]

    async def test_a_file_that_is_no_store_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        path = tmp_path / "store.sqlite"
        path.write_bytes(b"not a database, but long enough to look at" * 100)
        with pytest.raises(StoreFailed, match="cannot be opened"):
            SqliteStore(path)

    async def test_a_closed_store_refuses_changes(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "store.sqlite")
        await store.close()
        with pytest.raises(StoreFailed):
            await store.save_closing(AGREEMENT, b"statement")

    async def test_one_flush_serves_many_who_wait(self, opened: Callable[[], SqliteStore]) -> None:
        store = opened()
        commits: list[str] = []
        store._writer._connection.set_trace_callback(
            lambda statement: commits.append(statement) if statement == "COMMIT" else None
        )
        await asyncio.gather(*(store.append(AGREEMENT, leaf(position)) for position in range(200)))
        assert len(commits) < 100

    async def test_the_store_syncs_every_commit(self, opened: Callable[[], SqliteStore]) -> None:
        connection: sqlite3.Connection = opened()._writer._connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
