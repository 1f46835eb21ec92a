"""Fine-tuning under contract: what an auditor asks for, what it is told, and what the lab signs about it.

Requests and results travel sealed, as those of every exchange; the statement stands in the Record and holds no
content. `docs/spec/finetuning.md` is the normative page.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from decimal import Decimal as Exact
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from attestations.canonical import canonical_bytes
from attestations.digests import Sha256, lp, sha256
from attestations.documents.agreement import Variant
from attestations.documents.base import Base64, Count, Decimal, Document, Hidden, Name, Part, Time, decode
from attestations.documents.dialogue import MAX_MESSAGES, Message, Text
from attestations.errors import WeakSalt
from attestations.merkle import leaf_hash, merkle_root

SALT_BYTES = 32
MAX_DEMONSTRATIONS = 4096
MAX_LOSSES = 1000
MAX_WAIT_SECONDS = 60
HIGHEST_RATE = Exact("0.1")

JobState = Literal["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "ABORTED_CRASH"]
ENDED: frozenset[str] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "ABORTED_CRASH"})


def _rate(text: str) -> str:
    if not 0 < Exact(text) <= HIGHEST_RATE:
        raise ValueError("a learning rate lies above 0 and is at most 0.1")
    return text


class Recipe(Part):
    """How to train: LoRA, with every number capped, so that no request costs without bound.

    `max_tokens` is the longest demonstration; a longer one fails the job, because cutting it would train on
    something the auditor did not write.
    """

    method: Literal["lora"] = "lora"
    targets: Literal["attention", "all_linear"] = "all_linear"
    rank: int = Field(default=8, ge=1, le=64)
    alpha: int = Field(default=16, ge=1, le=256)
    epochs: int = Field(default=3, ge=1, le=100)
    learning_rate: Annotated[Decimal, AfterValidator(_rate)] = "0.001"
    batch: int = Field(default=4, ge=1, le=64)
    max_tokens: int = Field(default=512, ge=8, le=4096)


class Demonstration(Hidden, Part):
    """One right answer: a conversation's or a plain prompt's completion; only the completion is trained on."""

    messages: tuple[Message, ...] = Field(default=(), max_length=MAX_MESSAGES)
    prompt: Text | None = None
    completion: Text = Field(min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> Demonstration:
        if bool(self.messages) == (self.prompt is not None):
            raise ValueError("a demonstration holds either messages or a prompt")
        return self


class StartTraining(Hidden, Part):
    """Begin a job; `salt` is 32 random bytes under which the demonstrations are committed to."""

    do: Literal["start"] = "start"
    recipe: Recipe
    demonstrations: tuple[Demonstration, ...] = Field(min_length=1, max_length=MAX_DEMONSTRATIONS)
    salt: Base64


class WaitTraining(Part):
    """Ask how a job stands, and wait up to `seconds` for it to end."""

    do: Literal["wait"] = "wait"
    job: Name
    seconds: int = Field(default=0, ge=0, le=MAX_WAIT_SECONDS)


class CancelTraining(Part):
    """End a job and keep nothing of it."""

    do: Literal["cancel"] = "cancel"
    job: Name


class FineTuneRequest(Hidden, Document):
    """What an exchange of the operation `fine_tune` asks; its Intent names the variant to train from."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.fine-tune-request.v1+json"

    operation: Literal["fine_tune"] = "fine_tune"
    action: Annotated[StartTraining | WaitTraining | CancelTraining, Field(discriminator="do")]


class LossPoint(Part):
    """The mean training loss over the optimizer steps since the point before, up to `step`."""

    step: int = Field(ge=1)
    loss: Decimal


