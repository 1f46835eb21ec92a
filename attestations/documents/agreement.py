"""What lab and auditor agree on before the first prompt: who, which model, how much, until when, and who learns what.

`docs/spec/agreement.md` is the normative page.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from attestations.canonical import canonical_bytes
from attestations.digests import Sha256, sha256
from attestations.documents.base import (
    Base64,
    Count,
    Decimal,
    Document,
    Name,
    Part,
    Time,
    decode,
    is_none,
    parse_time,
)
from attestations.errors import KeyUnacceptable
from attestations.escrow.structure import Escrow
from attestations.keys import EnrolledKey, KeyUse, enrol
from attestations.policy.model import Policy

Operation = Literal["chat", "score", "count", "sandbox", "fine_tune"]
HOOKS: frozenset[str] = frozenset({"sandbox", "fine_tune"})  # operations that no model answers
VariantKind = Literal["deployed", "helpful_only", "safeguards_off", "custom"]
PartyRole = Literal["lab", "auditor", "regulator", "escrow", "recipient", "relay"]


Group = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
"""A group of cleared recipients, as a policy names it in `CLEARED(group)`."""


class PartyKey(Part):
    """One public key and the only thing it may be used for."""

    use: Literal["agreement", "record", "log", "worker", "exchange", "cosign", "publication", "receive", "relay"]
    public: Base64


class Party(Part):
    """One side of the agreement, a regulator, an escrow holder or a recipient it names, with its keys.

    `group` says to which cleared group a recipient belongs; a recipient of no group is a peer auditor.
    """

    role: PartyRole
    id: Name
    keys: tuple[PartyKey, ...] = Field(max_length=16)
    group: Group | None = None

    def key(self, use: KeyUse) -> EnrolledKey:
        """Return the party's key for `use`, checked as at enrolment.

        Raises:
            KeyUnacceptable: there is not exactly one such key, or it is malformed.
        """
        matching = [key for key in self.keys if key.use == use.value]
        if len(matching) != 1:
            raise KeyUnacceptable(f"{self.id} has not exactly one key for {use.value}", party=self.id, use=use.value)
        return enrol(self.id, use, decode(matching[0].public))


class Variant(Part):
    """One model the lab serves: what it is, where it comes from, and which weights and chat template it runs."""

    id: Name
    kind: VariantKind
    parent: Name | None = None
    manifest: Sha256
    template: Sha256
    note: str = Field(default="", max_length=2000)

    def digest(self) -> str:
        """Return the digest by which Promises name this variant."""
        return sha256(canonical_bytes(self.json_value()))


class Scope(Part):
    """What the auditor may ask."""

    variants: tuple[Name, ...] = Field(min_length=1, max_length=64)
    operations: tuple[Operation, ...] = Field(min_length=1, max_length=5)
    tools: bool = False
    max_top_logprobs: int = Field(ge=0, le=20)
    max_output_tokens: int = Field(ge=1, le=1_048_576)
    max_sessions: int = Field(ge=1, le=256)


class Budget(Part):
    """How much the auditor may use in all; `crashes` caps repeated attempts, `unrevealed` caps unused Promises."""

    requests: Count
    input_tokens: Count
    output_tokens: Count
    crashes: int = Field(ge=0, le=1_000_000)
    unrevealed: int = Field(ge=0, le=1_000_000)


class FineTuningGrant(Part):
    """How much the auditor may have trained in all: jobs, and tokens over all epochs of all jobs."""

    max_jobs: int = Field(ge=1, le=1000)
    max_train_tokens: Count


class Access(Part):
    """When the auditor may ask, and how many business days of effective access the lab owes."""

    not_before: Time
    not_after: Time
    business_days: Decimal = "0"


class Timing(Part):
    """Deadlines in seconds, and the clock skew both sides tolerate.

    `relay_seconds` is how long the lab has to answer what a relay puts before it; None where no relay is agreed.
    """

    reveal_seconds: int = Field(ge=1, le=86_400)
    respond_seconds: int = Field(ge=1, le=86_400)
    cosign_seconds: int = Field(ge=1, le=86_400)
    cosign_leaves: int = Field(ge=1, le=100_000)
    redeliver_seconds: int = Field(ge=1, le=31_536_000)
    skew_seconds: int = Field(ge=0, le=3600)
    relay_seconds: int | None = Field(default=None, ge=60, le=2_592_000, exclude_if=is_none)


class Transport(Part):
    """SHA-256 of the SPKI of each side's TLS certificate; no other certificate is accepted."""

    gateway: Sha256
    auditor: Sha256


class Witness(Part):
    """A third party that cosigns checkpoints."""

    name: Name
    public: Base64


