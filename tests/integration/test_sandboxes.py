"""Boxes on this machine: side by side, taken down, cut off from their launcher, and refused when a wall is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from attestations.errors import SandboxLost, SandboxUnavailable
from lab_server.sandbox import cgroups
from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.images import Images, tree_digest
from lab_server.sandbox.port import Input, Limits, Sandbox, Spec, Tier
from tests.support import sandboxes
from tests.support.sandboxes import ORDINARY_UID, as_user, folder_for, remove
from tests.support.scripted_model import ScriptedModel

pytestmark = pytest.mark.skipif(sandboxes.needs_bwrap, reason=sandboxes.NO_BWRAP)

ATTACKS = (Path(__file__).parents[1] / "support" / "sandbox_attacks.py").read_bytes()
LIMITS = Limits(wall_s=60, memory_mb=128, pids=48, disk_mb=16, files=400, exec_output_bytes=64 << 10)
SCAFFOLD = """
import asyncio, sys
from openai import APIConnectionError, AsyncOpenAI, OpenAI

client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="dummy")
print([model.id for model in client.models.list()])
ask = dict(model="m", messages=[{"role": "user", "content": "hello"}])
print(client.chat.completions.create(**ask).choices[0].message.content)
print("".join(part.choices[0].delta.content for part in client.chat.completions.create(stream=True, **ask)))

async def many():
    async with AsyncOpenAI(base_url="http://127.0.0.1:8080/v1", api_key="dummy") as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(20)))
        print({answer.choices[0].message.content for answer in answers}, len(answers))

asyncio.run(many())
try:
    OpenAI(api_key="x", max_retries=0, timeout=3).models.list()
except APIConnectionError:
    print("no way out")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = folder_for(os.geteuid())
    yield made
    remove(made)


@pytest.fixture(scope="module")
def image() -> tuple[Images, str]:
    return sandboxes.image()[:2]


def provider(image: tuple[Images, str], folder: Path) -> Bubblewrap:
    return Bubblewrap(image[0], state=folder / "state", allow_degraded=True)


def spec(image: tuple[Images, str], limits: Limits = LIMITS) -> Spec:
    return Spec(image[1], inputs={"attacks.py": Input(ATTACKS)}, limits=limits)


async def attack(box: Sandbox, name: str) -> str:
    facts = b'{"bomb": 5000, "memory_mb": 400}'
    done = await box.exec(["python3", "attacks.py", name], stdin=facts, timeout=10, kill_stragglers=True)
    return done.stdout.decode()


async def test_a_fork_bomb_in_one_box_leaves_the_other_at_work(image: tuple[Images, str], folder: Path) -> None:
    made = provider(image, folder)
    one, other = await asyncio.gather(made.create(spec(image), None), made.create(spec(image), None))
    forever = "import os\nwhile True:\n try: os.fork()\n except OSError: pass\n"
    bomb = asyncio.create_task(one.exec(["python3", "-c", forever], timeout=2.5))
    await asyncio.sleep(0.3)

    done = await other.exec(["python3", "-c", "print(sum(range(10**5)))"], timeout=20)
    third = await made.create(spec(image), None)
    seen = await third.exec(["sh", "-c", "ls -d /proc/[0-9]* | wc -l"], timeout=20)

    assert not bomb.done()
    assert done.stdout == b"4999950000\n"
    assert int(seen.stdout) <= 5
    assert (await bomb).reason == "timeout"
    assert (await one.exec(["echo", "again"], timeout=20)).stdout == b"again\n"
    await asyncio.gather(one.close(), other.close(), third.close())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives each box a user")
async def test_each_box_of_root_has_a_user_of_its_own(image: tuple[Images, str], folder: Path) -> None:
    made = provider(image, folder)
    boxes = [await made.create(spec(image), None) for _ in range(3)]
    running = [asyncio.create_task(box.exec(["sleep", "20"], timeout=20)) for box in boxes]
    await asyncio.sleep(0.3)
    sleepers = [proc for proc in psutil.process_iter(["cmdline"]) if proc.info["cmdline"] == ["sleep", "20"]]
    users = {proc.uids().real for proc in sleepers}
    await asyncio.gather(*(box.close() for box in boxes))
    ended = await asyncio.gather(*running, return_exceptions=True)

    assert len(users) >= 3
    assert 0 not in users
    assert {SandboxLost} == {type(outcome) for outcome in ended}


async def test_the_supervisor_cannot_be_ended_read_or_traced_from_inside(
    image: tuple[Images, str], folder: Path
) -> None:
    box = await provider(image, folder).create(spec(image), None)

    assert await attack(box, "attack_supervisor") == ""
    assert (await box.exec(["echo", "alive"], timeout=10)).stdout == b"alive\n"
    await box.close()


