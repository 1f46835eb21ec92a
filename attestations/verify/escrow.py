"""Step 15, escrow: what a quorum of holders released in the auditor's stead, whether it was due, and what it opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from attestations.commitments import ClassKey
from attestations.documents.agreement import Agreement
from attestations.documents.base import encode, format_time, parse_time
from attestations.documents.escrow import ShareRelease
from attestations.errors import (
    DisclosureEarly,
    EscrowQuorumUnmet,
    EvidenceMissing,
    LogEquivocation,
    OrderInvalid,
    SafeconductError,
)
from attestations.escrow.dealing import branches_for, escrowed_classes, holder_of
from attestations.escrow.due import Due, standing
from attestations.escrow.ordered import check_ordered, find_order
from attestations.escrow.released import EscrowRelease, Opened, check_escrow_release
from attestations.escrow.structure import Branch
from attestations.keys import KeyUse
from attestations.ledger import LoggedOrder
from attestations.policy.evaluate import Bounds, Seen
from attestations.policy.model import Rule
from attestations.policy.words import recipient_words
from attestations.trust import Trust
from attestations.verify.parties import Parties
from attestations.verify.report import Status
from attestations.verify.steps import Attempts, Step
from attestations.verify.transcript import Transcript


@dataclass
class Escrowed:
    """The keys that holders released, the releases as events, and what to tell about each."""

    keys: dict[str, ClassKey] = field(default_factory=dict)
    events: list[Seen] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)


def escrow_step(
    files: Sequence[EscrowRelease],
    parties: Parties,
    transcript: Transcript,
    trust: Trust,
    at: datetime | None,
    attempts: Attempts,
) -> Escrowed:
    """Check every escrow release; one that does not hold opens nothing."""
    found = Escrowed()
    for file in files:
        try:
            opened = check_file(file, transcript, trust)
        except SafeconductError as error:
            attempts.failed(Step.DISCLOSURE, error)
            continue
        latest = max(parse_time(statement.released_at) for statement in opened.statements)
        what = f"{file.content_class} to {opened.recipient}"
        if at is not None and latest > at:
            attempts.skipped(
                Step.DISCLOSURE, Status.NOT_APPLICABLE, f"the escrow release of {what} is later than the time judged at"
            )
            continue
        skew = timedelta(seconds=parties.agreement.timing.skew_seconds)
        found.keys[file.content_class] = opened.combined.key
        found.events.append(
            Seen("RELEASED", f"{file.content_class}:{opened.recipient}", Bounds(latest - skew, latest + skew))
        )
        holders = sorted(statement.holder for statement in opened.statements)
        first = opened.statements[0]
        order = None if first.order is None else find_order(transcript.ledger, first.order).document.id
        why = "late" if order is None else f"on order {order}"
        attempts.passed(
            Step.DISCLOSURE, f"{what}: RELEASED by escrow, {why}, by {', '.join(holders)} on {format_time(latest)}"
        )
        found.told.append(
            {
                "class": file.content_class,
                "to": opened.recipient,
                "rule": first.rule,
                "ground": first.ground,
                "order": order,
                "branch": opened.combined.branch,
                "holders": holders,
                "releasedAt": format_time(latest),
            }
        )
    return found


def check_file(file: EscrowRelease, transcript: Transcript, trust: Trust) -> Opened:
    """Check one escrow release: its statements, shares and key, and that each holder released in time.

    Raises:
        DisclosureEarly: it was neither overdue nor ordered, or nothing obliges it.
        OrderInvalid, OrderOutOfScope: the order is not in the log, had expired, or is not about this.
        EscrowShareInvalid, EscrowQuorumUnmet, KeyCommitmentMismatch: as `check_escrow_release` says.
        EvidenceMissing: nothing is in escrow, or whether it was overdue lies within the skew.
        LogEquivocation: a holder was shown another log.
        KeyRevoked: a holder's key was revoked before.
    """
    agreement, registration = transcript.agreement, transcript.registration
    manifest = transcript.escrow.manifests.get(file.content_class)
    if manifest is None or registration is None:
        raise EvidenceMissing(f"the log puts nothing in escrow for {file.content_class}")
    opened = check_escrow_release(file, agreement, manifest, suite_id=registration.suite.id)
    rule, branch = _served(agreement, opened)
    skew = timedelta(seconds=agreement.timing.skew_seconds)
    for statement in opened.statements:
        _check_log(statement, transcript)
        key = holder_of(agreement, statement.holder).key(KeyUse.AGREEMENT)
        trust.check_not_revoked(
            encode(key.public), party=statement.holder, use=key.use.value, signed_at=statement.released_at
        )
        if statement.ground == "order":
            check_ordered(
                transcript.ledger, _order(statement, transcript), rule, parse_time(statement.released_at), skew
            )
            continue
        state = standing(agreement, rule, branch, transcript.events, parse_time(statement.released_at))
        facts = {"holder": statement.holder, "rule": rule.id}
        if state is Due.NOT_DUE:
            raise DisclosureEarly(
                f"{statement.holder} released {file.content_class} from escrow before it was overdue", **facts
            )
        if state is Due.UNSURE:
            raise EvidenceMissing(
                f"whether {statement.holder} released {file.content_class} early lies within the clock skew", **facts
            )
    return opened


def limits(parties: Parties, transcript: Transcript, trust: Trust, escrowed: Escrowed) -> tuple[str, ...]:
    """Return what must not be read into the escrow."""
    lines = [
        f"{told['class']} was opened by escrow because {_because(told)}; when it was opened is the holders' word."
        for told in escrowed.told
    ]
    strangers = sorted(
        {name for told in escrowed.told for name in told["holders"]} - {party.id for party in trust.parties}
    )
    if strangers:
        lines.append(f"Your trust file does not know {', '.join(strangers)}, who released from escrow.")
    if parties.agreement.escrow is not None:
        lines.append("That the keys in escrow are the right ones shows only when a quorum of holders opens them.")
        if escrowed_classes(parties.agreement) and not is_verified(parties, transcript, trust):
            lines.append(
                "Not every escrow holder has proved to you that it holds its shares, or is in your trust file."
            )
    return tuple(lines)


def _because(told: dict[str, Any]) -> str:
    who = recipient_words(told["to"])
    if told["order"] is not None:
        return f"the regulator's order {told['order']} gives it to {who}"
    return f"the auditor had not released it to {who} when it was owed"


def is_verified(parties: Parties, transcript: Transcript, trust: Trust) -> bool:
    """Tell whether every class key that is owed is in escrow and every holder, trusted, has proved its shares."""
    try:
        return not transcript.escrow.missing(parties.agreement, trust)
    except SafeconductError:
        return False


def _served(agreement: Agreement, opened: Opened) -> tuple[Rule, Branch]:
    first = opened.statements[0]
    escrow, rule = agreement.escrow, agreement.policy.rule(first.content_class, first.recipient)
    if escrow is None or rule is None or rule.id != first.rule or (first.ground == "overdue" and rule.oblige is None):
        raise DisclosureEarly("an escrow release names no obligation of the policy", rule=first.rule[:64])
    branch = next((item for item in branches_for(escrow, rule) if item.id == opened.combined.branch), None)
    if branch is None:
        raise EscrowQuorumUnmet("the holders who took part may not open this together", rule=rule.id)
    if first.ground not in branch.opens:
        what = "what is overdue" if first.ground == "overdue" else "orders"
        raise DisclosureEarly(f"the branch {branch.id} does not open for {what}", rule=rule.id)
    return rule, branch


def _order(statement: ShareRelease, transcript: Transcript) -> LoggedOrder:
    if statement.order is None:
        raise OrderInvalid("an escrow release on an order names none", holder=statement.holder)
    seen = int(statement.tree_size)
    order = find_order(transcript.ledger, statement.order, whole=seen <= transcript.size)
    if order.leaf >= seen:
        raise DisclosureEarly(
            "a holder released on an order before it stood in the log", holder=statement.holder, order=order.document.id
        )
    return order


def _check_log(statement: ShareRelease, transcript: Transcript) -> None:
    size = int(statement.tree_size)
    if size > transcript.size:
        return  # the holder saw a longer log than this file holds
    root = transcript.roots.get(size)
    if root is None:
        raise EvidenceMissing("an escrow release rests on a log from before the close", holder=statement.holder)
    if root.hex() != statement.root:
        raise LogEquivocation("a holder was shown another log of this size", holder=statement.holder)
