"""Exchanges that belong to no task are counted by their purpose and feed no figure; nothing else may stand apart."""

from __future__ import annotations

from attestations.errors import ExchangeOmitted, UnaccountedTask
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Exchange, Hooks, World

TASKS = [Exchange(i, 0) for i in range(40)]


def asking(exchanges: list[Exchange]) -> World:
    return World(exchanges=[item._replace(session=number % 4) for number, item in enumerate(exchanges)])


def probing(*more: Exchange, purpose: str = "probe") -> World:
    return asking([*TASKS, Exchange(0, 0, purpose=purpose), *more])


def test_exploratory_exchanges_are_counted_and_change_no_figure() -> None:
    world = probing(Exchange(1, 0, epoch=1, purpose="probe", status="ERROR"), Exchange(2, 3, purpose="fine_tune"))
    report = world.verify("S5")
    assert_holds(report)
    assert report.exploratory == {"fine_tune": 1, "probe": 2}
    assert world.disclosure.results == World().build().disclosure.results


def test_an_unknown_purpose_is_unaccounted_for() -> None:
    assert_holds(probing(purpose="rehearsal").verify("S3"))
    assert_refused(probing(purpose="rehearsal").verify("S4"), UnaccountedTask, 33)


def test_a_number_may_be_missing_but_none_reaches_that_of_all_intents() -> None:
    # An Intent that was refused has a number and no Promise.
    assert_holds(probing(Exchange(1, 0, epoch=2, purpose="probe")).verify("S4"))
    assert_refused(probing(Exchange(1, 0, epoch=1000, purpose="probe")).verify("S4"), UnaccountedTask, 33)


def test_an_exploratory_transcript_may_not_be_left_out() -> None:
    def shorter(chunks: list[bytes]) -> list[bytes]:
        return chunks[:-1]

    world = probing()
    world.hooks = Hooks(alter={"chunks:C7": shorter})
    assert_refused(world.verify("S5"), ExchangeOmitted, 33)


def test_an_attempt_may_not_go_on_after_a_failed_step() -> None:
    broken = [Exchange(3, 0, status="ERROR"), Exchange(3, 3, step=1)]
    world = asking([item for item in TASKS if item.task != 3] + broken)
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_steps_of_an_attempt_without_a_gap() -> None:
    assert_refused(asking([*TASKS, Exchange(3, 0, step=2)]).verify("S4"), UnaccountedTask, 33)


def test_steps_in_their_order() -> None:
    first = [Exchange(3, 0, step=1), *TASKS]
    assert_refused(asking(first).verify("S4"), UnaccountedTask, 33)
