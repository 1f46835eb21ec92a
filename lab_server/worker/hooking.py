"""Makes the hooks the lab has set up, or says why one is not to be had on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from attestations.documents.hooks import SandboxLimits
from attestations.errors import SafeconductError, SandboxUnavailable
from lab_server.hook_port import HookHandler
from lab_server.hook_settings import HooksSettings, SandboxHookSettings
from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.gvisor import GVisor
from lab_server.sandbox.images import Images, default_folder
from lab_server.sandbox.port import Provider, Report
from lab_server.worker.sandboxes import Sandboxes, SandboxPolicy


class Hooks(NamedTuple):
    """The hooks that can be asked, by operation, and why each of the others is declined."""

    handlers: Mapping[str, HookHandler]
    declined: Mapping[str, str]


async def make_hooks(settings: HooksSettings) -> Hooks:
    """Make every hook that is on; one this machine cannot give is declined with what is missing, never weakened."""
    handlers: dict[str, HookHandler] = {}
    declined = settings.declined()
    if settings.sandbox.state == "on":
        try:
            handlers["sandbox"] = await _sandboxes(settings.sandbox)
        except SafeconductError as error:
            declined["sandbox"] = error.message
    return Hooks(handlers, declined)


async def _sandboxes(settings: SandboxHookSettings) -> Sandboxes:
    images = Images(default_folder())
    provider = _PROVIDERS[settings.provider](images, allow_degraded=settings.degraded)
    await provider.reap()
    report = await provider.doctor()
    if not report.usable:
        raise SandboxUnavailable(f"this machine cannot isolate: {_missing(report)}")
    image = await asyncio.to_thread(images.build, settings.packages)
    most = SandboxLimits(**{name: getattr(settings, name) for name in _LIMITS})
    policy = SandboxPolicy(
        image=image,
        most=most,
        sandboxes=settings.sandboxes,
        idle_seconds=float(settings.idle_seconds),
        degraded=settings.degraded,
    )
    return Sandboxes(provider, policy)


def _missing(report: Report) -> str:
    return ", ".join(finding.name for finding in report.findings if finding.needed and not finding.able)


_PROVIDERS: Mapping[str, Callable[..., Provider]] = {"bubblewrap": Bubblewrap, "gvisor": GVisor}
_LIMITS = (
    *("wall_seconds", "cpu_seconds", "cpu_cores", "memory_mb", "processes", "disk_mb", "files"),
    *("output_bytes", "model_calls"),
)
