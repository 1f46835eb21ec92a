"""What the log says about disclosure: one pass over its statements, the same for lab, auditor and verifier.

The ledger does not know which side is asking. Statements that count become events of the policy; those that do
not are breaches, each with its error. Every (class, recipient) and the holds advance through the tables of
`attestations.states` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from attestations.documents.agreement import Agreement
from attestations.documents.analysis import AnalysisDeviation
from attestations.documents.disclosing import (
    Abort,
    Correction,
    EmergencyNotice,
    Order,
    RecallRequest,
    Redaction,
    Verdict,
)
from attestations.documents.elicitation import DevDisclosure, PackAnswer, RunStart
from attestations.documents.engagement import PolicyEvent, Release
from attestations.documents.finding import CONTENT_CLASS as FINDINGS, FindingNotice
from attestations.elicitation.course import Course
from attestations.errors import IrrevocableRelease, SafeconductError
from attestations.policy.evaluate import (
    ALREADY_PUBLIC,
    HOLD,
    RELEASED,
    SHOWN,
    Bounds,
    Seen,
    State,
    evaluate,
    held_days,
    permitted,
)
from attestations.policy.model import UNSEALED
from attestations.statement_checks import (
    check_abort,
    check_correction,
    check_emergency,
    check_finding,
    check_hold,
    check_order,
    check_recall,
    check_redaction,
    check_verdict,
    delayed_rules,
    hold_limit,
    scope_of,
)
from attestations.statements import REVOKE, Stated
from attestations.states import DISCLOSURE, HOLDING, Disclosure, DisclosureEvent, Holding, HoldingEvent, advance

Place = tuple[str, str]
_WIDE = frozenset({"lab", "auditor"})


class Breach(NamedTuple):
    """Something in the log that counts for nothing, or that should not be there: its leaf and digest, and why."""

    leaf: int
    error: SafeconductError
    document: str


class LoggedOrder(NamedTuple):
    """An order that counts, its leaf and when it got there."""

    document: Order
    leaf: int
    at: Bounds


class LoggedFinding(NamedTuple):
    """The notice of a finding, its leaf and when it got there."""

    document: FindingNotice
    leaf: int
    at: Bounds

    @property
    def words(self) -> str:
        """What was given to whom, in a line."""
        what = "no finding" if self.document.report is None else f"finding {self.document.id}"
        return f"{what} for {', '.join(self.document.to)}, leaf {self.leaf}"


class Deviation(NamedTuple):
    """A statement that the analysis departs from its plan, and where it stands."""

    leaf: int
    digest: str
    document: AnalysisDeviation


@dataclass(frozen=True)
class Released:
    """A logged release, and whether the policy permitted it when it was made."""

    document: Release
    index: int
    permission: State
    limit: frozenset[int] | None = None  # the only tasks it may open, where nothing but an emergency permits it

    @property
    def meets(self) -> bool:
        """Whether it ends an obligation."""
        return meets_obligation(self.document, self.limit)


class Ledger:
    """Grows with the log; `agreement` is the one in force and may be replaced by its amendment."""

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.events: list[Seen] = []
        self.items: dict[Place, Disclosure] = {}
        self.holding = Holding.FREE
        self.held = 0
        self.breaches: list[Breach] = []
        self.releases: dict[str, Released] = {}
        self.orders: dict[str, LoggedOrder] = {}
        self.notices: list[EmergencyNotice] = []
        self.redactions: list[tuple[frozenset[str], Redaction]] = []
        self.corrections: dict[str, Correction] = {}
        self.recalls: list[RecallRequest] = []
        self.deviations: list[Deviation] = []
        self.findings: list[LoggedFinding] = []
        self.aborted: Abort | None = None
        self.elicitation = Course()
        self._published: dict[str, set[str]] = {}

    def seen(self, name: str, at: Bounds) -> None:
        """Note what the log itself shows: REGISTERED, RUN_CLOSED or DELIVERED."""
        if name == "RUN_CLOSED" and self._happened("RUN_CLOSED"):
            return  # an abort has set the time from which what stays owed is counted
        self.events.append(Seen(name, None, at))
        self.look(at)

    def check(self, stated: Stated, at: Bounds) -> None:
        """Raise why a statement would count for nothing; changes nothing.

        Raises:
            HoldTooLate, HoldLimitExceeded, IrrevocableRelease, OrderInvalid, OrderOutOfScope, EmergencyQuorumUnmet,
            EmergencyScopeExceeded, RedactionNotAllowed, RecipientNotPermitted, DisclosureEarly, AttributionFailed,
            PhaseViolation.
        """
        match stated.document:
            case PolicyEvent() as event:
                self._check_event(event, at)
            case Order() as order:
                check_order(order, self.agreement.policy, at)
            case EmergencyNotice() as notice:
                check_emergency(notice, stated.roles, self.agreement.policy, at)
            case Redaction() as redaction:
                check_redaction(redaction, stated.roles)
            case Verdict() as verdict:
                check_verdict(verdict, stated.parties, self.agreement, self._release(verdict.release))
            case RecallRequest() as recall:
                check_recall(recall, self._release(recall.release))
            case Correction() as correction:
                check_correction(correction)
            case DevDisclosure() | PackAnswer() | RunStart() as step:
                self.elicitation.check(step, at, self.agreement.clauses.elicitation_days)
            case FindingNotice() as finding:
                check_finding(
                    finding,
                    self.agreement.policy,
                    lambda recipient: self.permission(FINDINGS, recipient, at),
                    [other.document for other in self.findings],
                )
            case Abort():
                check_abort(delivered=self._happened("DELIVERED"), aborted=self.aborted is not None)

    def take(self, stated: Stated, at: Bounds, leaf: int) -> bool:
        """Take a logged statement into account, or note why it counts for nothing; return whether it counts."""
        try:
            self.check(stated, at)
        except SafeconductError as error:
            error.facts.setdefault("leaf", str(leaf))
            self.breaches.append(Breach(leaf, error, stated.digest))
            return False
        self._apply(stated, at, leaf)
        if isinstance(stated.document, AnalysisDeviation):
            self.deviations.append(Deviation(leaf, stated.digest, stated.document))
        self.look(at)
        return True

    def released(self, document: Release, digest: str, at: Bounds, leaf: int) -> Released:
        """Note a release; `at` is when it was made, as far as its cosigned checkpoint says."""
        self.look(at)
        place = (document.content_class, document.recipient)
        state = permitted(
            self.agreement.policy, self.events, at, content_class=document.content_class, recipient=document.recipient
        )
        limit = self.emergency_items(*place) if self.by_emergency(*place, at) else None
        made = self.releases.setdefault(digest, Released(document, leaf, state, limit))
        if made.meets:
            item = self.items.get(place, Disclosure.ABSENT)
            early = item in (Disclosure.ABSENT, Disclosure.SEALED)
            self.items[place] = advance(
                DISCLOSURE, item, DisclosureEvent.RELEASE_EARLY if early else DisclosureEvent.RELEASE
            )
        self.events.append(Seen(RELEASED if made.meets else SHOWN, ":".join(place), at))
        return made

    def look(self, now: Bounds) -> dict[Place, Disclosure]:
        """Bring every (class, recipient) of the policy up to `now`, as far as it is sure, and return them all."""
        if self.holding is not Holding.CLOSED and self._happened(self.agreement.policy.anchor):
            waiting = delayed_rules(self.agreement.policy)
            states = [self.permission(rule.content_class, rule.to, now) for rule in waiting]
            if all(state is State.PERMITTED for state in states):
                self.holding = advance(HOLDING, self.holding, HoldingEvent.PERMIT)
        ready = self._happened("DELIVERED")
        closed = self._happened("RUN_CLOSED")
        for place, state in evaluate(self.agreement.policy, self.events, now).items():
            item = self.items.setdefault(place, Disclosure.ABSENT)
            if item is Disclosure.ABSENT and (ready or (closed and place[0] in UNSEALED)):
                item = advance(DISCLOSURE, item, DisclosureEvent.DELIVER)
            if item is Disclosure.SEALED and state in (State.PERMITTED, State.OVERDUE):
                item = advance(DISCLOSURE, item, self._cause(place, now))
            if item is Disclosure.PERMITTED and state is State.OVERDUE:
                item = advance(DISCLOSURE, item, DisclosureEvent.LAPSE)
            self.items[place] = item
        return self.items

    def permission(self, content_class: str, recipient: str, now: Bounds) -> State:
        """Return whether a release would be permitted at `now`."""
        return permitted(self.agreement.policy, self.events, now, content_class=content_class, recipient=recipient)

    def emergency_items(self, content_class: str, recipient: str) -> frozenset[int]:
        """Return the tasks that emergencies let a recipient have of a class."""
        scopes = [notice for notice in self.notices if recipient in notice.to]
        return frozenset(item.i for notice in scopes for item in notice.items if item.content_class == content_class)

    def by_emergency(self, content_class: str, recipient: str, now: Bounds) -> bool:
        """Tell whether only an emergency permits this release."""
        others = [event for event in self.events if event.name != "EMERGENCY"]
        without = permitted(self.agreement.policy, others, now, content_class=content_class, recipient=recipient)
        return without is not State.PERMITTED and self.permission(content_class, recipient, now) is State.PERMITTED

    def redacted_by(self, role: str, content_class: str, path: str) -> bool:
        """Tell whether lab or regulator has stated that it keeps a field closed."""
        return any(
            role in roles and document.content_class == content_class and path in document.paths
            for roles, document in self.redactions
        )

    def is_public(self, content_class: str) -> bool:
        """Tell whether the whole of a class has been released to everybody: what a view keeps closed is not out."""
        released = [made.document for made in self.releases.values()]
        return any(release.content_class == content_class and is_public_whole(release) for release in released)

    def _release(self, digest: str) -> Release | None:
        made = self.releases.get(digest)
        return None if made is None else made.document

    def _happened(self, name: str) -> bool:
        return any(event.name == name for event in self.events)

    def _cause(self, place: Place, now: Bounds) -> DisclosureEvent:
        causes = {
            ALREADY_PUBLIC: DisclosureEvent.ALREADY_PUBLIC,
            "EMERGENCY": DisclosureEvent.EMERGENCY,
            "ORDER": DisclosureEvent.ORDER,
        }
        for name, event in causes.items():
            others = [seen for seen in self.events if seen.name != name]
            state = permitted(self.agreement.policy, others, now, content_class=place[0], recipient=place[1])
            if state is not State.PERMITTED:
                return event
        return DisclosureEvent.PERMIT

    def _check_event(self, event: PolicyEvent, at: Bounds) -> None:
        if event.event == REVOKE:
            raise IrrevocableRelease("what was released cannot be taken back; ask for a recall")
        if event.event == HOLD:
            self.look(at)
            check_hold(held_days(event.argument), self.holding, self.held, hold_limit(self.agreement.policy))

    def _apply(self, stated: Stated, at: Bounds, leaf: int) -> None:
        match stated.document:
            case PolicyEvent() as event:
                self._event(event, stated.roles, at)
            case Order() as order:
                self.orders.setdefault(stated.digest, LoggedOrder(order, leaf, at))
                self.events.append(Seen("ORDER", order.id, at, scope_of(order.classes, order.to)))
            case EmergencyNotice() as notice:
                self.notices.append(notice)
                classes = sorted({item.content_class for item in notice.items})
                self.events.append(Seen("EMERGENCY", notice.id, at, scope_of(classes, notice.to)))
            case Redaction() as redaction:
                self.redactions.append((stated.roles, redaction))
            case Verdict() as verdict:
                self._verdict(verdict)
            case RecallRequest() as recall:
                self.recalls.append(recall)
            case Correction() as correction:
                self.corrections[stated.digest] = correction
            case DevDisclosure() | PackAnswer() | RunStart() as step:
                self.elicitation.take(step, stated.digest, at)
            case FindingNotice() as finding:
                self.findings.append(LoggedFinding(finding, leaf, at))
                for recipient in finding.to:
                    self._given((FINDINGS, recipient), at)
            case Abort() as abort:
                self.aborted = abort
                self.seen("RUN_CLOSED", at)

    def _event(self, event: PolicyEvent, roles: frozenset[str], at: Bounds) -> None:
        if event.event == HOLD:
            self._hold(held_days(event.argument))
        elif event.event == ALREADY_PUBLIC:
            said = self._published.setdefault(event.argument or "", set())
            said |= roles
            if "regulator" not in said and not said >= _WIDE:
                return  # one side's word that something is out already must not be what lets it out
        self.events.append(Seen(event.event, event.argument, at))

    def _hold(self, days: int) -> None:
        self.held += days
        spent = self.held >= hold_limit(self.agreement.policy)
        self.holding = advance(HOLDING, self.holding, HoldingEvent.SPEND if spent else HoldingEvent.HOLD)
        for place, item in self.items.items():
            if item is Disclosure.SEALED:
                self.items[place] = advance(DISCLOSURE, item, DisclosureEvent.HOLD)

    def _given(self, place: Place, at: Bounds) -> None:
        item = self.look(at).get(place, Disclosure.ABSENT)
        if item is Disclosure.ABSENT:  # permitted before the run has closed
            item = advance(DISCLOSURE, item, DisclosureEvent.DELIVER)
        if item is Disclosure.SEALED:
            item = advance(DISCLOSURE, item, self._cause(place, at))
        self.items[place] = advance(DISCLOSURE, item, DisclosureEvent.RELEASE)
        self.events.append(Seen(RELEASED, ":".join(place), at))

    def _verdict(self, verdict: Verdict) -> None:
        made = self.releases[verdict.release]
        if not made.meets:
            return
        document = made.document
        place = (document.content_class, document.recipient)
        event = DisclosureEvent.VERIFY_OK if verdict.holds else DisclosureEvent.VERIFY_FAIL
        self.items[place] = advance(DISCLOSURE, self.items[place], event)


def is_public_whole(release: Release) -> bool:
    """Tell whether a release gives everybody the whole of its class."""
    return release.recipient == "PUBLIC" and release.view is None


def meets_obligation(release: Release, limit: frozenset[int] | None) -> bool:
    """Tell whether a release is what was owed: a few items in an emergency are not, nor is a view of holes alone."""
    view = release.view
    return limit is None and (view is None or view.opened > 0 or view.closed == 0)