async def test_ten_boxes_come_and_go_without_a_trace(image: tuple[Images, str], folder: Path) -> None:
    made = provider(image, folder)
    await (await made.create(spec(image), None)).close()  # what is made once stays: the spawner's thread
    before = (_descriptors(), _mounts())
    daemon = "trap '' TERM HUP; sleep 300 &"
    for _ in range(5):
        boxes = await asyncio.gather(made.create(spec(image), None), made.create(spec(image), None))
        for box in boxes:
            await box.exec(["sh", "-c", f'setsid sh -c "{daemon}" &'], timeout=10)
        await asyncio.gather(*(box.close() for box in boxes))

    assert before == (_descriptors(), _mounts())
    assert not [child for child in psutil.Process().children(recursive=True) if "bwrap" in child.name()]
    assert not list((folder / "state").iterdir())
    assert not [path for parent in _group_folders() for path in parent.glob("safeconduct-box-*") if _ours(path, folder)]


def test_a_launcher_that_is_killed_leaves_no_process_and_the_reaper_takes_the_rest(
    image: tuple[Images, str], folder: Path
) -> None:
    ready = folder / "ready"

    async def launch() -> None:
        box = await provider(image, folder).create(spec(image), None)
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
    reaped = asyncio.run(provider(image, folder).reap())

    assert ready.exists()
    assert left == []
    assert len(reaped) == 1
    assert not list((folder / "state").iterdir())
    assert not [path for parent in _group_folders() for path in parent.glob(f"safeconduct-{reaped[0]}")]


