"""What one pass over the log establishes: the facts that later steps rest on, and each step's first error."""

from __future__ import annotations

from dataclasses import dataclass, field

from attestations.documents.agreement import Agreement, Party
from attestations.documents.engagement import (
    CloseStatement,
    GradeCommitment,
    PackageManifest,
    PreRegistration,
    Release,
    RuntimeStatement,
)
from attestations.elicitation.course import Course
from attestations.elicitation.hooks import HookBook
from attestations.errors import SafeconductError
from attestations.ledger import Ledger
from attestations.policy.evaluate import Seen, State
from attestations.verify.drawing import Drawing
from attestations.verify.escrow_log import EscrowLog
from attestations.verify.exchanges import ExchangePass
from attestations.verify.revising import Revisions
from attestations.verify.steps import Step
from attestations.verify.training import Destructions


@dataclass(frozen=True)
class LoggedRelease:
    """A release and what the log says about when it was made."""

    document: Release
    index: int
    logged_at: str
    root: bytes  # of the log before this leaf
    events_before: tuple[Seen, ...]
    agreement: Agreement  # in force at this leaf
    permission: State  # of its policy, when the release was made
    limit: frozenset[int] | None = None  # the only tasks it may open, where nothing but an emergency permits it


@dataclass
class Transcript:
    """What one pass over the log established, and the first error of each step."""

    exchanges: ExchangePass
    ledger: Ledger
    revisions: Revisions
    size: int = 0
    root: bytes = b""
    registration: PreRegistration | None = None
    registration_digest: str | None = None
    registration_index: int = 0
    runtimes: dict[str, RuntimeStatement] = field(default_factory=dict)
    test_begins: int | None = None  # the number of the first Promise of TEST
    close: CloseStatement | None = None
    close_digest: str | None = None
    grades: GradeCommitment | None = None
    grades_index: int | None = None
    manifest: PackageManifest | None = None
    manifest_digest: str | None = None
    delivered: bool = False
    escrow: EscrowLog = field(default_factory=EscrowLog)
    destructions: Destructions = field(default_factory=Destructions)
    releases: list[LoggedRelease] = field(default_factory=list)
    stated: dict[str, str] = field(default_factory=dict)  # role -> when it last signed with its agreement key
    parties: dict[str, Party] = field(default_factory=dict)  # others than lab and auditor that stated something
    roots: dict[int, bytes] = field(default_factory=dict)  # roots of every size from the close on
    drawing: Drawing = field(default_factory=Drawing)
    errors: dict[Step, SafeconductError] = field(default_factory=dict)
    broken: bool = False  # the leaves could not be followed to the end

    @property
    def events(self) -> list[Seen]:
        """The events that count for the policy, in order."""
        return self.ledger.events

    @property
    def course(self) -> Course:
        """What the log says of elicitation."""
        return self.ledger.elicitation

    @property
    def hooks(self) -> HookBook:
        """What the log says of the lab's hooks."""
        return self.exchanges.hooks

    @property
    def last_time(self) -> str | None:
        """The lab's time of the last leaf that was followed."""
        return self.exchanges.last_time

    @property
    def agreement(self) -> Agreement:
        """The agreement in force where the reading has come to: as last amended."""
        return self.revisions.in_force.agreement
