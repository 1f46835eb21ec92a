"""What the auditor states about disclosure, and what others give it to put into the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attestations.digests import sha256
from attestations.documents.analysis import AnalysisDeviation
from attestations.documents.base import Document, format_time, validated
from attestations.documents.disclosing import Abort, Correction, EmergencyNotice
from attestations.documents.elicitation import DevDisclosure, RunStart, StartedArm
from attestations.documents.engagement import LogReceipt, PolicyEvent
from attestations.documents.finding import CONTENT_CLASS as FINDINGS, FindingNotice
from attestations.envelope import Envelope
from attestations.errors import DisclosureForbidden, LogEquivocation, PhaseViolation
from attestations.keys import Signer
from attestations.policy.evaluate import Bounds, State
from attestations.policy.model import ALWAYS_TOLD
from attestations.release_time import made_at
from attestations.statement_checks import check_emergency
from attestations.statements import open_statement
from auditor_client.cosigning import Cosigner
from auditor_client.engagement import Engagement, signed
from auditor_client.grading_run import GRADES
from auditor_client.history import read_history
from auditor_client.leaf_checks import sent_name
from auditor_client.mirror import Mirror
from auditor_client.ports import Clock, Journal, Lab
from auditor_client.redacting import only_tasks
from auditor_client.viewing import Source, view_lines


class Notified(NamedTuple):
    """A notice that lab and log have, what it shows, and the wider one that still needs the regulator's key."""

    notice: Envelope
    content: bytes
    wider: Envelope | None