class Witnesses(Part):
    """Who may witness the log and how many distinct witnesses a witnessed checkpoint needs; 0 means none was agreed."""

    quorum: int = Field(default=0, ge=0, le=16)
    keys: tuple[Witness, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _quorum_is_reachable(self) -> Witnesses:
        if self.quorum > len(self.keys):
            raise ValueError("the quorum is larger than the list of witnesses")
        return self


class Runtime(Part):
    """The runtime level agreed (protocol study 2.6) and what the lab undertakes about prompts it could read."""

    level: Literal["RA0", "RA1", "RA2", "RA3", "RA4"]
    retention: Literal["none_after_session"] = "none_after_session"
    training: Literal["never"] = "never"


class TerminationClause(Part):
    """Who may end the agreement alone, and how many days before the end it has to say so."""

    by: Literal["either", "lab", "auditor"]
    notice_days: int = Field(default=0, ge=0, le=3650)


def _is_none(value: object) -> bool:
    return value is None


class Retention(Part):
    """For how many days after the run has closed each side may keep what it holds of the other's."""

    lab_days: int = Field(ge=0, le=36_500)
    auditor_days: int = Field(ge=0, le=36_500)


class Wording(Part):
    """The words both sides sign beside one machine-readable clause; software follows the clause."""

    clause: Name
    text: Annotated[str, StringConstraints(pattern=r"\S", max_length=4000)]


class Clauses(Part):
    """Promises between the parties that software cannot enforce, on record; what is absent is not promised."""

    publication_control: Literal["none", "review", "approval"] = "review"
    no_gag: bool = False
    safe_harbor: bool = False
    funding: Literal["none", "fee", "grant"] = "none"
    contingent_pay: bool = False
    # Without it an agreement ends before its time only by both signatures.
    termination: TerminationClause | None = Field(default=None, exclude_if=_is_none)
    no_training: bool = False
    retention: Retention | None = None
    fine_tuning: Literal["none", "lab_operated"] = "none"
    authorship: Literal["auditor", "joint"] = "auditor"
    # How many days the lab has to answer disclosed DEV tasks with an elicitation pack before TEST may begin.
    elicitation_days: int | None = Field(default=None, ge=1, le=365, exclude_if=is_none)
    wording: tuple[Wording, ...] = Field(default=(), max_length=64)


class Agreement(Document):
    """The whole agreement; it is in force once lab and auditor have both signed the same bytes."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.agreement.v1+json"

    engagement: Name
    parties: tuple[Party, ...] = Field(min_length=2, max_length=32)
    transport: Transport
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=64)
    scope: Scope
    budget: Budget
    fine_tuning: FineTuningGrant | None = Field(default=None, exclude_if=is_none)
    access: Access
    timing: Timing
    origin: Name
    witnesses: Witnesses = Witnesses()
    runtime: Runtime
    policy: Policy
    escrow: Escrow | None = None
    clauses: Clauses = Clauses()
    created_at: Time
    supersedes: Sha256 | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Agreement:
        for role in ("lab", "auditor"):
            if sum(party.role == role for party in self.parties) != 1:
                raise ValueError(f"not exactly one {role}")
        if len({party.id for party in self.parties}) != len(self.parties):
            raise ValueError("two parties of one name")
        if any(party.group is not None and party.role != "recipient" for party in self.parties):
            raise ValueError("only a recipient belongs to a group")
        holders = {party.id for party in self.parties if party.role in ("escrow", "regulator")}
        if self.escrow is not None and not holders.issuperset(self.escrow.holders()):
            raise ValueError("a share is held by a party of role escrow or regulator")
        relays = sum(party.role == "relay" for party in self.parties)
        if relays > 1 or (relays and self.timing.relay_seconds is None):
            raise ValueError("more than one relay, or one without a time to answer it")
        if len({variant.id for variant in self.variants}) != len(self.variants):
            raise ValueError("two variants of one name")
        if not set(self.scope.variants) <= {variant.id for variant in self.variants}:
            raise ValueError("the scope names an undeclared variant")
        if parse_time(self.access.not_before) >= parse_time(self.access.not_after):
            raise ValueError("access ends before it begins")
        return self

    def party(self, role: PartyRole) -> Party:
        """Return the lab, the auditor or the (only) regulator."""
        return next(party for party in self.parties if party.role == role)

    def relay_key(self) -> EnrolledKey | None:
        """Return the key of the relay both sides named, or None."""
        return next((party.key(KeyUse.RELAY) for party in self.parties if party.role == "relay"), None)

    def lab_key(self, use: KeyUse) -> EnrolledKey:
        """Return the lab's key for `use`."""
        return self.party("lab").key(use)

    def auditor_key(self, use: KeyUse) -> EnrolledKey:
        """Return the auditor's key for `use`."""
        return self.party("auditor").key(use)

    def variant(self, name: str) -> Variant | None:
        """Return the variant of this name, or None."""
        return next((variant for variant in self.variants if variant.id == name), None)

    def signing_keys(self) -> tuple[EnrolledKey, ...]:
        """Return every signing key of both sides, to tell a wrong role from a wrong signature."""
        return tuple(
            party.key(KeyUse(key.use))
            for party in self.parties
            if party.role in ("lab", "auditor")
            for key in party.keys
            if key.use not in ("receive", "log", "cosign")
        )


class Terms(Document):
    """What a lab would agree to with one auditor: its keys, models and limits; signed by the lab."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.terms.v1+json"

    lab: Party
    auditor: Name
    gateway: Sha256
    origin_prefix: Name
    variants: tuple[Variant, ...]
    scope: Scope
    budget: Budget
    fine_tuning: FineTuningGrant | None = Field(default=None, exclude_if=is_none)
    access: Access
    timing: Timing
    runtime: Runtime
    policy: Policy
    clauses: Clauses = Clauses(no_gag=True, safe_harbor=True)
    issued_at: Time
