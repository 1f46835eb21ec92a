"""An agreement between a made-up lab and auditor, with real keys, for tests of the auditor's side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from attestations.commitments import SuiteKey
from attestations.documents.agreement import (
    Access,
    Agreement,
    Budget,
    Clauses,
    FineTuningGrant,
    Party,
    PartyKey,
    PartyRole,
    Runtime,
    Scope,
    Timing,
    Transport,
    Variant,
)
from attestations.documents.base import encode, format_time
from attestations.documents.dialogue import ChatRequest, Message, Sampling
from attestations.documents.planning import AnalysisPlan, PlannedMetric
from attestations.envelope import sign
from attestations.keys import Ed25519Signer, KeyUse, P256Signer, Signer
from attestations.policy.model import Policy, Rule
from attestations.trust import Trust, TrustedParty
from auditor_client.engagement import AuditorKeys, Engagement
from auditor_client.frozen_suite import FrozenQuestion, FrozenSuite, FrozenTask
from auditor_client.registering import Design

LAB, AUDITOR = "lab.example", "auditor.example"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MANIFEST, TEMPLATE = "11" * 32, "22" * 32


@dataclass
class TestClock:
    """A clock that moves a millisecond each time it is read, so that nothing happens at once."""

    __test__ = False
    at: datetime = START

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def pass_(self, **span: float) -> None:
        self.at += timedelta(**span)


def signer(party: str, use: KeyUse) -> Signer:
    if use in (KeyUse.LOG, KeyUse.COSIGN):
        return Ed25519Signer.generate(party=party, use=use)
    return P256Signer.generate(party=party, use=use)


@dataclass(frozen=True)
class LabKeys:
    """The lab's signers."""

    agreement: Signer = field(default_factory=lambda: signer(LAB, KeyUse.AGREEMENT))
    record: Signer = field(default_factory=lambda: signer(LAB, KeyUse.RECORD))
    log: Signer = field(default_factory=lambda: signer(LAB, KeyUse.LOG))


def auditor_keys() -> AuditorKeys:
    return AuditorKeys(
        agreement=signer(AUDITOR, KeyUse.AGREEMENT),
        exchange=signer(AUDITOR, KeyUse.EXCHANGE),
        cosign=signer(AUDITOR, KeyUse.COSIGN),
        publication=signer(AUDITOR, KeyUse.PUBLICATION),
    )


def party(role: str, name: str, signers: Sequence[Signer]) -> Party:
    keys = tuple(PartyKey(use=item.key.use.value, public=encode(item.key.public)) for item in signers)  # type: ignore[arg-type]
    return Party(role=role, id=name, keys=keys)  # type: ignore[arg-type]


def policy() -> Policy:
    classes = ("C1", "C2", "C3", "C5", "C6", "C7", "C8")
    return Policy(
        rules=tuple(
            Rule.model_validate({"id": f"{name}-R", "class": name, "to": "REGULATOR", "permit": "RUN_CLOSED"})
            for name in classes
        )
    )


@dataclass(frozen=True)
class World:
    """Both sides' keys and the agreement they signed."""

    lab: LabKeys = field(default_factory=LabKeys)
    auditor: AuditorKeys = field(default_factory=auditor_keys)
    sessions: int = 4
    rules: Policy = field(default_factory=policy)
    clauses: Clauses = field(default_factory=lambda: Clauses(no_gag=True, safe_harbor=True))
    others: tuple[Party, ...] = ()
    fine_tuning: FineTuningGrant | None = None
    sandbox: bool = False

    @property
    def _hooks(self) -> list[str]:
        return ["fine_tune"] * (self.fine_tuning is not None) + ["sandbox"] * self.sandbox

    def agreement(self) -> Agreement:
        ours, theirs = self.auditor, self.lab
        return Agreement(
            engagement="audit-1",
            parties=(
                party("lab", LAB, (theirs.agreement, theirs.record, theirs.log)),
                party("auditor", AUDITOR, (ours.agreement, ours.exchange, ours.cosign, ours.publication)),
                *self.others,
            ),
            transport=Transport(gateway="33" * 32, auditor="44" * 32),
            variants=(Variant(id="deployed", kind="deployed", manifest=MANIFEST, template=TEMPLATE),),
            scope=Scope(
                variants=("deployed",),
                operations=tuple(sorted(("chat", "score", *self._hooks))),  # type: ignore[arg-type]
                max_top_logprobs=0,
                max_output_tokens=64,
                max_sessions=self.sessions,
            ),
            budget=Budget(
                requests="10000", input_tokens="100000000", output_tokens="1000000", crashes=100, unrevealed=10
            ),
            access=Access(not_before="2026-11-24T00:00:00Z", not_after="2026-12-24T00:00:00Z"),
            timing=Timing(
                reveal_seconds=60,
                respond_seconds=60,
                cosign_seconds=60,
                cosign_leaves=16,
                redeliver_seconds=3600,
                skew_seconds=5,
            ),
            origin="lab.example/safeconduct/audit-1",
            runtime=Runtime(level="RA0"),
            policy=self.rules,
            clauses=self.clauses,
            fine_tuning=self.fine_tuning,
            created_at=format_time(START),
        )

    def trust(self) -> Trust:
        """What a regulator trusts: both sides by the keys of the agreement."""
        roles: tuple[PartyRole, ...] = ("lab", "auditor")
        parties = [self.agreement().party(role) for role in roles]
        return Trust(parties=tuple(TrustedParty(role=p.role, id=p.id, keys=p.keys) for p in parties))

    def engagement(self) -> Engagement:
        agreement = self.agreement()
        signers = (self.lab.agreement, self.auditor.agreement)
        return Engagement(agreement, sign(agreement.payload_type, agreement.to_bytes(), *signers), self.auditor)


def suite(tests: int = 6, *, size: int = 8) -> FrozenSuite:
    """A suite of exact-match questions: tests, one positive control, and decoys up to `size`."""
    return FrozenSuite("suite-test", [_task(i, tests) for i in range(size)])


def _task(i: int, tests: int) -> FrozenTask:
    kind = "test" if i < tests else "positive_control" if i == tests else "decoy"
    request = ChatRequest(messages=(Message(role="user", content=f"canary-prompt-{i}"),))
    sampling = Sampling(max_output_tokens=16)
    fields = {
        "kind": ("C5", kind),
        "prompt": ("C5", {"request": request.json_value(), "sampling": sampling.json_value()}),
        "category": ("C3", "shell"),
        "target": ("C6", {"grader": "exact", "answers": ["yes"]}),
        "graderRef": ("C6", "exact"),
        "author": ("C8", "us"),
    }
    question = FrozenQuestion(request=request, sampling=sampling) if kind != "decoy" else None
    return FrozenTask(i=i, fields=fields, question=question)


def design() -> Design:
    plan = AnalysisPlan(
        nonce=encode(bytes(32)),
        metrics=(
            PlannedMetric(id="overall", category=None, direction="risk_increasing", rule_out="0.5", rule_in="0.9"),
        ),
        scored_tasks=6,
        answered_floor="0.5",
        positive_control_bound="0.5",
    )
    return Design(plan=plan, max_attempts=3)


def suite_key() -> SuiteKey:
    return SuiteKey(bytes(range(32)), "suite-test")
