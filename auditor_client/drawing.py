"""The auditor's part in a draw: fixes its share and the beacon, learns the lab's, and schedules what was drawn."""

from __future__ import annotations

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import SuiteKey
from attestations.documents.base import decode, encode, format_time
from attestations.documents.drawing import Draw, DrawRule
from attestations.documents.engagement import LogReceipt, PreRegistration
from attestations.draw import beacon, draw, draw_seed, share_commitment
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import PhaseViolation, SelectionNotReproducible
from attestations.log_entries import parse_entry
from attestations.notes import parse_note
from auditor_client.committing import scored
from auditor_client.cosigning import Cosigner
from auditor_client.engagement import Engagement, signed
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.leaf_checks import sent_name
from auditor_client.mirror import Mirror
from auditor_client.ports import Clock, Journal, Lab
from auditor_client.registering import REGISTRATION, Design, own_share, schedule

DRAW = "draw"
DRAWN = "drawn"
_REGISTRATION_END = b'"kind":"registration"}'


async def draw_items(
    suite: FrozenSuite,
    design: Design,
    *,
    key: SuiteKey,
    engagement: Engagement,
    lab: Lab,
    journal: Journal,
    mirror: Mirror,
    cosigner: Cosigner,
    clock: Clock,
) -> None:
    """Make the registered draw, if there is one (again, after a crash: the same bytes), and schedule what it gives.

    Raises:
        SelectionNotReproducible: the lab's share is not the one it committed to.
    """
    envelope, registration = _registered(journal)
    rule = registration.draw
    if rule is None:
        return
    if journal.recall(DRAWN) is None:
        made = await _draw(envelope, engagement=engagement, journal=journal, cosigner=cosigner, clock=clock)
        receipt = engagement.opened(await lab.draw(made), LogReceipt)
        # What counts is the commitment that the log holds, and we have cosigned.
        leaf = next(leaf for leaf in mirror.leaves() if leaf.endswith(_REGISTRATION_END))
        committed = LogReceipt.parse(parse_entry(leaf).documents[-1].payload).share_commit
        theirs = _share(made, receipt, committed)
        drawn = _drawn(suite, registration, rule, Draw.parse(made.payload), theirs, engagement)
        await journal.remember(DRAWN, canonical_bytes(sorted(drawn)))
    if design.plan.arms is None:
        await journal.schedule(schedule(suite, design, key, left_out_of(suite, journal)))


def left_out_of(suite: FrozenSuite, journal: Journal) -> frozenset[int]:
    """Return the scored tasks that were not drawn; none where nothing was to be drawn.

    Raises:
        PhaseViolation: the suite is not registered, or its draw is not made yet.
    """
    if _registered(journal)[1].draw is None:
        return frozenset()
    kept = journal.recall(DRAWN)
    if kept is None:
        raise PhaseViolation("the registered draw is not made yet: run `safeconduct auditor run`")
    return frozenset(scored(suite)) - frozenset(parse_canonical(kept))


def _registered(journal: Journal) -> tuple[Envelope, PreRegistration]:
    kept = journal.recall(REGISTRATION)
    if kept is None:
        raise PhaseViolation("there is nothing to draw from before the suite is registered")
    envelope = parse_envelope(kept)
    return envelope, PreRegistration.parse(envelope.payload)


async def _draw(
    registration: Envelope, *, engagement: Engagement, journal: Journal, cosigner: Cosigner, clock: Clock
) -> Envelope:
    kept = journal.recall(DRAW)
    if kept is not None:
        return parse_envelope(kept)
    document = Draw(
        agreement=engagement.digest,
        registration=registration.digest,
        share=encode(await own_share(journal)),
        beacon=await cosigner.cosign(),
        drawn_at=format_time(clock.now()),
    )
    envelope = signed(document, engagement.keys.publication)
    await journal.remember(sent_name(envelope), envelope.to_bytes())
    await journal.remember(DRAW, envelope.to_bytes())
    return envelope


def _share(made: Envelope, receipt: LogReceipt, committed: str | None) -> bytes:
    if (receipt.kind, receipt.document) != (DRAW, made.digest) or receipt.share is None:
        raise SelectionNotReproducible("the lab's receipt is for another document, or shows no share")
    theirs = decode(receipt.share)
    if share_commitment(theirs) != committed:
        raise SelectionNotReproducible("the lab's share is not the one it committed to")
    return theirs


def _drawn(
    suite: FrozenSuite, registration: PreRegistration, rule: DrawRule, made: Draw, theirs: bytes, engagement: Engagement
) -> tuple[int, ...]:
    seed = draw_seed(
        suite_root=registration.suite.root,
        auditor_share=decode(made.share),
        lab_share=theirs,
        beacon=beacon(parse_note(made.beacon), engagement.agreement)[0],
    )
    return draw(seed, scored(suite), rule.drawn)