class Weakened(Bubblewrap):
    """Takes a wall away, so that the self-test has something to find."""

    without: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def _command(self, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
        words = super()._command(image, limits, seccomp_fd)
        if self.without:
            at = next(i for i in range(len(words)) if tuple(words[i : i + len(self.without)]) == self.without)
            words[at : at + len(self.without)] = self.instead
        return words


@pytest.mark.parametrize(
    ("without", "instead", "found"),
    [
        (("--unshare-all",), ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"), "network"),
        (
            ("--ro-bind", "IMAGE", "/"),
            (
                "--tmpfs",
                "/",
                "--ro-bind",
                "IMAGE/usr",
                "/usr",
                *("--symlink", "usr/lib", "/lib"),
                *("--ro-bind", "IMAGE/lib64", "/lib64"),
            ),
            "read_only",
        ),
        (("--seccomp", "FD"), (), "filter"),
        (("--remount-ro", "/dev"), (), "read_only"),
        (("--cap-drop", "ALL"), ("--cap-add", "CAP_SYS_ADMIN"), "identity"),
    ],
    ids=["network", "root", "filter", "devices", "capabilities"],
)
async def test_a_missing_wall_is_found_before_anything_foreign_runs(
    image: tuple[Images, str], folder: Path, without: tuple[str, ...], instead: tuple[str, ...], found: str
) -> None:
    class Broken(Weakened):
        def _command(self, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
            fill = {"IMAGE": str(image), "FD": str(seccomp_fd)}
            self.without = tuple(fill.get(word, word) for word in without)
            self.instead = tuple(word.replace("IMAGE", str(image)) for word in instead)
            return super()._command(image, limits, seccomp_fd)

    made = Broken(image[0], state=folder / "state", allow_degraded=True)
    with pytest.raises(SandboxUnavailable) as refused:
        await made.create(spec(image), None)

    assert refused.value.facts["missing"] == found
    assert not list((folder / "state").iterdir())


async def test_a_tool_that_cannot_start_a_box_is_refused_with_its_own_words(
    image: tuple[Images, str], folder: Path
) -> None:
    class Broken(Weakened):
        without, instead = ("--hostname", "sandbox"), ("--no-such-option",)

    with pytest.raises(SandboxUnavailable, match="no-such-option") as refused:
        await Broken(image[0], state=folder / "state", allow_degraded=True).create(spec(image), None)

    assert refused.value.facts["missing"] == "start"
    assert not list((folder / "state").iterdir())


async def test_without_memory_groups_a_box_is_refused_unless_the_lab_allows_it(
    image: tuple[Images, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "find_parents", lambda: None)
    strict = Bubblewrap(image[0], state=folder / "state")
    with pytest.raises(SandboxUnavailable) as refused:
        await strict.create(spec(image), None)
    report = await strict.doctor()
    box = await provider(image, folder).create(spec(image), None)
    bomb = await box.exec(["python3", "attacks.py", "memory_bomb"], stdin=b'{"memory_mb": 2000}', timeout=20)

    assert refused.value.facts["missing"] == "memory of the whole box"
    assert not report.usable
    assert {"memory_mb", "cpu_cores"} == set(box.evidence.degraded)
    assert (bomb.reason, bomb.signal) == ("oom", 9)
    await box.close()


async def test_an_unmodified_openai_program_talks_to_the_model_and_to_nothing_else(
    image: tuple[Images, str], folder: Path
) -> None:
    model = ScriptedModel()
    wanted = Spec(image[1], inputs={"main.py": Input(SCAFFOLD.encode())}, limits=Limits(memory_mb=256, pids=64))
    box = await provider(image, folder).create(wanted, model)
    done = await box.exec(["python3", "main.py"], timeout=60)
    used = await box.close()

    assert done.stdout.decode().splitlines() == ["['m']", "HELLO", "HELLO", "{'HELLO'} 20", "no way out"], done.stderr
    assert model.calls == 23
    assert model.keys == {"Bearer dummy"}
    assert used.model_streams >= 2


async def test_connections_beyond_the_limit_are_closed_at_once(image: tuple[Images, str], folder: Path) -> None:
    async def waits(stream: object) -> None:
        await asyncio.sleep(60)

    code = """
import socket
held = [socket.create_connection(("127.0.0.1", 8080)) for _ in range(6)]
ended = 0
for sock in held:
    sock.settimeout(0.5)
    try:
        ended += sock.recv(1) == b""
    except ConnectionResetError:
        ended += 1
    except TimeoutError:
        pass
print(ended)
"""
    limits = Limits(**{**vars(LIMITS), "model_streams": 4})
    box = await provider(image, folder).create(spec(image, limits), waits)
    done = await box.exec(["python3", "-c", code], timeout=20)
    await box.close()

    assert done.stdout == b"2\n"


def test_a_box_made_in_a_pool_s_thread_outlives_that_thread(image: tuple[Images, str], folder: Path) -> None:
    from lab_server.sandbox.spawning import spawn

    async def start() -> int:
        process = await spawn(["/bin/sleep", "5"], None)
        process.open_gate()
        return process.pid

    with ThreadPoolExecutor(1) as pool:
        pid = pool.submit(lambda: asyncio.new_event_loop().run_until_complete(start())).result()
    time.sleep(0.2)
    parent = psutil.Process(pid)

    assert parent.is_running()
    assert parent.status() != psutil.STATUS_ZOMBIE
    parent.kill()


def test_an_image_that_was_changed_is_refused(image: tuple[Images, str], folder: Path) -> None:
    small = folder / "small"
    for point in ("proc", "dev", "tmp", "run", "box"):
        (small / point).mkdir(parents=True)
    (small / "file").write_text("content")
    digest = tree_digest(small)
    small.rename(folder / digest)
    assert Images(folder).find(digest) == folder / digest

    (folder / digest / "file").write_text("changed")
    with pytest.raises(SandboxUnavailable) as refused:
        Images(folder).find(digest)

    assert refused.value.facts["missing"] == "image"


def test_an_image_holds_nothing_of_the_host_but_what_was_named(image: tuple[Images, str]) -> None:
    root = image[0].find(image[1])
    entries = {path.name for path in root.iterdir()}
    etc = {path.name for path in (root / "etc").iterdir()}

    assert entries == {"bin", "box", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "tmp", "usr"}
    assert etc == {"group", "hosts", "nsswitch.conf", "passwd", "resolv.conf"}
    assert not [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]
    assert str(Path.home()) not in (root / "etc/passwd").read_text()
    with pytest.raises(SandboxUnavailable):
        image[0].build(("no-such-distribution",))


def test_an_ordinary_user_s_box_says_what_is_not_enforced(image: tuple[Images, str]) -> None:
    folder = folder_for(ORDINARY_UID if os.geteuid() == 0 else os.geteuid())
    try:
        degraded, checks = as_user(_evidence_of_a_box, image, folder)
    finally:
        remove(folder)

    assert set(degraded) <= {"memory_mb", "cpu_cores"}
    assert checks >= 15


def _evidence_of_a_box(image: tuple[Images, str], folder: Path) -> tuple[tuple[str, ...], int]:
    async def make() -> tuple[tuple[str, ...], int]:
        box = await provider(image, folder).create(spec(image), None)
        seen = box.evidence
        await box.close()
        return seen.degraded, len(seen.self_test)

    return asyncio.run(make())


def test_the_doctor_of_the_command_line_says_what_can_be_made(image: tuple[Images, str]) -> None:
    command = ["safeconduct", "lab", "doctor", "--images", str(sandboxes.images_folder()), "--tier", Tier.VM]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "bubblewrap (tier process)" in found.stdout
    assert "gvisor (tier kernel)" in found.stdout
    assert "limit wall_s               enforced" in found.stdout or ": not usable" in found.stdout
    assert found.returncode == 81
    assert "SANDBOX_UNAVAILABLE" in found.stderr


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
