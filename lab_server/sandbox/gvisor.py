"""The provider over gVisor's `runsc`: an OCI bundle with a kernel of its own in user space (tier `kernel`)."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.errors import SandboxLost, SandboxUnavailable
from lab_server.sandbox import cage as cages, cgroups, leases
from lab_server.sandbox.box import SUPERVISOR, Box, limits_of
from lab_server.sandbox.cage import HostCage, default_state, host_listeners, said_version
from lab_server.sandbox.channel import Channel
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Check, Evidence, Finding, Limits, Report, Sandbox, Spec, StreamHandler, Tier

LOOKS = (
    *("own_kernel", "identity", "vsock", "network", "host_loopback", "read_only", "kernel_settings", "processes"),
    *("environment", "descriptors"),
)
_UID = 1000
_KERNEL_PIDS = 128  # threads that gVisor's kernel needs for itself on the host
_KERNEL_MB = 128  # memory likewise
_ALWAYS = ("wall_s", "cpu_s", "disk_mb", "files", "exec_output_bytes", "read_bytes", "model_streams")
_NEEDS_GROUP = ("memory_mb", "pids", "cpu_cores")


class GVisor:
    """A `Provider`. A box whose limit of memory or processes is reached dies as a whole (`SandboxLost`)."""

    name = "gvisor"
    tier = Tier.KERNEL

    def __init__(
        self, images: Images, *, state: Path | None = None, platform: str | None = None, allow_degraded: bool = False
    ) -> None:
        self._images = images
        self._state = (state or default_state()) / "gvisor"
        self._runsc = shutil.which("runsc", path="/usr/local/bin:/usr/bin:/bin")
        self._version = said_version(self._runsc, r"(?<=version )\S+") if self._runsc is not None else ""
        self._platform = platform
        self._allow_degraded = allow_degraded
        self._parents = cgroups.find_parents()

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        """Make a box and test it; see `Provider.create`."""
        cages.require(self, spec, self._findings())
        image = await asyncio.to_thread(self._images.find, spec.image)
        held = leases.lease(self._state, None)
        cage = HostCage(held, self._parents, lambda: self._delete(held.folder))
        try:
            return await self._create(spec, model, image, cage)
        except BaseException:
            await asyncio.shield(cage.destroy())
            raise

    async def _create(self, spec: Spec, model: StreamHandler | None, image: Path, cage: HostCage) -> Sandbox:
        cage.confine(_with_kernel(spec.limits))
        folder = cage.lease.folder
        bundle = self._bundle(image, spec.limits)
        (folder / "config.json").write_text(json.dumps(bundle))
        process = await cage.start([*self._base(folder), "run", "--bundle", str(folder), folder.name])
        process.open_gate()
        channel = Channel(process, model, spec.limits.model_streams)
        box = Box(folder.name, spec, channel, cage)
        try:
            await box.begin(watch_memory=False)
            with host_listeners() as facts:
                checks = await box.look(LOOKS, facts)
            await box.ready(self._evidence(spec, bundle, (*checks, *cage.in_groups()), cage))
        except (SandboxLost, TimeoutError):
            said = await process.errors()
            await channel.close()
            raise SandboxUnavailable(f"runsc could not make the sandbox: {said[-500:]}", missing="start") from None
        except BaseException:
            await channel.close()
            raise
        return box

    def _base(self, folder: Path) -> list[str]:
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        chosen = [f"--platform={self._platform}"] if self._platform is not None else []
        # Groups are ours: whatever runsc starts inherits them.
        return [
            self._runsc or "runsc",
            f"--root={folder / 'runsc'}",
            "--network=none",
            "--ignore-cgroups",
            *rootless,
            *chosen,
        ]

    def _bundle(self, image: Path, limits: Limits) -> dict[str, Any]:
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(image), "readonly": True},
            "hostname": "sandbox",
            "process": {
                "terminal": False,
                "user": {"uid": _UID, "gid": _UID},
                "args": list(SUPERVISOR),
                "env": [],
                "cwd": "/",
                "noNewPrivileges": True,
                "capabilities": {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")},
                "rlimits": [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}],
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                _scratch("/dev/shm", 16, 0o1777),  # noqa: S108
                _scratch("/tmp", 64, 0o1777),  # noqa: S108
                _scratch("/run", 1, 0o755),
                _scratch("/box", limits.disk_mb, 0o1777),
            ],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")]},
        }

    def _evidence(self, spec: Spec, bundle: dict[str, Any], checks: tuple[Check, ...], cage: HostCage) -> Evidence:
        written = {**bundle, "root": {"path": "IMAGE", "readonly": True}}
        options = [word for word in self._base(Path("FOLDER"))[1:] if not word.startswith("--root")]
        policy = {"bundle": written, "options": options, "image": spec.image, "limits": limits_of(spec.limits)}
        return Evidence(
            provider=self.name,
            tier=self.tier,
            versions={"runsc": self._version, "kernel": platform.release(), "machine": platform.machine()},
            image=spec.image,
            policy_digest=sha256(canonical_bytes(policy)),
            self_test=checks,
            enforced=tuple(sorted({*_ALWAYS, *cage.enforced})),
            degraded=tuple(name for name in _NEEDS_GROUP if name not in cage.enforced),
        )

    async def _delete(self, folder: Path) -> None:
        # Killed launchers leave whole gVisor sandboxes behind, unlike bubblewrap's.
        await asyncio.to_thread(self._run_delete, folder)

    def _run_delete(self, folder: Path) -> None:
        command = [*self._base(folder), "delete", "--force", folder.name]
        subprocess.run(command, check=False, capture_output=True, env={}, timeout=20)  # noqa: S603

    def _findings(self) -> list[Finding]:
        return [
            Finding("runsc", self._runsc is not None, self._version or "install gVisor's runsc"),
            cages.memory_finding(self._parents, "not bounded", needed=not self._allow_degraded),
        ]

    async def doctor(self) -> Report:
        """Find out what this machine can enforce, by making a box when all it needs is there."""
        findings = self._findings()
        if all(finding.able for finding in findings if finding.needed):
            findings += await cages.try_box(self, self._images)
        return Report(self.name, self.tier, tuple(findings))

    async def reap(self) -> tuple[str, ...]:
        """Remove what dead launchers left: sandboxes, groups, folders."""
        return await cages.reap(self._state, before=self._delete)


def _with_kernel(limits: Limits) -> Limits:
    more = {"memory_mb": limits.memory_mb + _KERNEL_MB, "pids": limits.pids + _KERNEL_PIDS}
    return Limits(**{**vars(limits), **more})


def _scratch(place: str, size_mb: int, mode: int) -> dict[str, Any]:
    options = ["nosuid", "nodev", f"mode={mode:o}", f"size={size_mb << 20}"]
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": options}
