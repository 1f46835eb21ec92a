"""What one box holds on this host (its lease, control groups, outermost process), and how all of it goes away."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from attestations.errors import SandboxUnavailable
from lab_server.sandbox import cgroups, leases
from lab_server.sandbox.image_contents import SCAFFOLD
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Check, Finding, Limits, Provider, Spec
from lab_server.sandbox.spawning import Process, spawn

STATE = Path("/run/safeconduct/sandboxes")
UIDS = Path("/run/safeconduct/uids")


class HostCage:
    """A `Cage` made of a lease, control groups where they can be had, and one process that everything descends from."""

    def __init__(
        self,
        lease: leases.Lease,
        parents: cgroups.Parents | None,
        before_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.lease = lease
        self._group = cgroups.Group(f"safeconduct-{lease.name}", parents) if parents is not None else None
        self._process: Process | None = None
        self._ending: asyncio.Task[None] | None = None
        self._last_usage: tuple[float | None, int | None] = (None, None)
        self._before_end = before_end

    @property
    def enforced(self) -> frozenset[str]:
        """The fields of `Limits` that control groups bound."""
        return self._group.enforced if self._group is not None else frozenset()

    @property
    def process(self) -> Process:
        """The outermost process."""
        if self._process is None:
            raise RuntimeError("the box has not been started")
        return self._process

    def confine(self, limits: Limits) -> bool:
        """Note down what is held and make the groups; returns whether the memory of the whole box is bounded."""
        holds: dict[str, Any] = {"groups": self._group.folders if self._group is not None else []}
        if self.lease.identity is not None:
            holds["uid"] = self.lease.identity.uid
        self.lease.note(holds)
        if self._group is None:
            return False
        try:
            self._group.make(limits)
        except OSError as error:
            raise SandboxUnavailable(f"no cgroup can be made: {error.strerror}", missing="cgroup") from None
        return "memory_mb" in self._group.enforced

    async def start(self, command: Sequence[str], pass_fds: Sequence[int] = ()) -> Process:
        """Start the outermost process behind its gate, in the groups and as the lease's user."""
        try:
            self._process = await spawn(command, self.lease.identity, pass_fds)
        except OSError as error:
            raise SandboxUnavailable(f"{command[0]} cannot be started: {error.strerror}", missing="start") from None
        try:
            if self._group is not None:
                self._group.add(self._process.pid)
        except OSError as error:
            raise SandboxUnavailable(f"the cgroup cannot be entered: {error.strerror}", missing="cgroup") from None
        return self._process

    def in_groups(self) -> tuple[Check, ...]:
        """Check that the processes are where the limits are."""
        if self._group is None:
            return ()
        inside = all(self._group.holds(pid) for pid in [self.process.pid, *self.process.children])
        return (Check("host_groups", inside, "held" if inside else "escaped"),)

    def checks(self) -> tuple[Check, ...]:
        """Look at the box from outside: what it says of itself is not all we go by."""
        inner = next(iter(self.process.children), None)
        if inner is None:
            return (Check("host_view", held=False, found="no process"),)
        status = _status(inner)
        uid = self.lease.identity.uid if self.lease.identity is not None else os.geteuid()
        held = status.get("Seccomp") == "2" and int(status.get("CapEff", "1"), 16) == 0
        held = held and status.get("Uid", "").split() == [str(uid)] * 4
        shared = [name for name in ("user", "pid", "net", "mnt", "ipc", "uts") if _same_namespace(inner, name)]
        found = ",".join(shared) or ("separate" if held else "too strong")
        return (Check("host_view", held and not shared, found), *self.in_groups())

    def oom_kills(self) -> int:
        """How many processes the kernel ended for want of memory so far."""
        return self._group.oom_kills() if self._group is not None and self._ending is None else 0

    def usage(self) -> tuple[float | None, int | None]:
        """CPU seconds and peak megabytes, None where nothing counts them."""
        if self._group is not None and self._ending is None:
            self._last_usage = self._group.usage()
        return self._last_usage

    async def destroy(self) -> None:
        """End every process and remove every trace, even when whoever asks is cancelled."""
        if self._ending is None:
            self.usage()
            self._ending = asyncio.create_task(self._destroy())
        await asyncio.shield(self._ending)

    async def _destroy(self) -> None:
        if self._process is not None:
            await self._process.close()
            if self._before_end is not None:
                await self._before_end()
            await self._process.end(0.5)
        if self._group is not None:
            await self._group.remove()
        self.lease.release()


