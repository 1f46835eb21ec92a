"""Commits a hidden suite and its analysis plan before access, and registers both as leaf 0 of the log."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import get_args

from attestations.commitments import ContentClass, SuiteKey
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.base import format_time
from attestations.documents.drawing import DrawRule
from attestations.documents.engagement import (
    ClassKeyCommitment,
    LogReceipt,
    PreRegistration,
    RegisteredArm,
    RegisteredGrader,
    RegisteredSuite,
)
from attestations.documents.planning import AnalysisPlan
from attestations.draw import SHARE_BYTES, share_commitment
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import PreRegistrationAltered, ScopeExceeded
from attestations.grading import grader_digest
from attestations.scaffolds.method import AS_SHIPPED
from auditor_client.campaign_state import Item
from auditor_client.committing import scored
from auditor_client.cosigning import IN_FORCE
from auditor_client.engagement import Engagement, signed
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.leaf_checks import sent_name
from auditor_client.ports import Clock, Journal, Lab

REGISTRATION = "registration"
SHARE = "draw-share"
GRADER_VERSION = "1"
CLASSES: tuple[ContentClass, ...] = get_args(ContentClass)


@dataclass(frozen=True)
class Design:
    """How the suite is run and analysed; fixed before access."""

    plan: AnalysisPlan
    epochs: int = 1
    max_attempts: int = 5
    draw: int | None = None  # how many of the scored tasks are asked; None asks all
    variant: str | None = None  # what arms ask that name no variant; None is the first of the agreement's scope

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms."""
        return (AS_SHIPPED,) if self.plan.arms is None else tuple(arm.id for arm in self.plan.arms)

    def conduct(self, agreement: Agreement) -> tuple[RegisteredArm, ...] | None:
        """Return what is registered of each arm; None where the plan has none.

        Raises:
            ScopeExceeded: an arm asks a variant that the agreement does not grant.
        """
        if self.plan.arms is None:
            return None
        default = self.variant or agreement.scope.variants[0]
        found = []
        for arm in self.plan.arms:
            variant = None if arm.source == "fine_tuned" else arm.variant or default
            if variant is not None and variant not in agreement.scope.variants:
                raise ScopeExceeded(f"the agreement does not grant the variant {variant}", rule="variant")
            found.append(RegisteredArm(id=arm.id, epochs=arm.epochs or self.epochs, variant=variant))
        return tuple(found)


async def register(
    suite: FrozenSuite,
    design: Design,
    *,
    key: SuiteKey,
    engagement: Engagement,
    lab: Lab,
    journal: Journal,
    clock: Clock,
) -> Envelope:
    """Register the suite (again, after a crash: the same bytes); without a draw or arms, schedule every item.

    Raises:
        PreRegistrationAltered: another suite or plan is already registered.
    """
    envelope = await _registration(suite, design, key=key, engagement=engagement, journal=journal, clock=clock)
    receipt = engagement.opened(await lab.register(envelope), LogReceipt)
    first = receipt.log_index == "0" or journal.recall(IN_FORCE) is not None  # only amendments may come before
    if (receipt.kind, receipt.document, first) != ("registration", envelope.digest, True):
        raise PreRegistrationAltered("the lab did not register our suite as the first leaf", index=receipt.log_index)
    if design.draw is None and design.plan.arms is None:
        await journal.schedule(schedule(suite, design, key))
    return envelope


def schedule(
    suite: FrozenSuite, design: Design, key: SuiteKey, left_out: Container[int] = frozenset()
) -> Sequence[Item]:
    """Return every item but those left out, in an order that tells the lab nothing: that of the tasks' secret keys."""
    order_key = key.class_key("C5")
    items = [
        Item(task.i, arm, epoch)
        for task in suite.tasks
        if task.runs and task.i not in left_out
        for arm in design.arms
        for epoch in range(design.epochs)
    ]
    return sorted(items, key=lambda item: sha256(order_key.task_key(item.task) + f"{item.arm}/{item.epoch}".encode()))


async def _registration(
    suite: FrozenSuite, design: Design, *, key: SuiteKey, engagement: Engagement, journal: Journal, clock: Clock
) -> Envelope:
    root, plan = suite.root(key), sha256(design.plan.to_bytes())
    kept = journal.recall(REGISTRATION)
    if kept is not None:
        envelope = parse_envelope(kept)
        document = PreRegistration.parse(envelope.payload)
        if (document.suite.root, document.plan) != (root, plan):
            raise PreRegistrationAltered("another suite or plan is already registered under this agreement")
        return envelope
    graders = sorted({str(task.value("graderRef")) for task in suite.tasks if task.runs})
    document = PreRegistration(
        agreement=engagement.digest,
        suite=RegisteredSuite(id=suite.suite_id, root=root, tasks=len(suite.tasks)),
        class_keys=tuple(
            ClassKeyCommitment(content_class=cls, commitment=key.class_key(cls).commitment()) for cls in CLASSES
        ),
        plan=plan,
        graders=tuple(
            RegisteredGrader(name=name, version=GRADER_VERSION, digest=grader_digest(name)) for name in graders
        ),
        arms=design.arms,
        epochs=design.epochs,
        max_attempts=design.max_attempts,
        draw=None if design.draw is None else await _rule(design.draw, suite, journal),
        conduct=design.conduct(engagement.agreement),
        registered_at=format_time(clock.now()),
    )
    envelope = signed(document, engagement.keys.publication)
    await journal.remember("plan", design.plan.to_bytes())
    await journal.remember(sent_name(envelope), envelope.to_bytes())
    await journal.remember(REGISTRATION, envelope.to_bytes())
    return envelope


async def own_share(journal: Journal) -> bytes:
    """Return our share of the draw, made once and kept before anything commits to it."""
    kept = journal.recall(SHARE)
    if kept is None:
        kept = os.urandom(SHARE_BYTES)
        await journal.remember(SHARE, kept)
    return kept


async def _rule(drawn: int, suite: FrozenSuite, journal: Journal) -> DrawRule:
    return DrawRule(bank=len(scored(suite)), drawn=drawn, share_commit=share_commitment(await own_share(journal)))
