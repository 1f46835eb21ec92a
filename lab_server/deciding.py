"""What a person at the lab decides, while the gateway serves or not: each decision is a step in the store.

What has to stand in the log (an amendment, a termination) or in the gateway's memory (a first agreement) is left as
a wish for the gateway; where none serves, `lab_server.standing_in` carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from attestations.documents.agreement import Agreement, Terms
from attestations.documents.negotiation import Grounds
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import ConfigurationInvalid, EngagementUnknown, PhaseViolation
from attestations.identity import Identity, parse_identity
from attestations.negotiation.editing import read_draft
from attestations.negotiation.ledger import Decide, Stand, Talk, stand, step
from attestations.negotiation.messages import Message, Terminated
from attestations.negotiation.speaking import Voice, amended, on_table, until
from attestations.negotiation.thread import Thread, apply
from lab_server.home import Home, spki_pin
from lab_server.keyring import LabKeys
from lab_server.ports import Clock, Store, StoredWish
from lab_server.settings import AuditorSettings, Settings
from lab_server.talking import Talks
from lab_server.within_terms import check_fixed


class Case(NamedTuple):
    """One negotiation a person looks at."""

    name: str
    engagement: str
    auditor: Identity
    grant: AuditorSettings
    talk: Talk
    voice: Voice


@dataclass(frozen=True)
class Desk:
    """The lab's folder, opened for decisions."""

    home: Home
    settings: Settings
    keys: LabKeys
    store: Store
    clock: Clock

    async def cases(self) -> list[Case]:
        """Return every negotiation with an auditor that is admitted."""
        admitted = {}
        for grant in self.settings.auditor:
            identity = parse_identity(self.home.read(self.home.relative(grant.identity)))
            admitted[identity.id] = (identity, grant)
        talks = Talks(keys=self.keys, store=self.store)
        found = []
        for name in await self.store.negotiations():
            auditor, engagement = name.split(" ", 1)
            if auditor in admitted:
                identity, grant = admitted[auditor]
                talk = talks.talk(identity, engagement)
                await talks.catch_up(talk)
                found.append(Case(name, engagement, identity, grant, talk, talks.voice(identity)))
        return found

    async def case(self, engagement: str, auditor: str | None) -> Case:
        """Return one negotiation.

        Raises:
            EngagementUnknown: no admitted auditor has offered anything under this name.
            ConfigurationInvalid: two auditors have, and which is meant is not said.
        """
        named = [item for item in await self.cases() if item.engagement == engagement]
        found = [item for item in named if auditor in (None, item.auditor.id)]
        if not found:
            raise EngagementUnknown(f"no auditor has offered anything under the name {engagement}")
        if len(found) > 1:
            who = ", ".join(item.auditor.id for item in found)
            raise ConfigurationInvalid(f"{engagement} is a name of {who}: say which with --auditor", field="auditor")
        return found[0]

    async def stand(self, case: Case) -> Stand:
        """Return where a negotiation stands now."""
        return await stand(case.talk, self.clock.now())

    async def terms(self, case: Case) -> Terms | None:
        """Return the terms the auditor was last offered by a gateway that served."""
        kept = await self.store.terms(case.auditor.id)
        return None if kept is None else Terms.parse(parse_envelope(kept).payload)

    async def counter(self, case: Case, draft: bytes, *, name: str, hours: int | None) -> str:
        """Put an offer of ours on the table: the one there, or the agreement in force, with the draft's changes."""

        def decide(thread: Thread, now: datetime) -> Sequence[Message]:
            base = self.base(thread)
            changes = read_draft(draft, base, name=name)
            if thread.in_force is not None:
                body = amended(thread.in_force, now, changes)
            else:
                body = base.model_copy(update=changes)
            ends = until(now, hours or case.grant.offer_hours)
            return [case.voice.offer(thread, body, ends)]

        return on_table((await self._step(case, decide)).thread).envelope.digest

    async def amendment(self, case: Case, draft: bytes, *, name: str) -> Agreement:
        """Return the amendment a draft makes, for those to sign whose protected rules it changes."""
        thread = (await self.stand(case)).thread
        if thread.in_force is None:
            raise PhaseViolation("no agreement is in force that could be amended", state=thread.state.value)
        return amended(thread.in_force, self.clock.now(), read_draft(draft, thread.in_force.agreement, name=name))

    async def offer_consented(self, case: Case, consents: Envelope, *, hours: int | None) -> str:
        """Offer exactly the amendment that was consented to."""
        body = Agreement.parse(consents.payload)

        def decide(thread: Thread, now: datetime) -> Sequence[Message]:
            return [case.voice.offer(thread, body, until(now, hours or case.grant.offer_hours), consents)]

        return on_table((await self._step(case, decide)).thread).envelope.digest

    async def accept(self, case: Case, offer: str | None) -> Stand:
        """Accept the auditor's offer: our signature is locked until the offer ends.

        Raises:
            TermsRefused: it asks for what nobody at the lab can give.
            OfferSuperseded: another offer than the one that was read is on the table.
        """
        terms = await self.terms(case)
        tls = spki_pin(case.auditor.tls or "")

        def decide(thread: Thread, now: datetime) -> Sequence[Message]:  # noqa: ARG001 - the shape of a decision
            table = on_table(thread)
            if thread.in_force is None and terms is not None:
                check_fixed(table.offer.body, terms, case.auditor, tls)
            return [case.voice.accept(thread, offer)]

        return await self._step(case, decide)

    async def reject(self, case: Case, reason: str) -> Stand:
        """Decline the auditor's offer."""
        return await self._step(case, lambda thread, now: [case.voice.reject(thread, reason, now)])

    async def withdraw(self, case: Case) -> Stand:
        """Take our offer off the table."""
        return await self._step(case, lambda thread, now: [case.voice.withdraw(thread, now)])

    async def terminate(
        self, case: Case, *, grounds: Grounds, reason: str, effective: datetime | None
    ) -> Terminated | None:
        """Sign that the agreement ends; returns what has to enter the log, or None while it waits for the auditor."""
        made: list[Terminated] = []

        def decide(thread: Thread, now: datetime) -> Sequence[Message]:
            message = case.voice.terminate(thread, grounds=grounds, reason=reason, effective=effective or now, now=now)
            made[:] = [message]
            return [] if apply(thread, message, now).terminated is not None else [message]

        stood = await self._step(case, decide)
        if made[0].envelope.digest in {item.envelope.digest for item in stood.thread.endings.values()} and (
            made[0].document.grounds == "both" and len(made[0].signers) == 1
        ):
            return None
        return made[0]

    async def wished(self, name: str) -> StoredWish | None:
        """Return what was last decided about a negotiation and left to the gateway."""
        return next((wish for wish in await self.store.wishes() if wish.name == name), None)

    async def _step(self, case: Case, decide: Decide) -> Stand:
        return await step(case.talk, decide, self.clock.now())

    @staticmethod
    def base(thread: Thread) -> Agreement:
        """Return what a draft changes: the offer on the table, or else the agreement in force."""
        if thread.table is not None:
            return thread.table.offer.body
        if thread.in_force is not None:
            return thread.in_force.agreement
        raise PhaseViolation("there is nothing to counter: the auditor makes the first offer", state=thread.state.value)
