"""How long a box takes against the bare sandbox tool, and what each kind of call costs once it is there."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.bubblewrap_command import find_bwrap
from lab_server.sandbox.port import ByteStream, Limits, Spec
from tests.support import sandboxes
from tests.support.sandboxes import folder_for, remove

_CALL = """
import socket, time
sock = socket.create_connection(("127.0.0.1", 8080))
began = time.perf_counter()
for _ in range(200):
    sock.sendall(b"x" * 2000)
    left = 2000
    while left:
        left -= len(sock.recv(left))
print((time.perf_counter() - began) / 200)
"""


@dataclass(frozen=True)
class Found:
    """Medians in seconds."""

    bare_true: float
    bare_python: float
    create: float
    close: float
    exec_true: float
    exec_python: float
    file: float
    model_call: float


def run(rounds: int) -> Found | None:
    """Measure, or return None where there is no bubblewrap."""
    if (bwrap := find_bwrap()) is None:
        return None
    images, digest, root = sandboxes.image()
    folder = folder_for(0)
    base = [bwrap, "--unshare-all", "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev"]
    try:
        bare_true = _median(rounds, lambda: subprocess.run([*base, "/usr/bin/true"], check=True, env={}))
        python = [*base, "/usr/local/bin/python3", "-c", "print(1)"]
        bare_python = _median(rounds, lambda: subprocess.run(python, check=True, env={}, capture_output=True))
        provider = Bubblewrap(images, state=folder, allow_degraded=True)
        return asyncio.run(_ours(provider, digest, rounds, (bare_true, bare_python)))
    finally:
        remove(folder)


async def _ours(provider: Bubblewrap, image: str, rounds: int, bare: tuple[float, float]) -> Found:
    creates, closes = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        box = await provider.create(Spec(image, limits=Limits()), None)
        made = time.perf_counter()
        await box.close()
        creates.append(made - began)
        closes.append(time.perf_counter() - made)
    box = await provider.create(Spec(image, limits=Limits()), _echo)
    try:
        true = await _median_of(rounds, lambda: box.exec(["true"], timeout=10))
        python = await _median_of(rounds, lambda: box.exec(["python3", "-c", "print(1)"], timeout=10))
        file = await _median_of(rounds, lambda: box.write("file", b"x" * 10_000))
        call = float((await box.exec(["python3", "-c", _CALL], timeout=30)).stdout)
    finally:
        await box.close()
    return Found(*bare, statistics.median(creates), statistics.median(closes), true, python, file, call)


async def _echo(stream: ByteStream) -> None:
    while data := await stream.read(4096):
        await stream.write(data)


def _median(rounds: int, work: Callable[[], object]) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _median_of(rounds: int, work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
