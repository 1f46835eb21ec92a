"""Joins everything an audit needs, from one folder: the only file that names concrete adapters."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from attestations.commitments import SuiteKey
from attestations.documents.agreement import Variant
from attestations.documents.engagement import PreRegistration
from attestations.documents.planning import AnalysisPlan
from attestations.envelope import parse_envelope
from attestations.errors import ConfigurationInvalid, PhaseViolation, ScopeExceeded
from attestations.identity import Identity, parse_identity
from auditor_client.campaign import Campaign, Plan
from auditor_client.committing import read_rounds
from auditor_client.cosigning import Cosigner
from auditor_client.desk import Ask, Patience
from auditor_client.eliciting.arms import Arms
from auditor_client.engagement import AuditorKeys, Engagement
from auditor_client.escrowing import read_structure
from auditor_client.frozen_suite import FrozenSuite, open_frozen_suite
from auditor_client.home import Home
from auditor_client.journal.sqlite import SqliteJournal
from auditor_client.mirror import Mirror
from auditor_client.observing import open_log
from auditor_client.proposing import Proposal, open_current
from auditor_client.questioning import Questioner
from auditor_client.registering import REGISTRATION, Design
from auditor_client.settings import Settings, load_settings
from auditor_client.talking import Negotiator, negotiator
from auditor_client.trained import load_training
from auditor_client.transport.channel import Credentials, check_pin, open_channel, spki_digest
from auditor_client.transport.lab import GrpcLab


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.now(UTC)


@dataclass(frozen=True)
class Auditor:
    """One auditor's folder, opened."""

    home: Home
    settings: Settings
    identity: Identity
    lab_identity: Identity
    keys: AuditorKeys
    lab: GrpcLab
    journal: SqliteJournal
    clock: SystemClock
    log: structlog.typing.FilteringBoundLogger

    def negotiator(self, mirror: Mirror | None = None) -> Negotiator:
        """Return the negotiation over our engagement; with a copy of the log, amendments are held against it."""
        return negotiator(
            self.settings.engagement,
            lab_identity=self.lab_identity,
            keys=self.keys,
            lab=self.lab,
            journal=self.journal,
            clock=self.clock,
            mirror=mirror,
        )

    def proposal(self, hours: float) -> Proposal:
        """Return what we propose to the lab, in offers that are valid for so many hours."""
        home, lab_tls, our_tls = self.home, self.lab_identity.tls, self.identity.tls
        if lab_tls is None or our_tls is None:
            raise ConfigurationInvalid("an identity file lacks its TLS certificate", field="tls")
        return Proposal(
            engagement=self.settings.engagement,
            lab=self.lab_identity,
            auditor=self.identity,
            recipients=[parse_identity(home.read(home.path / path)) for path in self.settings.recipients],
            auditor_tls=spki_digest(our_tls.encode()),
            lab_tls=spki_digest(lab_tls.encode()),
            hours=hours,
            escrow=read_structure(home, self.settings.escrow),
        )

    def engagement(self) -> Engagement:
        """Return the agreement in force; its pins must be those of the certificates in use.

        Raises:
            PhaseViolation: there is none yet.
        """
        engagement = open_current(self.journal, self.keys)
        if engagement is None:
            raise PhaseViolation("there is no agreement yet: run `safeconduct auditor propose`")
        pins = engagement.agreement.transport
        check_pin((self.lab_identity.tls or "").encode(), pins.gateway, whose="lab")
        check_pin((self.identity.tls or "").encode(), pins.auditor, whose="auditor")
        load_training(engagement, self.journal)
        return engagement

    def suite(self) -> FrozenSuite:
        """Return the committed suite."""
        if not self.home.committed.exists():
            raise PhaseViolation("no suite is committed yet: run `safeconduct auditor suite commit`")
        return open_frozen_suite(self.home.committed)

    def suite_key(self) -> SuiteKey:
        """Return the committed suite's key."""
        return self.home.read_suite_key(self.suite().suite_id)

    def design(self) -> Design:
        """Return how the suite is run and analysed."""
        plan = AnalysisPlan.parse(self.home.read(self.home.plan))
        rounds = read_rounds(self.home)
        return Design(
            plan=plan,
            epochs=rounds.epochs,
            max_attempts=rounds.max_attempts,
            draw=rounds.draw,
            variant=self.settings.run.variant,
        )

    def registration(self) -> PreRegistration:
        """Return what was registered."""
        kept = self.journal.recall(REGISTRATION)
        if kept is None:
            raise PhaseViolation("the suite is not registered yet: run `safeconduct auditor run`")
        return PreRegistration.parse(parse_envelope(kept).payload)

    def mirror(self) -> Mirror:
        """Open our copy of the log."""
        return Mirror(self.home.mirror)

    def cosigner(self, engagement: Engagement, mirror: Mirror) -> Cosigner:
        """Return what follows and cosigns the log."""
        return Cosigner(engagement, lab=self.lab, journal=self.journal, mirror=mirror, clock=self.clock)

    def campaign(self, engagement: Engagement, mirror: Mirror) -> Campaign:
        """Return the campaign, ready to run or to continue."""
        settings = self.settings.run
        return Campaign(
            engagement=engagement,
            plan=Plan(
                question=self._ask(engagement),
                link_key=self.suite_key().class_key("C5").link_key(),
                max_attempts=self.registration().max_attempts,
            ),
            lab=self.lab,
            journal=self.journal,
            cosigner=self.cosigner(engagement, mirror),
            clock=self.clock,
            randomness=os.urandom,
            tls=engagement.agreement.transport.auditor,
            patience=Patience(answer=settings.answer_seconds, give_up=settings.give_up_seconds),
        )

    def questioner(
        self, engagement: Engagement, mirror: Mirror, purpose: str, *, kept: tuple[str, ...] = ()
    ) -> Questioner:
        """Return what asks questions of no scheduled task, for one purpose; `kept` names sessions to go on with."""
        settings = self.settings.run
        return Questioner(
            engagement=engagement,
            link_key=self.suite_key().class_key("C5").link_key(),
            max_attempts=self.registration().max_attempts,
            lab=self.lab,
            journal=self.journal,
            cosigner=self.cosigner(engagement, mirror),
            clock=self.clock,
            randomness=os.urandom,
            tls=engagement.agreement.transport.auditor,
            patience=Patience(answer=settings.answer_seconds, give_up=settings.give_up_seconds),
            purpose=purpose,
            scheduled=self._ask(engagement),
            lanes=min(settings.lanes, engagement.agreement.scope.max_sessions),
            kept=kept,
        )

    def _ask(self, engagement: Engagement) -> Ask:
        return Arms(self.suite(), self.journal, variant=self._variant(engagement).id).question

    def variant_name(self, engagement: Engagement) -> str:
        """Return the variant that is asked where nothing names another."""
        return self._variant(engagement).id

    def _variant(self, engagement: Engagement) -> Variant:
        name = self.settings.run.variant or engagement.agreement.scope.variants[0]
        variant, scope = engagement.variant(name), engagement.agreement.scope.variants
        if variant is None or not {name, variant.parent} & {*scope}:
            raise ScopeExceeded(f"the agreement does not grant the variant {name}", rule="variant", variant=name)
        return variant


