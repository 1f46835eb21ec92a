"""Attempts to use more than a program may, as one script: `python3 sandbox_bombs.py NAME < facts.json`.

Bombs are small: what matters is whether the limit or the bomb's own end comes first. Each prints how far it came.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sys
import threading
import time
from typing import Any

Facts = dict[str, Any]


def fork_bomb(facts: Facts) -> str:
    reading, writing = os.pipe()
    made = 0
    with contextlib.suppress(OSError):
        while made < facts["bomb"]:
            if os.fork() == 0:
                os.close(writing)
                os.read(reading, 1)
                os._exit(0)
            made += 1
    return str(made)


def thread_bomb(facts: Facts) -> str:
    stop = threading.Event()
    threading.stack_size(64 << 10)
    made = 0
    with contextlib.suppress(RuntimeError):
        while made < facts["bomb"]:
            threading.Thread(target=stop.wait, daemon=True).start()
            made += 1
    stop.set()
    return str(made)


def memory_bomb(facts: Facts) -> str:
    held = []
    for size in range(16, facts["memory_mb"] + 1, 16):
        held.append(bytearray(b"x") * (16 << 20))
        print(size, flush=True)
    return ""


def memory_bombs(facts: Facts) -> str:
    share, workers = facts["memory_mb"] // 6, []
    for number in range(6):
        pid = os.fork()
        if pid == 0:
            held = bytearray(b"x") * (share << 20)
            time.sleep(0.7)
            os._exit(0 if len(held) else number)
        workers.append(pid)
    alive = sum(os.waitpid(pid, 0)[1] == 0 for pid in workers)
    return str(alive * share)


def shared_memory_fill(facts: Facts) -> str:
    total = 0
    with contextlib.suppress(OSError):
        fd = os.memfd_create("bomb")
        while total < facts["memory_mb"]:
            os.write(fd, b"x" * (1 << 20))
            total += 1
        with mmap.mmap(fd, 1 << 20) as mapped:
            mapped.flush()
    for folder in ("/dev/shm", "/tmp", "/run", "/dev", "/"):
        total += _fill(folder, facts["memory_mb"] - total)
    return str(total)


def disk_fill(facts: Facts) -> str:
    return str(_fill(".", facts["disk_mb"]))


def many_files(facts: Facts) -> str:
    for number in range(facts["files"]):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
        if number % 500 == 499:
            print(number + 1, flush=True)
    return ""


def endless_loop(facts: Facts) -> str:
    deadline = time.monotonic() + facts["loop_s"]
    while time.monotonic() < deadline:
        pass
    return "finished"


def output_flood(facts: Facts) -> str:
    for _ in range(facts["flood_mb"] * 16):
        sys.stdout.write("x" * (64 << 10))
    return "finished"


def _fill(folder: str, megabytes: int) -> int:
    total = 0
    path = f"{folder}/fill-{os.getpid()}"
    with contextlib.suppress(OSError):
        try:
            with open(path, "wb") as file:
                while total < megabytes:
                    file.write(b"x" * (1 << 20))
                    file.flush()
                    total += 1
        finally:
            os.unlink(path)
    return total


if __name__ == "__main__":
    sys.stdout.write(globals()[sys.argv[1]](json.load(sys.stdin)))
    sys.stdout.flush()
    os._exit(0)
