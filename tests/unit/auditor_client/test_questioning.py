"""Questions of no scheduled task: asked as they come, numbered, durable, and each answered to the one who asked."""

from __future__ import annotations

import asyncio
import os

import pytest

from attestations.commitments import aux_handle
from attestations.documents.dialogue import ChatRequest, ChatResult, Message, Sampling
from attestations.documents.exchange import Intent
from attestations.envelope import parse_envelope
from attestations.errors import (
    BudgetExhausted,
    ExitCode,
    LabUnreachable,
    PromiseUnfulfilled,
    SafeconductError,
    ScopeExceeded,
)
from auditor_client.desk import Patience
from auditor_client.intending import Question
from auditor_client.questioning import Questioner
from tests.support.audit_world import suite_key
from tests.unit.auditor_client.conftest import Audit

LINK = suite_key().class_key("C5").link_key()


def question(text: str, *, variant: str = "deployed") -> Question:
    request = ChatRequest(messages=(Message(role="user", content=text),))
    return Question(request, variant, Sampling(max_output_tokens=16))


def questioner(audit: Audit, *, lanes: int = 2) -> Questioner:
    return Questioner(
        engagement=audit.world.engagement(),
        link_key=LINK,
        max_attempts=3,
        lab=audit.client or audit.lab,
        journal=audit.journal,
        cosigner=audit.cosigner,
        clock=audit.clock,
        randomness=os.urandom,
        tls="44" * 32,
        patience=Patience(answer=2, first_retry=0.001, longest_retry=0.002, give_up=0.05),
        purpose="inspect",
        scheduled=lambda _item, _answers: None,
        lanes=lanes,
    )


async def handles(audit: Audit) -> set[str]:
    return {
        Intent.parse(parse_envelope(exchange.intent).payload).handle
        async for exchange in audit.journal.exchanges()
        if exchange.item.purpose
    }


async def test_each_asker_gets_its_answer_and_the_log_holds_every_exchange(audit: Audit) -> None:
    async with questioner(audit) as ask:
        answers = await asyncio.gather(*(ask.ask(question(f"canary-{i}")) for i in range(9)))

    assert {"COMPLETED"} == {item.record.status for item in answers}
    assert {ChatResult(content="yes")} == {item.answer for item in answers}
    assert (
        9
        == len({(item.session, item.seq) for item in answers})
        == len({i.question.request.to_bytes() for i in answers})
    )
    assert {aux_handle(LINK, purpose="inspect", number=number) for number in range(9)} == await handles(audit)
    assert audit.lab.tree.root() == audit.mirror.root()


async def test_a_lane_waits_for_the_next_question_with_its_stream_open(audit: Audit) -> None:
    async with questioner(audit) as ask:
        first = await ask.ask(question("one"))
        await asyncio.sleep(0.01)
        second = await ask.ask(question("two"))

    assert (first.session, first.seq + 1) == (second.session, second.seq)


async def test_questions_and_schedule_share_sessions_and_stay_apart_in_numbers(audit: Audit) -> None:
    async with questioner(audit) as ask:
        await ask.ask(question("before"))
    progress = await audit.run()
    async with questioner(audit) as ask:
        after = await ask.ask(question("after"))

    assert (progress.total, progress.done) == (7, 7)
    assert after.record.status == "COMPLETED"
    assert {aux_handle(LINK, purpose="inspect", number=number) for number in (0, 1)} == await handles(audit)


@pytest.mark.parametrize("step", ["intent", "promise", "reveal", "frame", "record"])
async def test_a_stream_that_breaks_is_mended_without_asking_twice(audit: Audit, step: str) -> None:
    for at in (1, 3, 4):
        audit.lab.lose(step, at=at)
    async with questioner(audit) as ask:
        answers = await asyncio.gather(*(ask.ask(question(f"canary-{i}")) for i in range(6)))

    assert len(answers) == 6
    assert 6 == len(set(audit.lab.calls)) == len(audit.lab.calls)


@pytest.mark.parametrize("step", ["promise", "reveal", "frame", "record"])
async def test_what_a_crash_left_open_is_finished_by_the_next_command(audit: Audit, step: str) -> None:
    audit.lab._losses[step] = list(range(2, 200))
    async with questioner(audit, lanes=1) as ask:
        await ask.ask(question("one"))
        with pytest.raises((LabUnreachable, PromiseUnfulfilled)):
            await ask.ask(question("two"))
    audit.lab._losses.clear()

    again = await audit.crashed()
    progress = await again.run()  # a campaign finishes it as well as a questioner does
    async with questioner(again) as ask:
        await ask.ask(question("three"))
    assert {aux_handle(LINK, purpose="inspect", number=number) for number in range(3)} == await handles(again)
    await again.close()

    assert progress.done == 7
    assert 10 == len(set(audit.lab.calls)) == len(audit.lab.calls)


async def test_a_bug_of_ours_reaches_the_one_who_asked_and_is_not_put_on_the_lab(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr("auditor_client.lane.check_promise", broken)
    async with asyncio.timeout(2):
        with pytest.raises(SafeconductError) as caught:
            async with questioner(audit) as ask:
                await ask.ask(question("one"))

    assert (SafeconductError, ExitCode.INTERNAL) == (type(caught.value), caught.value.exit_code)
    assert caught.value.message == "a lane has failed: internal error (ZeroDivisionError)"


async def test_a_refusal_reaches_the_one_who_asked_and_its_number_is_used_again(audit: Audit) -> None:
    audit.lab.misbehave("refuse", at=2)
    async with questioner(audit, lanes=1) as ask:
        await ask.ask(question("one"))
        with pytest.raises(BudgetExhausted):
            await ask.ask(question("two"))
        third = await ask.ask(question("three"))

    assert third.record.status == "COMPLETED"
    assert {aux_handle(LINK, purpose="inspect", number=number) for number in (0, 1)} == await handles(audit)


async def test_a_question_nobody_can_ask_is_refused_and_the_lane_goes_on(audit: Audit) -> None:
    async with questioner(audit, lanes=1) as ask:
        with pytest.raises(ScopeExceeded):
            await ask.ask(question("one", variant="another"))
        second = await ask.ask(question("two"))

    assert second.record.status == "COMPLETED"


async def test_a_waiting_question_can_be_taken_back_and_a_signed_one_runs_to_its_end(audit: Audit) -> None:
    async with questioner(audit, lanes=1) as ask:
        tasks = [asyncio.create_task(ask.ask(question(f"canary-{i}"))) for i in range(3)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.gather(*tasks[:2])

    assert len(audit.lab.calls) == 2


async def test_nothing_is_asked_outside_the_agreed_dates(audit: Audit) -> None:
    audit.clock.pass_(days=40)
    async with questioner(audit) as ask:
        with pytest.raises(ScopeExceeded, match="access ended"):
            await ask.ask(question("late"))
