"""A Kubernetes API small enough to read: it takes objects, runs each Job's command in a bubblewrap box, and attaches.

It knows nothing of scheduling. What is asked of it is kept, so that a test can look at it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab_server.sandbox import seccomp
from lab_server.sandbox.bubblewrap_command import find_bwrap

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE = 1, 2, 8


class FakeCluster:
    """The state behind the API: objects by kind and name, and a process for each Job."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"jobs": {}, "networkpolicies": {}}
        self.requests: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.phase = "Running"

    def create(self, kind: str, body: dict[str, Any]) -> None:
        self.objects[kind][body["metadata"]["name"]] = body

    def delete(self, kind: str, name: str) -> bool:
        process = self.processes.pop(name, None)
        if kind == "jobs" and process is not None:
            process.kill()
            process.wait()
        return self.objects[kind].pop(name, None) is not None

    def run(self, name: str) -> subprocess.Popen[bytes]:
        pod = self.objects["jobs"][name]["spec"]["template"]["spec"]
        scratch = [word for place in ("/box", "/tmp", "/dev/shm") for word in ("--tmpfs", place)]
        command = [find_bwrap() or "bwrap", "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000"]
        command += ["--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"]
        command += ["--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev", *scratch]
        # As a node whose default profile is stricter than most: the self-test refuses a box that can make a vsock.
        profile = os.memfd_create("filter")
        os.write(profile, seccomp.assemble("x86_64"))
        os.lseek(profile, 0, os.SEEK_SET)
        command += ["--seccomp", str(profile)]
        command += ["--remount-ro", "/dev", "--", *pod["containers"][0]["command"]]
        setpriv = shutil.which("setpriv")
        user = ["--reuid=64007", "--regid=64007", "--clear-groups", "--"]
        drop = [setpriv, *user] if setpriv is not None else []
        options: dict[str, Any] = {"stdin": -1, "stdout": -1, "stderr": subprocess.DEVNULL, "env": {}, "bufsize": 0}
        process = subprocess.Popen([*drop, *command], pass_fds=(profile,), **options)
        os.close(profile)
        self.processes[name] = process
        return process


@contextlib.contextmanager
def fake_cluster(root: Path) -> Iterator[tuple[FakeCluster, str]]:
    """Yield the cluster and the address of its API; `root` is the image every pod runs on."""
    state = FakeCluster(root)
    handler = type("Handler", (_Api,), {"cluster": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        for name in list(state.processes):
            state.delete("jobs", name)
        server.shutdown()
        server.server_close()
        thread.join()


class _Api(BaseHTTPRequestHandler):
    cluster: FakeCluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.cluster.requests.append(f"GET {self.path}")
        if self.path == "/version/":
            self._answer({"gitVersion": "v1.fake", "major": "1", "minor": "0", **dict.fromkeys(_VERSION, "x")})
        elif found := re.search(r"/pods/pod-of-([a-z0-9-]+)/attach", self.path):
            self._attach(found[1])
        elif found := re.search(r"/pods\?labelSelector=[^&]*box(?:%3D|=)(box-[0-9a-f]+)", self.path):
            there = found[1] in self.cluster.objects["jobs"]
            pod = {"metadata": {"name": f"pod-of-{found[1]}"}, "status": {"phase": self.cluster.phase}}
            self._answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod] if there else []})
        else:
            jobs = [{"metadata": job["metadata"]} for job in self.cluster.objects["jobs"].values()]
            self._answer({"kind": "JobList", "apiVersion": "batch/v1", "metadata": {}, "items": jobs})

    def do_POST(self) -> None:
        self.cluster.requests.append(f"POST {self.path}")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.cluster.create(self.path.split("?")[0].rsplit("/", 1)[1], body)
        self._answer(body, 201)

    def do_DELETE(self) -> None:
        self.cluster.requests.append(f"DELETE {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, name = self.path.split("?")[0].rsplit("/", 2)[1:]
        found = self.cluster.delete(kind, name)
        self._answer({"kind": "Status", "status": "Success" if found else "Failure"}, 200 if found else 404)

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _attach(self, name: str) -> None:
        # RFC 6455: the answer to the key, then frames; the first byte of a message names the stream.
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode())  # noqa: S324
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.close_connection = True
        process = self.cluster.run(name)
        out = threading.Thread(target=self._pump, args=(process,), daemon=True)
        out.start()
        with contextlib.suppress(OSError, ValueError), process:
            while (message := self._message()) is not None:
                if message[:1] == b"\0" and process.stdin is not None:
                    process.stdin.write(message[1:])
            process.kill()
        out.join()

    def _pump(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while process.stdout is not None and (data := process.stdout.read(30_000)):
                self._send(_BINARY, b"\1" + data)
            self._send(_CLOSE, b"")

    def _send(self, opcode: int, data: bytes) -> None:
        size = bytes([len(data)]) if len(data) < 126 else struct.pack("!BH", 126, len(data))
        self.wfile.write(bytes([0x80 | opcode]) + size + data)

    def _message(self) -> bytes | None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(self.rfile.read(2), "big")
        elif size == 127:
            size = int.from_bytes(self.rfile.read(8), "big")
        mask = self.rfile.read(4)
        data = self.rfile.read(size)
        whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        opcode = head[0] & 0xF
        return None if opcode == _CLOSE else whole.to_bytes(size, "big") if opcode in (_TEXT, _BINARY) else b""


_VERSION = ("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform")
