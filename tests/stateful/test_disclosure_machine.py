"""Disclosure driven through loss, duplication, reordering and crashes: lab, auditor and verifier stay of one mind.

After every step, on the log as it stands: I3 what is obliged is permitted; I4 a release that is no breach was
permitted at its lower time bound; I5 what is permitted stays permitted; I6 holds stay within what was agreed; I7
hazards never reach everybody; I10 what is released stays released; I18 all three see the same. At the end: I21
an engagement that was given up still owes its commitments, and I8 what is permitted can be released.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from attestations.documents.base import format_time
from attestations.documents.disclosing import (
    Abort,
    EmergencyItem,
    EmergencyNotice,
    Order,
    RecallRequest,
    Redaction,
    Verdict,
)
from attestations.documents.engagement import PolicyEvent
from attestations.documents.finding import FindingNotice
from attestations.envelope import Envelope
from attestations.errors import DisclosureOverdue, ExitCode
from attestations.keys import Signer
from attestations.ledger import Ledger
from attestations.log_entries import parse_entry
from attestations.policy.evaluate import Bounds, State, evaluate, permitted
from attestations.states import Disclosure
from attestations.verify.disclosure import check_obligations
from tests.support.disclosure_game import Game
from tests.support.world_agreement import keys
from tests.support.world_hard import BIO, office

PLACES = [("C1", "REGULATOR"), ("C1", "PUBLIC"), ("C2", "PUBLIC"), ("C5", "REGULATOR"), ("C7", BIO), ("C9", BIO)]
FINDINGS = [("C4", "LAB_SAFETY"), ("C4", "REGULATOR")]
FORBIDDEN = [("C9", "PUBLIC"), ("C9", "LAB_ALL"), ("C7", "PUBLIC"), ("C5", "PUBLIC")]
_RELEASED = (Disclosure.RELEASED, Disclosure.VERIFIED, Disclosure.DISPUTED)
SIDES = ("lab", "auditor", "regulator")
_SIDES = st.sampled_from(SIDES)


def signer(side: str) -> Signer:
    return {"lab": keys().lab_agreement, "auditor": keys().agreement, "regulator": office()}[side]


def view(ledger: Ledger, now: Bounds) -> Any:
    """What one side sees: everything a decision could rest on."""
    return (
        ledger.events,
        dict(ledger.look(now)),
        ledger.holding,
        ledger.held,
        sorted(ledger.releases),
        [notice.id for notice in ledger.notices],
        ledger.findings,
        [(breach.leaf, breach.error.reason) for breach in ledger.breaches],
        ledger.aborted,
    )


class DisclosureMachine(RuleBasedStateMachine):
    """Messages wait in `pending` until they come, come twice, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.game = Game()
        self.pending: list[Envelope] = []
        self.opened: set[tuple[str, str]] = set()
        self.released: set[tuple[str, str]] = set()
        self.count = 0

    @initialize(close=st.booleans(), deliver=st.booleans())
    def begin(self, close: bool, deliver: bool) -> None:  # noqa: FBT001
        if close or deliver:
            self.game.close()
        if deliver:
            self.game.deliver()

    def _send(self, envelope: Envelope, how: str) -> None:
        if how == "later":
            self.pending.append(envelope)
        elif how != "lost":
            self.game.receive(envelope)
            if how == "twice":
                size = len(self.game.leaves())
                self.game.receive(envelope)
                assert len(self.game.leaves()) == size

    how = st.sampled_from(["now", "now", "twice", "later", "lost"])

    def _name(self) -> str:
        self.count += 1
        return f"n-{self.count}"

    @rule(hours=st.sampled_from([1, 7, 24, 72, 200]))
    def pass_time(self, hours: int) -> None:
        self.game.clock.at += timedelta(hours=hours)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def come_out_of_order(self, data: Any) -> None:
        self.game.receive(self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1))))

    @rule()
    def lab_crashes(self) -> None:
        before = view(self.game.lab.ledger, self.game.now()), self.game.lab.phase
        self.game.restart_lab()
        assert (view(self.game.lab.ledger, self.game.now()), self.game.lab.phase) == before

    @rule()
    def auditor_crashes(self) -> None:
        self.game.restart_auditor()

    @rule(leaves=st.integers(1, 3))
    def auditor_reads_some(self, leaves: int) -> None:
        self.game.follow(leaves)

    @rule(
        side=_SIDES,
        days=st.sampled_from(["1", "2", "3", "3", "9"]),
        how=st.sampled_from(["now", "now", "twice", "later"]),
    )
    def hold(self, side: str, days: str, how: str) -> None:
        self._event(side, "HOLD", days, how)

    @rule(
        side=_SIDES,
        event=st.sampled_from(
            [("LAB_CONSENT", "C2"), ("ALREADY_PUBLIC", "C5"), ("ALREADY_PUBLIC", "C9"), ("REVOKE", "C2:PUBLIC")]
        ),
        how=how,
    )
    def say(self, side: str, event: tuple[str, str], how: str) -> None:
        self._event(side, *event, how)

    def _event(self, side: str, event: str, argument: str, how: str) -> None:
        document = PolicyEvent(agreement=self.game.digest, event=event, argument=argument, stated_at=self.game.time())
        self._send(self.game.sign(document, signer(side)), how)

    @rule(
        classes=st.sampled_from([("C5",), ("C9",), ("C10",), ("C5", "C9")]),
        to=st.sampled_from([("REGULATOR",), (BIO,), ("PUBLIC",)]),
        basis=st.sampled_from(["a law", " "]),
        days=st.sampled_from([1, 30]),
        how=how,
    )
    def order(self, classes: Any, to: Any, basis: str, days: int, how: str) -> None:
        now = self.game.clock.at.replace(microsecond=0)
        document = Order(
            agreement=self.game.digest,
            id=self._name(),
            legal_basis=basis,
            classes=classes,
            to=to,
            issued_at=format_time(now),
            expires_at=format_time(now + timedelta(days=days)),
        )
        self._send(self.game.sign(document, office()), how)

    @rule(
        to=st.sampled_from([("LAB_SAFETY", "REGULATOR"), (BIO,), ("PUBLIC",), (BIO, "LAB_ALL")]),
        cls=st.sampled_from(["C7", "C9", "C2"]),
        both=st.booleans(),
        how=how,
    )
    def emergency(self, to: Any, cls: Any, both: bool, how: str) -> None:  # noqa: FBT001
        document = EmergencyNotice(
            agreement=self.game.digest,
            id=self._name(),
            severity="other",
            to=to,
            items=(EmergencyItem(content_class=cls, i=0),),
            stated_at=self.game.time(),
            expires_at=format_time(self.game.clock.at.replace(microsecond=0) + timedelta(days=5)),
        )
        signers = (keys().agreement, office()) if both else (keys().agreement,)
        before = len(self.game.refused)
        self._send(self.game.sign(document, *signers), how)
        if to == ("LAB_SAFETY", "REGULATOR"):  # no gag: never refused for what it says
            assert [error.reason for error in self.game.refused[before:]] in ([], ["PHASE_VIOLATION"])

    @rule(place=st.sampled_from(PLACES + FORBIDDEN), how=how)
    def release(self, place: tuple[str, str], how: str) -> None:
        self._send(self.game.release(*place), how)

    @precondition(lambda self: self.game.lab.ledger.releases)
    @rule(data=st.data(), holds=st.booleans(), side=_SIDES, how=how)
    def answer_a_release(self, data: Any, holds: bool, side: str, how: str) -> None:  # noqa: FBT001
        digest = data.draw(st.sampled_from(sorted(self.game.lab.ledger.releases)))
        documents = [
            Verdict(agreement=self.game.digest, release=digest, holds=holds, exit_code=0, stated_at=self.game.time()),
            RecallRequest(agreement=self.game.digest, release=digest, reason="please", stated_at=self.game.time()),
        ]
        self._send(self.game.sign(data.draw(st.sampled_from(documents)), signer(side)), how)

    @rule(side=_SIDES, cls=st.sampled_from(["C2", "C9", "C10"]), how=how)
    def redact(self, side: str, cls: Any, how: str) -> None:
        document = Redaction(
            agreement=self.game.digest, content_class=cls, paths=("a",), reason="LEGAL", stated_at=self.game.time()
        )
        self._send(self.game.sign(document, signer(side)), how)

    @rule(
        to=st.sampled_from([("LAB_SAFETY",), ("REGULATOR", "LAB_SAFETY"), ("PUBLIC",)]),
        name=st.sampled_from(["F1", "F2"]),
        report=st.sampled_from([None, "aa" * 32, "bb" * 32]),
        how=how,
    )
    def find(self, to: Any, name: str, report: str | None, how: str) -> None:
        self._find(to, name, report, how)

    def _find(self, to: Any, name: str, report: str | None, how: str) -> None:
        document = FindingNotice(agreement=self.game.digest, id=name, to=to, report=report, stated_at=self.game.time())
        self._send(self.game.sign(document, keys().publication), how)

    @rule(how=how)
    def abort(self, how: str) -> None:
        document = Abort(agreement=self.game.digest, reason="enough", stated_at=self.game.time())
        self._send(self.game.sign(document, keys().publication), how)

    @invariant()
    def all_sides_see_the_same(self) -> None:
        """I18."""
        game, now = self.game, self.game.now()
        game.follow()
        assert view(game.auditor, now) == view(game.lab.ledger, now)
        assert not game.lab.ledger.breaches  # what would count for nothing was refused

    @invariant()
    def nothing_is_obliged_that_is_not_permitted(self) -> None:
        """I3."""
        ledger, now = self.game.lab.ledger, self.game.now()
        for (cls, to), state in evaluate(ledger.agreement.policy, ledger.events, now).items():
            if state is State.OVERDUE:
                assert ledger.permission(cls, to, now) is State.PERMITTED

    @invariant()
    def what_is_permitted_or_released_stays_so(self) -> None:
        """I5, I10."""
        ledger, now = self.game.lab.ledger, self.game.now()
        items = ledger.look(now)
        # The policy itself is asked, not the tables: these cannot go back, the answer of the policy could.
        opened = {place for place in PLACES + FINDINGS if ledger.permission(*place, now) is State.PERMITTED}
        assert opened >= {place for place, item in items.items() if item in (Disclosure.PERMITTED, Disclosure.OVERDUE)}
        released = {place for place, item in items.items() if item in _RELEASED}
        assert self.opened <= opened
        assert self.released <= released
        self.opened, self.released = opened, released

    @invariant()
    def holds_and_hazards_stay_within_bounds(self) -> None:
        """I6, I7."""
        ledger = self.game.lab.ledger
        assert ledger.held <= 3
        released = {(m.document.content_class, m.document.recipient) for m in ledger.releases.values()}
        assert {("C4", recipient) for logged in ledger.findings for recipient in logged.document.to} <= set(FINDINGS)
        assert not released & set(FORBIDDEN)

    @invariant()
    def nobody_alone_opens_what_needs_two(self) -> None:
        """The log itself is asked: who signed the wider emergencies, who said that something is public already."""
        said: dict[str, set[str]] = {}
        for leaf in self.game.leaves():
            first = parse_entry(leaf).documents[0]
            by = {side for side in SIDES if signer(side).key.id in {item.keyid for item in first.signatures}}
            if first.payload_type == EmergencyNotice.payload_type:
                notice = EmergencyNotice.parse(first.payload)
                assert set(notice.to) <= {"LAB_SAFETY", "REGULATOR"} or {"auditor", "regulator"} <= by
            elif first.payload_type == PolicyEvent.payload_type:
                event = PolicyEvent.parse(first.payload)
                if event.event == "ALREADY_PUBLIC":
                    said.setdefault(str(event.argument), set()).update(by)
        agreed = {cls for cls, sides in said.items() if "regulator" in sides or {"lab", "auditor"} <= sides}
        ledger = self.game.lab.ledger
        assert {event.argument for event in ledger.events if event.name == "ALREADY_PUBLIC"} == agreed

    def teardown(self) -> None:
        """I4, I8, I18, I21, on the whole log and by a stranger."""
        game = self.game
        try:
            log = game.verified()
            assert not log.broken
            assert view(log.ledger, game.now()) == view(game.lab.ledger, game.now())
            for release in log.releases:
                made = log.ledger.releases[_digest_of(log, release)]
                assert release.permission is made.permission
            if log.ledger.aborted is not None:
                self._owes_commitments()
            elif game.manifest is not None:
                self._can_still_release()
        finally:
            game.end()

    def _owes_commitments(self) -> None:
        game = self.game
        game.clock.at += timedelta(days=400)
        log = game.verified()
        places = {(m.document.content_class, m.document.recipient) for m in log.ledger.releases.values()}
        owed = {("C1", "REGULATOR"), ("C1", "PUBLIC")} - places
        if owed or log.close is None:
            with pytest.raises(DisclosureOverdue) as error:
                check_obligations(game.agreement.policy, log, game.now())
            assert error.value.exit_code is ExitCode.DISCLOSURE_OVERDUE
        else:
            check_obligations(game.agreement.policy, log, game.now())

    def _can_still_release(self) -> None:
        game = self.game
        game.clock.at += timedelta(days=400)
        for place in PLACES[:-1]:  # the last waits for an order or an emergency
            assert game.lab.ledger.permission(*place, game.now()) is State.PERMITTED
            game.receive(game.release(*place))
        self._find(("LAB_SAFETY",), "last", None, "now")
        check_obligations(game.agreement.policy, game.verified(), game.now())


def _digest_of(log: Any, release: Any) -> str:
    found: str = next(digest for digest, made in log.ledger.releases.items() if made.index == release.index)
    return found


TestDisclosure = DisclosureMachine.TestCase
TestDisclosure.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_permission_is_a_pure_function_of_the_log() -> None:
    """I18: the same events and the same present give the same answer, whoever asks."""
    game = Game()
    try:
        game.close()
        now = game.now()
        for cls, to in PLACES:
            first = permitted(game.agreement.policy, game.lab.ledger.events, now, content_class=cls, recipient=to)
            assert first is game.lab.ledger.permission(cls, to, now)
    finally:
        game.end()
