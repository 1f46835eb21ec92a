"""The port behind which every sandbox stands: one box for one run of foreign code (`docs/spec/sandbox.md`).

There is no network, mount or host path in this interface. A box talks to a model over byte streams that its
programs open to 127.0.0.1:8080 inside, and files enter and leave by `write` and `read` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from attestations.canonical import canonical_bytes
from attestations.digests import sha256

MODEL_ADDRESS = ("127.0.0.1", 8080)
"""Where programs in a box find the model."""

HOME = "/box"
"""The folder in a box that its programs may write; relative paths start here."""


class Tier(StrEnum):
    """How strong the wall is; each value is stronger than those before it.

    `none` is a bare subprocess (tests of our own code only), `process` shares the host's kernel behind
    namespaces and filters, `kernel` has a kernel of its own in user space (gVisor), `vm` has its own machine.
    """

    NONE = "none"
    PROCESS = "process"
    KERNEL = "kernel"
    VM = "vm"

    def reaches(self, minimum: Tier) -> bool:
        """Tell whether this tier is at least `minimum`."""
        order = list(Tier)
        return order.index(self) >= order.index(minimum)


@dataclass(frozen=True)
class Limits:
    """What one box may use, all its programs together; times in seconds.

    `wall_s` is for the box's whole life. `exec_output_bytes` is of stdout and stderr together for one program.
    `files` is how many files and folders may exist at a time. Files count towards `memory_mb` as well.
    """

    wall_s: float = 600.0
    cpu_s: int = 600
    cpu_cores: float = 1.0
    memory_mb: int = 512
    pids: int = 256
    disk_mb: int = 256
    files: int = 4096
    exec_output_bytes: int = 1 << 20
    read_bytes: int = 16 << 20
    model_streams: int = 64


@dataclass(frozen=True, repr=False)
class Input:
    """A file placed in the box before any foreign code runs."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True)
class Spec:
    """What is asked of a provider.

    `image` is the digest of the file system to run on (64 hex digits), never a tag. `inputs` maps paths
    relative to `HOME` to files. `env` is the programs' complete environment but for PATH, HOME, TMPDIR and LANG, which
    the box sets where they are missing; nothing is inherited.
    """

    image: str
    inputs: Mapping[str, Input] = field(default_factory=dict, repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = Limits()
    min_tier: Tier = Tier.PROCESS


EndReason: TypeAlias = Literal["exited", "timeout", "output_limit", "file_limit", "oom", "killed"]


@dataclass(frozen=True, repr=False)
class ExecResult:
    """How one program ended.

    `rc` is its exit code and `signal` the signal that ended it (one of them is None). Output beyond the limit is
    cut, `truncated` says so. `cpu_s` and `peak_mb` are of the program and the children it waited for.
    """

    rc: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    reason: EndReason
    truncated: bool
    wall_s: float
    cpu_s: float | None
    peak_mb: int | None


@dataclass(frozen=True)
class Check:
    """One item of a self-test: what was looked at, whether it held, and what was found (never content)."""

    name: str
    held: bool
    found: str


@dataclass(frozen=True)
class Evidence:
    """What a provider enforced for one box, in words that may be signed.

    `policy_digest` is of the provider's whole policy: command, system-call filter, limits, image. `enforced` and
    `degraded` name fields of `Limits`; a degraded one is watched or bounded for each process only.
    """

    provider: str
    tier: Tier
    versions: Mapping[str, str]
    image: str
    policy_digest: str
    self_test: tuple[Check, ...]
    enforced: tuple[str, ...]
    degraded: tuple[str, ...]

    @property
    def self_test_digest(self) -> str:
        """SHA-256 over the canonical JSON list of the checks, 64 hex digits."""
        checks = [{"name": check.name, "held": check.held, "found": check.found} for check in self.self_test]
        return sha256(canonical_bytes(checks))


@dataclass(frozen=True)
class Usage:
    """What a box used in its whole life; None where the machine does not count it."""

    wall_s: float
    cpu_s: float | None
    peak_mb: int | None
    execs: int
    output_bytes: int
    model_streams: int


class ByteStream(Protocol):
    """One connection that a program in the box opened to `MODEL_ADDRESS`; its bytes come from hostile code."""

    async def read(self, limit: int) -> bytes:
        """Return the next bytes, at most `limit`; empty at the end of what the program sends.

        Raises:
            SandboxLost: the box is gone.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the program does not read.

        Raises:
            ConnectionError: the program closed the connection.
            SandboxLost: the box is gone.
        """
        ...

    async def close(self) -> None:
        """End the connection in both directions; harmless when repeated."""
        ...


StreamHandler: TypeAlias = Callable[[ByteStream], Awaitable[None]]
"""Serves one connection; it is closed when the handler returns or raises, and the handler is cancelled with its box."""


class Sandbox(Protocol):
    """One box, alive until `close`; several programs may run in it at once."""

    @property
    def id(self) -> str:
        """A name that no other box on this machine has."""
        ...

    @property
    def evidence(self) -> Evidence:
        """What was enforced and tested."""
        ...

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = HOME,
        env: Mapping[str, str] | None = None,
        timeout: float,  # noqa: ASYNC109 - the box enforces it, not this task
        kill_stragglers: bool = False,
    ) -> ExecResult:
        """Run one program to its end; `env` is added to the box's, `timeout` is in seconds.

        A program that is ended (timeout, output) takes its children along. One that exits by itself may leave
        some behind, unless `kill_stragglers` ends all that no other running program has started. A cancelled call
        ends its program.

        Raises:
            SandboxLost: the box died or broke the protocol.
            SandboxLimit: the box's time is over.
        """
        ...

    async def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Write a regular file, making its folders; `path` is resolved inside the box.

        Raises:
            SandboxFileRefused: with the fact `rule`.
            SandboxLost, SandboxLimit: as for `exec`.
        """
        ...

    async def read(self, path: str, *, max_bytes: int) -> bytes:
        """Return the bytes of a regular file, resolved inside the box; never more than `Limits.read_bytes`.

        Raises:
            SandboxFileRefused: with the fact `rule` (missing, kind, size, denied).
            SandboxLost, SandboxLimit: as for `exec`.
        """
        ...

    async def close(self) -> Usage:
        """End everything in the box; returns after its last process is gone. Harmless when repeated."""
        ...


@dataclass(frozen=True)
class Finding:
    """One line of a provider's report: what it needs or enforces, whether this machine gives it, and why not."""

    name: str
    able: bool
    found: str
    needed: bool = True


@dataclass(frozen=True)
class Report:
    """What one provider can do on this machine; `findings` are measured, not assumed."""

    provider: str
    tier: Tier
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether everything the provider cannot do without is there."""
        return all(finding.able for finding in self.findings if finding.needed)


class Provider(Protocol):
    """Makes boxes of one kind."""

    @property
    def name(self) -> str:
        """The provider's name, e.g. `bubblewrap`."""
        ...

    @property
    def tier(self) -> Tier:
        """How strong its boxes are."""
        ...

    async def doctor(self) -> Report:
        """Find out what this machine can enforce."""
        ...

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        """Make a box, test it from inside, and put the inputs in; without `model` nothing listens at `MODEL_ADDRESS`.

        Raises:
            SandboxUnavailable: with the fact `missing`: what this machine lacks, or the check that did not hold.
        """
        ...

    async def reap(self) -> tuple[str, ...]:
        """Remove what launchers that died have left behind, and name it."""
        ...