@dataclass(frozen=True)
class Speaker:
    """States things under one agreement; every statement is kept before it is sent and safe to send again."""

    engagement: Engagement
    lab: Lab
    journal: Journal
    cosigner: Cosigner
    clock: Clock

    async def event(
        self, event: str, argument: str | None, *, reason: str | None = None, evidence: str | None = None
    ) -> LogReceipt:
        """State an event that the policy waits for."""
        return await self._say(
            PolicyEvent(
                agreement=self.engagement.digest,
                event=event,
                argument=argument,
                reason=reason,
                evidence=evidence,
                stated_at=self._now(),
            ),
            self.engagement.keys.agreement,
        )

    async def correct(self, corrects: str, text: str, by: str | None) -> LogReceipt:
        """Correct a signed document by a new one."""
        value = {"agreement": self.engagement.digest, "corrects": corrects, "by": by, "text": text}
        document = validated(Correction, value | {"statedAt": self._now()})
        return await self._say(document, self.engagement.keys.publication)

    async def deviate(self, what: str, reason: str, *, plan: str, arm: str | None) -> LogReceipt:
        """Declare that the analysis will depart from its plan.

        Raises:
            PhaseViolation: the grades are fixed already, so it would count for nothing.
        """
        if self.journal.recall(GRADES) is not None:
            raise PhaseViolation("the grades are fixed: a deviation is declared before them, or not at all")
        value = {"agreement": self.engagement.digest, "plan": plan, "what": what, "arm": arm, "reason": reason}
        document = validated(AnalysisDeviation, value | {"statedAt": self._now()})
        return await self._say(document, self.engagement.keys.publication)

    async def disclosed(self, file: bytes, tasks: int) -> LogReceipt:
        """State that this file opens the DEV tasks to the lab.

        Raises:
            PhaseViolation: they were disclosed before, or TEST has begun.
        """
        document = DevDisclosure(
            agreement=self.engagement.digest, file=sha256(file), tasks=tasks, disclosed_at=self._now()
        )
        return await self._say(document, self.engagement.keys.publication)

    async def begins(self, arms: tuple[StartedArm, ...]) -> LogReceipt:
        """State that DEV is over and TEST begins.

        Raises:
            PhaseViolation: it has begun, or the lab still has time to answer the DEV tasks.
        """
        document = RunStart(agreement=self.engagement.digest, arms=arms, started_at=self._now())
        return await self._say(document, self.engagement.keys.publication)

    async def may_have_findings(self, to: Sequence[str], mirror: Mirror) -> None:
        """Refuse to give anybody a finding who may surely not have one by what the log says now.

        Raises:
            DisclosureForbidden: the policy has no rule for one of them, or its time has not come.
        """
        await self.cosigner.cosign()
        ledger = read_history(mirror, self.engagement.first, self.engagement.digest).ledger
        now = made_at(self.cosigner.last(), self._now(), self.engagement.agreement)
        for recipient in to:
            state = ledger.permission(FINDINGS, recipient, now)
            if state is not State.PERMITTED:
                rule = ledger.agreement.policy.rule(FINDINGS, recipient)
                now_or_never = "no rule of it" if rule is None else "nothing in it yet"
                raise DisclosureForbidden(
                    f"the policy: {now_or_never} lets {recipient} have findings ({FINDINGS})",
                    content_class=FINDINGS,
                    recipient=recipient,
                    state=state.value,
                )

    async def found(self, name: str, to: Sequence[str], report: Envelope | None) -> LogReceipt:
        """State that recipients were given a flaw report, or that there is none for them.

        Raises:
            RecipientNotPermitted, DisclosureEarly: the policy lets them have no findings, or not yet.
            AttributionFailed: another report has this name.
        """
        digest = None if report is None else report.digest
        value = {"agreement": self.engagement.digest, "id": name, "to": list(to), "report": digest}
        document = validated(FindingNotice, value | {"statedAt": self._now()})
        return await self._say(document, self.engagement.keys.publication)

    async def abort(self, reason: str) -> LogReceipt:
        """Give the engagement up.

        Raises:
            PhaseViolation: exchanges are running, or the packages are delivered.
        """
        document = Abort(agreement=self.engagement.digest, reason=reason, stated_at=self._now())
        return await self._say(document, self.engagement.keys.publication)

    async def notify(
        self,
        name: str,
        severity: str,
        items: Sequence[tuple[str, int]],
        wider: Sequence[str],
        expires_at: str | None,
        source: Source,
    ) -> Notified:
        """Tell whom the policy lets one key tell; sign what others may see if those with the other keys agree.

        The notice is sent first and stands whatever becomes of the wider release.

        Raises:
            AttributionFailed, EmergencyScopeExceeded: the policy lets us tell nobody about these items alone.
        """
        policy = self.engagement.agreement.policy
        at_once = tuple(dict.fromkeys((*ALWAYS_TOLD, *policy.emergencies().to)))
        content = await _shown(source, items)
        document = self._notice(name, severity, items, at_once, expires_at, sha256(content))
        now = self.clock.now()
        check_emergency(document, frozenset({"auditor"}), policy, Bounds(now, now))
        notice = await self._kept(document)
        self._check(await self.lab.notify(notice, content), "statement", notice)
        other = None
        if set(wider) - set(at_once):
            other = await self._kept(self._notice(f"{name}-wider", severity, items, wider, expires_at, sha256(content)))
        await self.cosigner.cosign()
        return Notified(notice, content, other)

    async def submit(self, envelope: Envelope) -> LogReceipt:
        """Put a signed statement, ours or another party's, into the log.

        Raises:
            OrderInvalid, OrderOutOfScope, EmergencyQuorumUnmet and whatever else the lab refuses it for.
        """
        stated = open_statement(envelope, self.engagement.agreement, self.engagement.digest)
        if "auditor" in stated.roles:
            await self.journal.remember(sent_name(envelope), envelope.to_bytes())
        receipt = self._check(await self.lab.state(envelope), stated.kind, envelope)
        await self.cosigner.cosign()
        return receipt

    async def _say(self, document: Document, signer: Signer) -> LogReceipt:
        return await self.submit(await self._kept(document, signer))

    async def _kept(self, document: Document, signer: Signer | None = None) -> Envelope:
        envelope = signed(document, signer or self.engagement.keys.agreement)
        await self.journal.remember(sent_name(envelope), envelope.to_bytes())
        return envelope

    def _notice(
        self,
        name: str,
        severity: str,
        items: Sequence[tuple[str, int]],
        to: Sequence[str],
        expires_at: str | None,
        content: str,
    ) -> EmergencyNotice:
        value = {
            "agreement": self.engagement.digest,
            "id": name,
            "severity": severity,
            "to": list(to),
            "items": [{"contentClass": content_class, "i": i} for content_class, i in items],
            "content": content,
            "statedAt": self._now(),
            "expiresAt": expires_at,
        }
        return validated(EmergencyNotice, value)

    def _check(self, answer: Envelope, kind: str, envelope: Envelope) -> LogReceipt:
        receipt = self.engagement.opened(answer, LogReceipt)
        if (receipt.kind, receipt.document) != (kind, envelope.digest):
            raise LogEquivocation("the lab's receipt is for another document", kind=receipt.kind)
        return receipt

    def _now(self) -> str:
        return format_time(self.clock.now())


async def _shown(source: Source, items: Sequence[tuple[str, int]]) -> bytes:
    """Return the openings of the named items alone."""
    shown = bytearray()
    for content_class in sorted({name for name, _ in items}):
        closed = [only_tasks(content_class, [i for name, i in items if name == content_class])]
        async for line in view_lines(source, content_class, closed):
            if b'"salt":' in line:
                shown += line + b"\n"
    return bytes(shown)
