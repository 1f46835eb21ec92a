"""Speaks to a cluster's API through the `kubernetes` package: objects in, the attach stream out.

The controller's account needs create, list and delete of Jobs, pods and network policies, and create of pods/attach,
in one namespace.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from contextlib import suppress
from typing import Any

from attestations.errors import SandboxUnavailable
from lab_server.sandbox.kubernetes_manifests import LABEL, OWNER

_HIGH_WATER = 256 << 10
_CHUNKS = 64
_STDOUT = 1


class Cluster:
    """One namespace of a cluster; `configuration` is a `kubernetes.client.Configuration`, None for the usual places."""

    def __init__(self, namespace: str, configuration: Any = None) -> None:
        try:
            from kubernetes import client, config  # noqa: PLC0415 - a large optional package
        except ImportError:
            raise SandboxUnavailable("install safeconduct[kubernetes]", missing="kubernetes") from None
        if configuration is None:
            configuration = client.Configuration()
            try:
                config.load_config(client_configuration=configuration)
            except config.ConfigException:
                raise SandboxUnavailable("no cluster is configured here", missing="cluster") from None
        self.namespace = namespace
        self._configuration = configuration
        self._api: Any = client.ApiClient(configuration)
        self._core: Any = client.CoreV1Api(self._api)
        self._batch: Any = client.BatchV1Api(self._api)
        self._network: Any = client.NetworkingV1Api(self._api)

    def version(self) -> str:
        """Return the server's version."""
        from kubernetes import client  # noqa: PLC0415

        return str(client.VersionApi(self._api).get_code().git_version)

    def start(self, policy: dict[str, Any], job: dict[str, Any]) -> None:
        """Make the policy, and only then the Job."""
        self._network.create_namespaced_network_policy(self.namespace, policy)
        self._batch.create_namespaced_job(self.namespace, job)

    def running_pod(self, name: str, seconds: float) -> str:
        """Wait for the Job's pod to run and return its name.

        Raises:
            SandboxUnavailable: it does not run in time, or has failed.
        """
        deadline = time.monotonic() + seconds
        phase = "missing"
        while time.monotonic() < deadline:
            pods = self._core.list_namespaced_pod(self.namespace, label_selector=f"{LABEL}={name}").items
            if pods:
                phase = pods[0].status.phase
                if phase == "Running":
                    return str(pods[0].metadata.name)
                if phase in ("Failed", "Succeeded"):
                    break
            time.sleep(0.05)
        raise SandboxUnavailable(f"the pod does not run: {phase}", missing="pod")

    def attach(self, pod: str) -> Any:
        """Open the attach stream of a pod."""
        from kubernetes import client, stream  # noqa: PLC0415

        # A client of its own: `stream` changes how its client makes requests.
        core = client.CoreV1Api(client.ApiClient(self._configuration))
        options = {"container": "box", "stdin": True, "stdout": True, "stderr": True, "tty": False}
        return stream.stream(
            core.connect_get_namespaced_pod_attach, pod, self.namespace, _preload_content=False, binary=True, **options
        )

    def remove(self, name: str) -> None:
        """Delete the Job with its pod at once, then the policy; what is gone already is fine."""
        from kubernetes.client import ApiException  # noqa: PLC0415

        at_once = {"propagation_policy": "Foreground", "grace_period_seconds": 0}
        with suppress(ApiException):
            self._batch.delete_namespaced_job(name, self.namespace, **at_once)
        with suppress(ApiException):
            self._network.delete_namespaced_network_policy(name, self.namespace)

    def owned_by(self, owner: str) -> list[str]:
        """Return the names of the Jobs with this owner's label."""
        jobs = self._batch.list_namespaced_job(self.namespace, label_selector=f"{OWNER}={owner}").items
        return [str(job.metadata.name) for job in jobs]

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._api.rest_client.pool_manager.clear()  # closing leaves these open


class AttachedLink:
    """A channel's link over an attach stream, which blocks: one thread reads it and one writes it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS)
        self._leaving: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lighter = asyncio.Event()
        self._over = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]
        for thread in self._threads:
            thread.start()

    async def receive(self) -> bytes:
        """Return what has arrived, empty at the end."""
        return await self._arrived.get()

    def post(self, data: bytes) -> None:
        """Put `data` behind what waits to be sent."""
        self._waiting += len(data)
        self._leaving.put(data)

    async def drain(self) -> None:
        """Wait until little is waiting to be sent."""
        while self._waiting > _HIGH_WATER and not self._over:
            self._lighter.clear()
            await self._lighter.wait()
        if self._over:
            raise ConnectionResetError("the attach stream is gone")

    async def close(self) -> None:
        """End the stream and both threads."""
        self._over = True
        self._leaving.put(None)
        while not self._arrived.empty():  # lets a reader that waits for room go on
            self._arrived.get_nowait()
        try:
            await asyncio.to_thread(self._stream.close)
            for thread in self._threads:
                await asyncio.to_thread(thread.join, 2)
        finally:
            self._stream.sock.shutdown()  # closing leaves the socket open where the other side has closed first

    def _read(self) -> None:
        with suppress(Exception):  # whatever ends the stream ends the box
            while self._stream.is_open() and not self._over:
                self._stream.update(timeout=0.2)
                data = self._stream.read_channel(_STDOUT)
                if data:
                    self._hand_over(bytes(data))
        with suppress(Exception):
            self._hand_over(b"")
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended)

    def _hand_over(self, data: bytes) -> None:
        handed = asyncio.run_coroutine_threadsafe(self._arrived.put(data), self._loop)
        while True:
            try:
                handed.result(0.2)
            except TimeoutError:
                if self._over:
                    handed.cancel()
                    return
            else:
                return

    def _write(self) -> None:
        with suppress(Exception):
            while (data := self._leaving.get()) is not None:
                self._stream.write_stdin(data)
                self._loop.call_soon_threadsafe(self._sent, len(data))

    def _sent(self, size: int) -> None:
        self._waiting -= size
        self._lighter.set()

    def _ended(self) -> None:
        self._over = True
        self._lighter.set()