class TrainingStatement(Part):
    """What the lab signs about a job in the Record of each exchange about it; nothing here is content.

    `planned_tokens` are charged against the agreement when the job starts. `losses` is the digest of the loss
    curve the auditor is given, `adapter` that of the trained file, `manifest` the identity of the derived model.
    """

    hook: Literal["fine_tune"] = "fine_tune"
    job: Name
    state: JobState
    code: Name | None = None
    base: Name
    base_manifest: Sha256
    demonstrations: Sha256
    count: int = Field(ge=1, le=MAX_DEMONSTRATIONS)
    recipe: Recipe
    trainer: Name
    planned_steps: int = Field(ge=0)
    planned_tokens: Count
    steps: int = Field(ge=0)
    tokens: Count
    seconds: Decimal
    resumed: int = Field(ge=0)
    losses: Sha256 | None = None
    adapter: Sha256 | None = None
    manifest: Sha256 | None = None

    @model_validator(mode="after")
    def _a_model_only_of_success(self) -> TrainingStatement:
        made = self.state == "SUCCEEDED"
        if any((value is not None) != made for value in (self.losses, self.adapter, self.manifest)):
            raise ValueError("exactly a job that SUCCEEDED has a loss curve, an adapter and a model")
        if (self.code is not None) != (self.state in ("FAILED", "ABORTED_CRASH")):
            raise ValueError("exactly a job that failed says why")
        return self


class FineTuneResult(Hidden, Document):
    """What the auditor is told: the job, how it stands, and its losses so far."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.fine-tune-result.v1+json"

    operation: Literal["fine_tune"] = "fine_tune"
    statement: TrainingStatement
    losses: tuple[LossPoint, ...] = Field(default=(), max_length=MAX_LOSSES)


class VariantDestroyed(Document):
    """The lab has destroyed what a job made. Signed by the record key, logged once the run is closed."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.variant-destroyed.v1+json"

    agreement: Sha256
    variant: Name
    job: Name
    adapter: Sha256
    manifest: Sha256
    destroyed_at: Time


def job_name(plaintext_commit: str) -> str:
    """Return the name of the job that an Intent with this commitment starts; nobody can choose it."""
    return f"ft-{plaintext_commit[:16]}"


def variant_name(base: str, job: str) -> str:
    """Return the name under which Intents ask for what a job made."""
    return f"{base}+{job}"


def derived_manifest(base_manifest: str, adapter: str) -> str:
    """Return the identity of a base model under an adapter file, both given by their digests."""
    return sha256(b"safeconduct/v1 derived model\0" + bytes.fromhex(base_manifest) + bytes.fromhex(adapter))


def derived_variant(base: Variant, statement: TrainingStatement) -> Variant:
    """Return the variant that a job which SUCCEEDED has made of `base`.

    Raises:
        ValueError: the job has made nothing.
    """
    if statement.manifest is None:
        raise ValueError("a job that has not succeeded has made no variant")
    return Variant(
        id=variant_name(statement.base, statement.job),
        kind="custom",
        parent=base.id,
        manifest=statement.manifest,
        template=base.template,
    )


def demonstrations_root(demonstrations: Sequence[Demonstration], salt: bytes) -> str:
    """Return the salted Merkle root over demonstrations, one leaf each, so that one may be opened alone.

    Raises:
        WeakSalt: the salt is not 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise WeakSalt("a salt that is not 32 bytes")
    return merkle_root(leaf_hash(_leaf(item, salt, number)) for number, item in enumerate(demonstrations)).hex()


def losses_digest(losses: Sequence[LossPoint], salt: bytes) -> str:
    """Return the salted digest of a loss curve; a curve alone could tell how hard the demonstrations were."""
    curve = canonical_bytes([point.json_value() for point in losses])
    return sha256(b"safeconduct/v1 losses\0" + lp(salt) + hashlib.sha256(curve).digest())


def start_root(action: StartTraining) -> str:
    """Return the root that the statements about a job must carry."""
    return demonstrations_root(action.demonstrations, decode(action.salt))


def _leaf(item: Demonstration, salt: bytes, number: int) -> bytes:
    own = hmac.digest(salt, b"safeconduct/v1 demonstration" + number.to_bytes(8, "big"), "sha256")
    return own + hashlib.sha256(canonical_bytes(item.json_value())).digest()
