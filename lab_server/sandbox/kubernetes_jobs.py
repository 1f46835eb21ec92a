"""The provider over Kubernetes Jobs: one pod without network a box, driven over its attach stream.

Tested against a fake API only, never on a cluster. How strong a box is depends on the runtime class; whether it
really is that class is found out from inside, before anything foreign is sent.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.errors import SandboxLost, SandboxUnavailable
from lab_server.sandbox.box import Box, limits_of
from lab_server.sandbox.cage import host_listeners
from lab_server.sandbox.channel import Channel
from lab_server.sandbox.kubernetes_cluster import AttachedLink, Cluster
from lab_server.sandbox.kubernetes_manifests import job, network_policy
from lab_server.sandbox.port import Check, Evidence, Finding, Report, Sandbox, Spec, StreamHandler, Tier

TIERS: Mapping[str | None, Tier] = {None: Tier.PROCESS, "gvisor": Tier.KERNEL}
"""The tier of each runtime class; a lab adds its own, e.g. `{"kata": Tier.VM}`."""

_LOOKS = (
    *("identity", "vsock", "network", "host_loopback", "read_only", "kernel_settings", "processes"),
    *("environment", "descriptors"),
)
_ENFORCED = (
    *("wall_s", "cpu_s", "cpu_cores", "memory_mb", "disk_mb", "files", "exec_output_bytes", "read_bytes"),
    "model_streams",
)
_POD_SECONDS = 120.0


class KubernetesJobs:
    """A `Provider`. `images` maps digests to image references of the registry, pinned by digest.

    `owner` labels what this controller makes: no other may use the name, since `reap` deletes all of it but the
    boxes alive in this process.

    The number of processes is a setting of the kubelet (`podPidsLimit`): said to be degraded.
    """

    name = "kubernetes"

    def __init__(
        self,
        cluster: Cluster,
        images: Mapping[str, str],
        *,
        owner: str,
        runtime_class: str | None = "gvisor",
        tiers: Mapping[str | None, Tier] = TIERS,
    ) -> None:
        self._cluster = cluster
        self._images = images
        self._owner = owner
        self._runtime_class = runtime_class
        self._alive: set[str] = set()
        self.tier = tiers.get(runtime_class, Tier.PROCESS)

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        """Make a box and test it; see `Provider.create`."""
        if not self.tier.reaches(spec.min_tier):
            raise SandboxUnavailable(f"this runtime class gives tier {self.tier}", missing="tier")
        image = self._images.get(spec.image)
        if image is None or "@sha256:" not in image:
            raise SandboxUnavailable("no image of the registry is pinned for this digest", missing="image")
        cage = _Job(self._cluster, f"box-{secrets.token_hex(6)}", self._alive)
        try:
            return await self._create(spec, model, image, cage)
        except BaseException:
            await asyncio.shield(cage.destroy())
            raise

    async def _create(self, spec: Spec, model: StreamHandler | None, image: str, cage: _Job) -> Sandbox:
        policy = network_policy(cage.name, self._owner)
        wanted = job(cage.name, self._owner, image, self._runtime_class, spec.limits)
        try:
            version = await asyncio.to_thread(self._cluster.version)
            await asyncio.to_thread(self._cluster.start, policy, wanted)
            pod = await asyncio.to_thread(self._cluster.running_pod, cage.name, _POD_SECONDS)
            stream = await asyncio.to_thread(self._cluster.attach, pod)
        except SandboxUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the client's own, urllib3's, websocket's; their words may name hosts
            raise SandboxUnavailable(f"the cluster refuses: {type(error).__name__}", missing="cluster") from None
        channel = Channel(AttachedLink(stream), model, spec.limits.model_streams)
        box = Box(cage.name, spec, channel, cage)
        try:
            await box.begin(watch_memory=False)
            with host_listeners() as facts:
                checks = await box.look((*self._own_looks(), *_LOOKS), facts)
            # The names differ from box to box, the policy does not.
            plain = {
                "policy": network_policy("BOX", "OWNER"),
                "job": job("BOX", "OWNER", image, self._runtime_class, spec.limits),
            }
            digest = sha256(canonical_bytes({**plain, "limits": limits_of(spec.limits)}))
            await box.ready(self._evidence(spec, digest, checks, version))
        except (SandboxLost, TimeoutError):
            await channel.close()
            raise SandboxUnavailable("the pod's supervisor does not answer", missing="start") from None
        except BaseException:
            await channel.close()
            raise
        return box

    def _own_looks(self) -> tuple[str, ...]:
        # A runtime class can be missing or lead elsewhere: a kernel that should be gVisor's must say so.
        return ("own_kernel",) if self.tier is Tier.KERNEL else ()

    def _evidence(self, spec: Spec, digest: str, checks: tuple[Check, ...], version: str) -> Evidence:
        return Evidence(
            provider=self.name,
            tier=self.tier,
            versions={"kubernetes": version, "runtime_class": self._runtime_class or "default"},
            image=spec.image,
            policy_digest=digest,
            self_test=checks,
            enforced=_ENFORCED,
            degraded=("pids",),
        )

    async def doctor(self) -> Report:
        """Ask the cluster for its version; a box is made only when one is asked for."""
        try:
            version = await asyncio.to_thread(self._cluster.version)
        except Exception as error:  # noqa: BLE001 - any failure to reach it is the finding
            findings = [Finding("cluster", able=False, found=type(error).__name__)]
        else:
            findings = [Finding("cluster", able=True, found=version)]
        return Report(self.name, self.tier, tuple(findings))

    async def reap(self) -> tuple[str, ...]:
        """Delete the Jobs that earlier processes of this owner left."""
        names = set(await asyncio.to_thread(self._cluster.owned_by, self._owner)) - self._alive
        for name in names:
            await asyncio.to_thread(self._cluster.remove, name)
        return tuple(sorted(names))


class _Job:
    """A `Cage`: the Job and its policy. The cluster counts nothing for us."""

    def __init__(self, cluster: Cluster, name: str, alive: set[str]) -> None:
        self.name = name
        self._alive = alive
        alive.add(name)
        self._cluster = cluster
        self._ending: asyncio.Task[None] | None = None

    def oom_kills(self) -> int:
        """Not known: a pod that runs out of memory is lost as a whole."""
        return 0

    def usage(self) -> tuple[float | None, int | None]:
        """Not known."""
        return None, None

    async def destroy(self) -> None:
        """Delete the Job, its pod and its policy, even when whoever asks is cancelled."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._destroy())
        await asyncio.shield(self._ending)

    async def _destroy(self) -> None:
        with suppress(Exception):  # a cluster that is away ends the Job by its own deadline
            await asyncio.to_thread(self._cluster.remove, self.name)
        self._alive.discard(self.name)
