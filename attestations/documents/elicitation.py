"""The signed documents around elicitation: DEV disclosed, the lab's pack or its refusal, and the start of TEST.

All but the pack itself stand in the log as leaves of kind `statement` (`docs/spec/elicitation.md`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from attestations.digests import Sha256
from attestations.documents.base import Base64, Document, Hidden, Name, Part, Time
from attestations.documents.dialogue import Text
from attestations.documents.disclosing import Plain
from attestations.scaffolds.method import MAX_ARMS, Method

Recipe = Annotated[str, StringConstraints(max_length=20_000)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=2000)]

Dropped = Literal["pack_declined", "pack_missing", "pack_broken", "hook_refused", "hook_failed", "given_up"]
"""Why a registered arm is not run."""


class DevDisclosure(Document):
    """The auditor opens exactly the DEV tasks to the lab. Signed by the auditor's publication key.

    `file` is the digest of the file handed over; `tasks` is how many it opens.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.dev-disclosure.v1+json"

    agreement: Sha256
    file: Sha256
    tasks: int = Field(ge=1, le=1_048_576)
    disclosed_at: Time


class ElicitationPack(Hidden, Document):
    """How the lab would elicit its model. Signed by the lab's agreement key; only its digest stands in the log.

    `nonce` is 32 random bytes, so that the digest tells nothing about a pack one could guess. `tokens` are special
    tokens and passwords that change what the model does.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.elicitation-pack.v1+json"

    agreement: Sha256
    nonce: Base64
    variant: Name | None = None
    method: Method
    fine_tuning: Recipe | None = None
    failure_modes: tuple[Plain, ...] = Field(default=(), max_length=64)
    tokens: tuple[Token, ...] = Field(default=(), max_length=256)
    notes: Text | None = None
    made_at: Time


class PackAnswer(Document):
    """The lab's answer to the disclosed DEV tasks: a pack, by its digest, or a refusal. Signed by its agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.pack-answer.v1+json"

    agreement: Sha256
    status: Literal["provided", "declined"]
    pack: Sha256 | None
    reason: Plain | None
    stated_at: Time

    @model_validator(mode="after")
    def _says_one_thing(self) -> PackAnswer:
        if (self.pack is not None, self.reason is not None) != (self.status == "provided", self.status == "declined"):
            raise ValueError("a pack is provided by its digest, or declined with a reason")
        return self


class StartedArm(Part):
    """A registered arm and the variant it asks, or why it is not run."""

    id: Name
    variant: Name | None
    dropped: Dropped | None

    @model_validator(mode="after")
    def _runs_or_not(self) -> StartedArm:
        if (self.variant is None) != (self.dropped is not None):
            raise ValueError("an arm asks a variant, or is dropped for a reason")
        return self


class RunStart(Document):
    """DEV is over: from here on TEST is asked, once in every arm that runs. Signed by the auditor's publication key.

    `arms` holds every registered arm, in the registered order.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.run-start.v1+json"

    agreement: Sha256
    arms: tuple[StartedArm, ...] = Field(min_length=1, max_length=MAX_ARMS)
    started_at: Time