def said_version(program: str, pattern: str) -> str:
    """Return what of `program --version` matches; empty when it does not run within 20 seconds."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, env={}, timeout=20)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(pattern, said.stdout)
    return found[0] if found else ""


def memory_finding(parents: cgroups.Parents | None, otherwise: str, *, needed: bool) -> Finding:
    """Tell what bounds the memory of a whole box; `otherwise` says what becomes of it where no group can be made."""
    words = f"cgroup v{parents.version}" if parents is not None else f"no cgroup that may be written: {otherwise}"
    return Finding("memory of the whole box", parents is not None, words, needed=needed)


def require(provider: Provider, spec: Spec, findings: Sequence[Finding]) -> None:
    """Refuse a box that would be weaker than what is asked for.

    Raises:
        SandboxUnavailable: with the fact `missing`, `tier` or the name of a finding.
    """
    if not provider.tier.reaches(spec.min_tier):
        raise SandboxUnavailable(f"{provider.name} gives tier {provider.tier}, not {spec.min_tier}", missing="tier")
    for finding in findings:
        if finding.needed and not finding.able:
            raise SandboxUnavailable(f"{finding.name}: {finding.found}", missing=finding.name)


def default_state() -> Path:
    """Return where the boxes of this user are noted down."""
    if os.geteuid() == 0:
        return STATE
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or f"/tmp/safeconduct-{os.geteuid()}") / "safeconduct-sandboxes"  # noqa: S108


class host_listeners:  # noqa: N801 - used as a function, in a with statement
    """Listens where a box with the host's network would reach it, for the time of a self-test."""

    def __enter__(self) -> dict[str, Any]:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._unix = socket.socket(socket.AF_UNIX)
        name = f"safeconduct-{secrets.token_hex(8)}"
        self._unix.bind("\0" + name)
        self._unix.listen()
        return {"port": self._tcp.getsockname()[1], "abstract": name}

    def __exit__(self, *_: object) -> None:
        self._tcp.close()
        self._unix.close()


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _same_namespace(pid: int, name: str) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/{name}").readlink() == Path(f"/proc/self/ns/{name}").readlink()
    except OSError:
        return False  # not ours to look at without root; the box has looked from inside


async def reap(
    state: Path, *, uids: Path | None = None, before: Callable[[Path], Awaitable[None]] | None = None
) -> tuple[str, ...]:
    """Remove what dead launchers left in `state`: processes, groups, folders; returns the boxes' names."""
    names = []
    for held, holds in leases.abandoned(state):
        if before is not None:
            await before(held.folder)
        groups = [str(folder) for folder in holds.get("groups", [])]
        cgroups.kill_all(groups)
        if holds.get("uid") and uids is not None:
            leases.end_processes_of(holds["uid"], uids)
        await cgroups.remove_all(groups)
        held.release()
        names.append(held.name)
    return tuple(names)


async def try_box(provider: Provider, images: Images) -> list[Finding]:
    """Make a box on this machine's own image and tell what it enforces."""
    try:
        image = await asyncio.to_thread(images.build, SCAFFOLD)
        box = await provider.create(Spec(image, limits=Limits(wall_s=60)), None)
    except SandboxUnavailable as error:
        return [Finding("self-test", able=False, found=error.message)]
    seen = box.evidence
    found = [Finding("self-test", able=True, found=f"{len(seen.self_test)} checks hold")]
    found += [Finding(f"limit {name}", able=True, found="enforced", needed=False) for name in seen.enforced]
    found += [Finding(f"limit {name}", able=False, found="not enforced", needed=False) for name in seen.degraded]
    await box.close()
    return found