@asynccontextmanager
async def auditor(path: Path, *, alone: bool = True) -> AsyncIterator[Auditor]:
    """Open an auditor's folder and a connection to its lab.

    Args:
        path: the folder.
        alone: whether it is held against other commands; only what merely looks can do without.

    Raises:
        FileUnusable, ConfigurationInvalid: something in the folder is missing or makes no sense.
        StoreFailed: another command works in it.
    """
    home = Home(path)
    settings = load_settings(home.settings)
    identity = home.read_identity()
    lab_identity = parse_identity(home.read(home.path / settings.lab.identity))
    if lab_identity.role != "lab":
        raise ConfigurationInvalid(f"{settings.lab.identity} is not the identity of a lab", field="lab.identity")
    if lab_identity.tls is None or identity.tls is None:
        raise ConfigurationInvalid("an identity file lacks its TLS certificate", field="tls")
    credentials = Credentials(
        private_key=home.read_tls(),
        certificate=identity.tls.encode(),
        lab_certificate=lab_identity.tls.encode(),
    )
    async with AsyncExitStack() as stack:
        if alone:
            stack.enter_context(home.alone())
        log, file = open_log(home.log)
        stack.callback(file.close)
        journal = await stack.enter_async_context(SqliteJournal(home.journal))
        channel = open_channel(settings.lab.address, credentials)
        stack.push_async_callback(channel.close, None)
        yield Auditor(
            home=home,
            settings=settings,
            identity=identity,
            lab_identity=lab_identity,
            keys=home.read_keys(),
            lab=GrpcLab(channel),
            journal=journal,
            clock=SystemClock(),
            log=log,
        )
