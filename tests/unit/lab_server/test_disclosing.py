"""The lab's own reading of disclosure: what it refuses in time, and where each class stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from attestations.documents.disclosing import EmergencyNotice, Verdict
from attestations.documents.engagement import PolicyEvent
from attestations.envelope import Envelope
from attestations.errors import CommitmentMismatch, SafeconductError, SizeLimitExceeded
from attestations.policy.evaluate import State
from attestations.states import Disclosure, Holding, Phase
from lab_server.disclosing import MAX_NOTICE_BYTES
from tests.support.disclosure_game import Game
from tests.support.world_agreement import keys
from tests.support.world_hard import office

C2, C5 = ("C2", "PUBLIC"), ("C5", "REGULATOR")


@pytest.fixture
def game() -> Iterator[Game]:
    """An audit whose packages are delivered."""
    made = Game()
    made.close()
    made.deliver()
    yield made
    made.end()


def say(game: Game, event: str, argument: str, *, regulator: bool = False) -> Envelope:
    document = PolicyEvent(agreement=game.digest, event=event, argument=argument, stated_at=game.time())
    return game.sign(document, office() if regulator else keys().lab_agreement)


def holding(game: Game) -> Holding:
    return game.lab.ledger.holding


def refusals(game: Game) -> list[str]:
    return [error.reason for error in game.refused]


def test_a_hold_after_everything_is_permitted_is_refused(game: Game) -> None:
    """T099: by the lab, of whoever states it."""
    game.receive(say(game, "HOLD", "1"))
    assert holding(game) is Holding.HELD
    game.clock.at += timedelta(days=30)
    game.receive(say(game, "HOLD", "1", regulator=True))
    assert refusals(game) == ["HOLD_TOO_LATE"]
    assert holding(game) is Holding.CLOSED


def test_holds_spend_their_days(game: Game) -> None:
    """T099."""
    game.receive(say(game, "HOLD", "3"))
    assert holding(game) is Holding.SPENT
    game.receive(say(game, "HOLD", "1"))
    assert refusals(game) == ["HOLD_LIMIT_EXCEEDED"]


def test_a_class_goes_from_sealed_to_overdue_to_released_to_verified(game: Game) -> None:
    """T092, first half, and the whole of table D."""
    ledger = game.lab.ledger
    assert ledger.look(game.now())[C2] is Disclosure.SEALED
    game.clock.at += timedelta(days=3)
    assert ledger.look(game.now())[C2] is Disclosure.PERMITTED
    game.clock.at += timedelta(days=10)
    assert ledger.look(game.now())[C2] is Disclosure.OVERDUE
    release = game.release(*C2)
    game.receive(release)
    assert ledger.look(game.now())[C2] is Disclosure.RELEASED
    for holds, state in ((True, Disclosure.VERIFIED), (False, Disclosure.DISPUTED)):
        verdict = Verdict(
            agreement=game.digest, release=release.digest, holds=holds, exit_code=0, stated_at=game.time()
        )
        game.receive(game.sign(verdict, office()))
        assert ledger.look(game.now())[C2] is state
    assert refusals(game) == []


def test_an_early_release_is_logged_as_the_breach_it_is(game: Game) -> None:
    """T090."""
    release = game.release(*C5)
    game.receive(release)
    made = game.lab.ledger.releases[release.digest]
    assert (made.permission, game.lab.ledger.items[C5]) == (State.FORBIDDEN, Disclosure.RELEASED)
    assert game.lab.phase is Phase.DISCLOSING


@pytest.mark.parametrize(
    ("content", "error"), [(b"other", CommitmentMismatch), (bytes(MAX_NOTICE_BYTES + 1), SizeLimitExceeded)]
)
def test_what_comes_with_a_notice_is_what_it_names(game: Game, content: bytes, error: type[SafeconductError]) -> None:
    notice = EmergencyNotice(
        agreement=game.digest,
        id="e-1",
        severity="other",
        to=("LAB_SAFETY", "REGULATOR"),
        content="77" * 32,
        stated_at=game.time(),
    )
    envelope = game.sign(notice, keys().agreement)
    engagement, stated = game.engagements.stated(envelope, peer=None)
    with pytest.raises(error):
        game.run(game.disclosing.notify(engagement, envelope, stated, content))
    assert game.lab.ledger.notices == []
