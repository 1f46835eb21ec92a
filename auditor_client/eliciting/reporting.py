"""What we say of elicitation in packages and attestations: computed as every verifier will compute it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from attestations.documents.agreement import Agreement
from attestations.documents.exchange import Record
from attestations.elicitation.claims import ElicitationClaim, Spent
from attestations.elicitation.course import Established, established
from attestations.elicitation.figures import elicitation_claim, outline
from attestations.elicitation.levels import Sandbagging, sandbagging_level
from attestations.envelope import parse_envelope
from attestations.grades import GradeRow
from auditor_client.eliciting.arms import Arms
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.history import History
from auditor_client.ports import Journal


@dataclass(frozen=True)
class Elicited:
    """The arms that ran on TEST, what the log establishes, and what is claimed where arms were registered."""

    running: tuple[str, ...]
    done: Established
    claim: ElicitationClaim | None
    sandbagging: Sandbagging


async def elicited(
    suite: FrozenSuite, history: History, agreement: Agreement, rows: Sequence[GradeRow], journal: Journal
) -> Elicited:
    """Return all that packages and attestations say of elicitation."""
    arms, course = Arms(suite, journal), history.ledger.elicitation
    registration = arms.registration
    done = established(registration, course, agreement, frozenset(history.hooks.trained))
    claim = await _whole(arms, history, rows, journal)
    return Elicited(
        running=course.running(registration),
        done=done,
        claim=claim,
        sandbagging=sandbagging_level(done, claim, registration),
    )


def _shown_in_log(arms: Arms, history: History) -> ElicitationClaim | None:
    """Return what the log alone shows of elicitation; None where no arms are registered."""
    if arms.registration.conduct is None:
        return None
    return outline(arms.registration, history.ledger.elicitation, history.hooks.claims())


async def _whole(arms: Arms, history: History, rows: Sequence[GradeRow], journal: Journal) -> ElicitationClaim | None:
    """Return the whole claim; None where no arms are registered."""
    shown = _shown_in_log(arms, history)
    if shown is None:
        return None
    totals: dict[str, list[int]] = {}
    exploratory: Counter[str] = Counter()
    async for exchange in journal.exchanges():
        if exchange.promise is None:
            continue
        item = exchange.item
        if item.auxiliary:
            exploratory[item.arm] += 1
            continue
        usage = Record.parse(parse_envelope(exchange.document).payload).usage
        used = totals.setdefault(item.arm, [0, 0, 0])
        used[0] += 1
        used[1] += usage.input_tokens
        used[2] += usage.output_tokens
    spent = {
        arm: Spent(exchanges=str(count), input_tokens=str(read), output_tokens=str(written))
        for arm, (count, read, written) in totals.items()
    }
    return elicitation_claim(shown, arms.plan, rows, spent=spent, exploratory=exploratory)
