"""Boxes on this machine: side by side, attacked at their supervisor, taken down, cut off from their launcher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from attestations.errors import SandboxLost
from lab_server.sandbox import cgroups
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Sandbox
from lab_server.sandbox.spawning import Process, spawn
from tests.support import sandboxes
from tests.support.boxes import provider, spec

pytestmark = pytest.mark.skipif(sandboxes.needs_bwrap, reason=sandboxes.NO_BWRAP)


async def attack(box: Sandbox, name: str) -> str:
    facts = b'{"bomb": 5000, "memory_mb": 400}'
    done = await box.exec(["python3", "sandbox_attacks.py", name], stdin=facts, timeout=10, kill_stragglers=True)
    return done.stdout.decode()


async def test_a_fork_bomb_in_one_box_leaves_the_other_at_work(box_image: tuple[Images, str], box_folder: Path) -> None:
    made = provider(box_image, box_folder)
    one, other = await asyncio.gather(made.create(spec(box_image), None), made.create(spec(box_image), None))
    forever = "import os\nwhile True:\n try: os.fork()\n except OSError: pass\n"
    bomb = asyncio.create_task(one.exec(["python3", "-c", forever], timeout=2.5))
    await asyncio.sleep(0.3)

    done = await other.exec(["python3", "-c", "print(sum(range(10**5)))"], timeout=20)
    third = await made.create(spec(box_image), None)
    seen = await third.exec(["sh", "-c", "ls -d /proc/[0-9]* | wc -l"], timeout=20)

    assert not bomb.done()
    assert done.stdout == b"4999950000\n"
    assert int(seen.stdout) <= 5
    assert (await bomb).reason == "timeout"
    assert (await one.exec(["echo", "again"], timeout=20)).stdout == b"again\n"
    await asyncio.gather(one.close(), other.close(), third.close())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives each box a user")
async def test_each_box_of_root_has_a_user_of_its_own(box_image: tuple[Images, str], box_folder: Path) -> None:
    made = provider(box_image, box_folder)
    boxes = [await made.create(spec(box_image), None) for _ in range(3)]
    sleep = ["sleep", "20"]
    running = [asyncio.create_task(box.exec(sleep, timeout=20)) for box in boxes]
    users: set[int] = set()
    async with asyncio.timeout(10):
        while len(users) < 3:
            sleepers = [proc for proc in psutil.process_iter(["cmdline", "uids"]) if proc.info["cmdline"] == sleep]
            users = {proc.info["uids"].real for proc in sleepers}
            await asyncio.sleep(0.05)
    await asyncio.gather(*(box.close() for box in boxes))
    ended = await asyncio.gather(*running, return_exceptions=True)

    assert len(users) == 3
    assert 0 not in users
    assert {SandboxLost} == {type(outcome) for outcome in ended}


async def test_the_supervisor_cannot_be_ended_read_or_traced_from_inside(
    box_image: tuple[Images, str], box_folder: Path
) -> None:
    box = await provider(box_image, box_folder).create(spec(box_image), None)

    assert await attack(box, "attack_supervisor") == ""
    assert (await box.exec(["echo", "alive"], timeout=10)).stdout == b"alive\n"
    await box.close()


async def test_ten_boxes_come_and_go_without_a_trace(box_image: tuple[Images, str], box_folder: Path) -> None:
    made = provider(box_image, box_folder)
    await (await made.create(spec(box_image), None)).close()  # what is made once stays: the spawner's thread
    before = (_descriptors(), _mounts())
    daemon = "trap '' TERM HUP; sleep 300 &"
    for _ in range(5):
        boxes = await asyncio.gather(made.create(spec(box_image), None), made.create(spec(box_image), None))
        for box in boxes:
            await box.exec(["sh", "-c", f'setsid sh -c "{daemon}" &'], timeout=10)
        await asyncio.gather(*(box.close() for box in boxes))

    assert before == (_descriptors(), _mounts())
    assert not [child for child in psutil.Process().children(recursive=True) if "bwrap" in child.name()]
    assert not list((box_folder / "state").iterdir())
    assert not [
        path for parent in _group_folders() for path in parent.glob("safeconduct-box-*") if _ours(path, box_folder)
    ]


def test_a_launcher_that_is_killed_leaves_no_process_and_the_reaper_takes_the_rest(
    box_image: tuple[Images, str], box_folder: Path
) -> None:
    ready = box_folder / "ready"

    async def launch() -> None:
        box = await provider(box_image, box_folder).create(spec(box_image), None)
        running = asyncio.create_task(box.exec(["sleep", "301"], timeout=300))
        await asyncio.sleep(0.3)
        ready.touch()
        await running

    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            asyncio.run(launch())
        os._exit(0)
    deadline = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    time.sleep(0.3)
    left = [proc.pid for proc in psutil.process_iter(["cmdline"]) if proc.info["cmdline"] == ["sleep", "301"]]
    reaped = asyncio.run(provider(box_image, box_folder).reap())

    assert ready.exists()
    assert left == []
    assert len(reaped) == 1
    assert not list((box_folder / "state").iterdir())
    assert not [path for parent in _group_folders() for path in parent.glob(f"safeconduct-{reaped[0]}")]


def test_a_box_made_in_a_pool_s_thread_outlives_that_thread() -> None:
    loop = asyncio.new_event_loop()
    # Asks to die with its parent, as bubblewrap does; the kernel means the thread that started it.
    dies = "import ctypes, time; ctypes.CDLL(None).prctl(1, 9); print(flush=True); time.sleep(30)"

    async def start() -> Process:
        process = await spawn([sys.executable, "-I", "-S", "-c", dies], None)
        process.open_gate()
        await process.receive()
        return process

    with ThreadPoolExecutor(1) as pool:
        process = pool.submit(lambda: loop.run_until_complete(start())).result()
    time.sleep(0.2)
    status = psutil.Process(process.pid).status()
    psutil.Process(process.pid).kill()
    loop.run_until_complete(process.close())
    loop.run_until_complete(process.end(5))
    loop.close()

    assert status != psutil.STATUS_ZOMBIE


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _mounts() -> int:
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def _group_folders() -> set[Path]:
    parents = cgroups.find_parents()
    return set(parents.folders.values()) if parents is not None else set()


def _ours(path: Path, folder: Path) -> bool:
    # Other tests of this machine have boxes too; theirs are noted down elsewhere.
    return (folder / "state" / path.name.removeprefix("safeconduct-")).exists()
