"""What a hook states in the Record of each of its exchanges: what was enforced or done, and never any content.

`docs/spec/hooks.md` is the normative page.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from attestations.canonical import parse_canonical
from attestations.digests import Sha256
from attestations.documents.base import Decimal, Name, Part, validated
from attestations.documents.finetuning import TrainingStatement

Tier = Literal["none", "process", "kernel", "vm"]
"""How strong the wall around a sandbox is; `none` is for tests of our own code."""

TIERS: tuple[Tier, ...] = ("none", "process", "kernel", "vm")
"""From the weakest to the strongest."""

SandboxSeconds = Annotated[int, Field(ge=1, le=86_400)]
MemoryMb = Annotated[int, Field(ge=16, le=1_048_576)]
Processes = Annotated[int, Field(ge=1, le=65_536)]
DiskMb = Annotated[int, Field(ge=1, le=1_048_576)]
Files = Annotated[int, Field(ge=1, le=10_000_000)]
OutputBytes = Annotated[int, Field(ge=1, le=1 << 30)]
ModelCallCount = Annotated[int, Field(ge=0, le=1_000_000)]

SandboxState = Literal["OPEN", "CLOSED", "LOST"]


class SandboxLimits(Part):
    """What a sandbox may use in all; sizes in MiB or bytes, times in seconds."""

    wall_seconds: SandboxSeconds = 600
    cpu_seconds: SandboxSeconds = 600
    cpu_cores: Decimal = "1"
    memory_mb: MemoryMb = 512
    processes: Processes = 256
    disk_mb: DiskMb = 256
    files: Files = 4096
    output_bytes: OutputBytes = 1 << 20
    model_calls: ModelCallCount = 1000
    model_streams: int = Field(default=64, ge=1, le=1024)
    model_body_bytes: int = Field(default=1 << 20, ge=1024, le=1 << 20)


class SandboxStatement(Part):
    """Which sandbox one exchange ran in: the policy that was enforced, by digest, and how things stood afterwards.

    `self_test` is the digest of what the sandbox was found to enforce before any foreign code ran in it; `degraded`
    names the limits that could not be enforced.
    """

    hook: Literal["sandbox"] = "sandbox"
    sandbox: Name
    state: SandboxState
    tier: Tier
    provider: Name
    version: Name
    image: Sha256
    policy: Sha256
    self_test: Sha256
    limits: SandboxLimits
    degraded: tuple[Name, ...] = Field(default=(), max_length=16)
    model_calls: int = Field(default=0, ge=0)


HookStatement: TypeAlias = Annotated[SandboxStatement | TrainingStatement, Field(discriminator="hook")]


class _Stated(Part):
    statement: HookStatement


def parse_statement(data: bytes) -> HookStatement:
    """Read a statement from its canonical JSON.

    Raises:
        MalformedEnvelope, UnknownCriticalField, NonCanonicalDocument: it is not one.
    """
    return validated(_Stated, {"statement": parse_canonical(data)}).statement
