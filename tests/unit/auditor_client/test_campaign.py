"""Campaigns through broken streams, crashes and restarts: everything is asked once and nothing is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from attestations.commitments import handle
from attestations.errors import BudgetExhausted, PromiseUnfulfilled
from auditor_client.campaign_state import Item, Progress
from auditor_client.journal.sqlite import SqliteJournal
from tests.support.audit_world import suite_key
from tests.unit.auditor_client.conftest import Audit


async def test_every_item_is_answered_and_logged_once(audit: Audit) -> None:
    progress = await audit.run()

    assert Progress(total=7, done=7, failed=0) == progress
    assert 7 == len(audit.lab.calls) == len(set(audit.lab.calls))
    assert audit.lab.tree.size == audit.mirror.size
    assert audit.lab.tree.root() == audit.mirror.root()


async def test_a_finished_campaign_asks_nothing_when_run_again(audit: Audit) -> None:
    await audit.run()
    await audit.run()

    assert len(audit.lab.calls) == 7


async def test_text_is_streamed_as_it_comes(audit: Audit) -> None:
    heard: list[str] = []
    await audit.run(on_text=heard)

    assert heard == ["yes"] * 7


@pytest.mark.parametrize("step", ["intent", "promise", "reveal", "frame", "record"])
async def test_a_stream_that_breaks_is_mended_without_asking_twice(audit: Audit, step: str) -> None:
    for at in (1, 3, 4):
        audit.lab.lose(step, at=at)

    progress = await audit.run()

    assert progress.done == 7
    assert 7 == len(set(audit.lab.calls)) == len(audit.lab.calls)


@pytest.mark.parametrize("step", ["intent", "promise", "reveal", "frame", "record"])
async def test_a_crash_at_any_step_is_continued_with_the_same_intent(audit: Audit, step: str) -> None:
    audit.lab._losses[step] = list(range(3, 200))
    with pytest.raises(Exception, match=r"broke|Promise"):
        await audit.run(lanes=1)
    sent = {place: held.envelope.digest for place, held in audit.lab.held.items()}

    audit.lab._losses.clear()
    again = await audit.crashed()
    progress = await again.run(lanes=2)
    await again.close()

    assert progress.done == 7
    assert len(audit.lab.calls) == 7
    assert sent.items() <= {place: held.envelope.digest for place, held in audit.lab.held.items()}.items()


async def test_a_worker_that_was_started_anew_costs_one_attempt(audit: Audit) -> None:
    audit.lab.lose("promise", at=2)
    asked = 0

    def answer(_: object) -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            audit.lab._boot()
        return "yes"

    audit.lab.answer = answer
    progress = await audit.run(lanes=2)

    assert Progress(total=7, done=7, failed=0) == progress
    assert audit.lab.boots == 2


async def test_an_exchange_that_always_fails_ends_as_failed_after_the_planned_attempts(audit: Audit) -> None:
    real = audit.lab.now_does
    audit.lab.now_does = lambda fault: fault == "model_error" or real(fault)  # type: ignore[method-assign]

    progress = await audit.run()

    assert Progress(total=7, done=0, failed=7) == progress
    assert len(audit.lab.held) == 21


async def test_a_signed_refusal_stops_the_campaign_and_leaves_it_resumable(audit: Audit) -> None:
    audit.lab.misbehave("refuse", at=3)
    with pytest.raises(BudgetExhausted):
        await audit.run(lanes=1)

    progress = await audit.run(lanes=1)

    assert progress.done == 7


async def test_a_promise_without_a_record_is_named(audit: Audit) -> None:
    audit.lab._losses["record"] = list(range(1, 500))
    with pytest.raises(PromiseUnfulfilled):
        await audit.run(lanes=1)


async def test_truncated_answers_are_delivered_again(audit: Audit) -> None:
    audit.lab.misbehave("truncate", at=2)
    audit.lab.misbehave("drop_frame", at=4)

    assert (await audit.run()).done == 7


@pytest.mark.parametrize("step", ["intent", "promise", "reveal", "frame", "record"])
async def test_a_crash_within_an_item_is_continued_at_the_step_it_had_come_to(audit: Audit, step: str) -> None:
    audit.steps = 3
    audit.lab._losses[step] = list(range(5, 200))
    with pytest.raises(Exception, match=r"broke|Promise"):
        await audit.run(lanes=1)
    before = set(audit.lab.calls)

    audit.lab._losses.clear()
    again = await audit.crashed()
    again.steps = 3
    progress = await again.run(lanes=2)
    await again.close()

    assert Progress(total=7, done=7, failed=0) == progress
    assert 21 == len(audit.lab.calls) == len(set(audit.lab.calls))
    assert before <= set(audit.lab.calls)


async def test_the_steps_of_an_item_follow_each_other_and_are_named_in_order(audit: Audit) -> None:
    audit.steps = 3
    await audit.run(lanes=2)

    link = suite_key().class_key("C5").link_key()
    places = [(task, step) for task in range(7) for step in range(3)]
    named = {handle(link, task=task, arm="as_shipped", epoch=0, attempt=0, step=step): task for task, step in places}
    assert set(audit.lab.calls) == set(named)
    answers = [len(audit.journal.answers(Item(task, "as_shipped", 0))) for task in range(7)]
    assert answers == [3] * 7


async def test_an_attempt_that_breaks_at_a_later_step_begins_again_at_its_first(audit: Audit) -> None:
    audit.steps = 3
    audit.lab.misbehave("model_error", at=3)
    progress = await audit.run(lanes=1)

    assert Progress(total=7, done=7, failed=0) == progress
    broken = [item for item in audit.journal.items() if item.attempt == 1]
    assert [(item.attempt, item.step) for item in broken] == [(1, 2)]
    assert len(audit.lab.held) == 21 + 3


async def test_a_refusal_within_an_item_leaves_it_at_its_step(audit: Audit) -> None:
    audit.steps = 2
    audit.lab.misbehave("refuse", at=2)
    with pytest.raises(BudgetExhausted):
        await audit.run(lanes=1)
    assert [item.step for item in audit.journal.items() if item.step] == [1]

    assert (await audit.run(lanes=1)).done == 7
    assert 14 == len(audit.lab.calls) == len(set(audit.lab.calls))


async def test_a_journal_of_one_exchange_an_item_is_taken_over(audit: Audit) -> None:
    await audit.run()
    await audit.journal.__aexit__()
    path = audit.folder / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db:  # as the version before wrote it
        db.executescript(
            "DROP VIEW scheduled; DROP INDEX one_promise_a_step; ALTER TABLE items DROP COLUMN step;"
            "ALTER TABLE exchanges DROP COLUMN step;"
            "CREATE UNIQUE INDEX one_promise_an_attempt ON exchanges (task, arm, epoch, attempt)"
            " WHERE status IS NULL OR status != 'REFUSED'; PRAGMA user_version = 1"
        )
    async with SqliteJournal(path) as journal:
        assert {item.step for item in journal.items()} == {0}
        assert len([exchange async for exchange in journal.exchanges()]) == 7
    audit.closed = True
    audit.mirror.close()
