"""A careless launcher's surroundings, and the judge of what an attack did to them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attestations.errors import SandboxFileRefused
from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Input, Limits, Sandbox, Spec
from tests.support.sandboxes import bare, kill_marked

SCRIPTS = {name: (Path(__file__).parent / name).read_bytes() for name in ("sandbox_attacks.py", "sandbox_bombs.py")}
LIMITS = Limits(wall_s=90, memory_mb=96, pids=48, disk_mb=16, files=400, exec_output_bytes=64 << 10)
BOMBS = {"bomb": 300, "memory_mb": 240, "disk_mb": 40, "files": 6000, "loop_s": 1.2, "flood_mb": 4}
LOOP_TIMEOUT = 0.6


class World:
    """A secret file, an environment, sockets, a process: each belongs to the launcher, none to what it starts."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = root
        self.token = f"secret-{secrets.token_hex(8)}"
        self.marker = f"marker-{secrets.token_hex(8)}"
        self.secret = folder / "private" / "secret"
        self.secret.parent.mkdir(mode=0o700)
        self.secret.write_text(self.token)
        self.secret.chmod(0o600)
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.outside.chmod(0o777)
        os.environ["LAB_API_KEY"] = self.token
        self.leaked = [os.open(self.secret, os.O_RDONLY), os.open(self.secret.parent, os.O_RDONLY)]
        for fd in self.leaked:
            os.set_inheritable(fd, True)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0" + self.marker)
        self.path_socket = socket.socket(socket.AF_UNIX)
        self.path_socket.bind(str(folder / "sock"))
        (folder / "sock").chmod(0o777)
        for sock in (self.abstract, self.path_socket):
            sock.listen()
        for sock in (self.tcp, self.udp, self.abstract, self.path_socket):
            sock.setblocking(False)
        self.victim = self._start_victim()

    def facts(self) -> dict[str, Any]:
        return {
            "secret_file": str(self.secret),
            "outside": str(self.outside),
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": self.marker,
            "path_socket": str(self.folder / "sock"),
            "victim": self.victim.pid,
            "marker": self.marker,
            **BOMBS,
        }

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        if self.victim.stdout is not None:
            self.victim.stdout.close()
        for sock in (self.tcp, self.udp, self.abstract, self.path_socket):
            sock.close()
        for fd in self.leaked:
            os.close(fd)
        del os.environ["LAB_API_KEY"]
        kill_marked(self.marker)

    def judge(self, name: str, said: str) -> bool:
        """Tell whether the attack got what it was after, by what the host sees wherever the host can see it."""
        judged: dict[str, Callable[[], bool]] = {
            "read_shadow": lambda: "root:" in said,
            "write_outside": (self.outside / "written").exists,
            "host_tcp": lambda: _was_reached(self.tcp),
            "host_udp": lambda: _was_sent(self.udp),
            "host_abstract": lambda: _was_reached(self.abstract),
            "host_path_socket": lambda: _was_reached(self.path_socket),
            "kill_victim": self._victim_died,
            "see_processes": lambda: int(said) > 8,
            "daemon": lambda: kill_marked(self.marker) > 0,
            "fork_bomb": lambda: int(said or "0") >= BOMBS["bomb"],
            "thread_bomb": lambda: int(said or "0") >= BOMBS["bomb"],
            "memory_bomb": lambda: _last(said) >= BOMBS["memory_mb"],
            "memory_bombs": lambda: _last(said) >= BOMBS["memory_mb"],
            "shared_memory_fill": lambda: _last(said) >= BOMBS["memory_mb"],
            "disk_fill": lambda: _last(said) >= BOMBS["disk_mb"],
            "many_files": lambda: _last(said) >= BOMBS["files"],
            "endless_loop": lambda: "finished" in said,
            "output_flood": lambda: "finished" in said,
        }
        by_token = ("read_secret", "environments", "victim_memory", "inherited_descriptors", "planted_links")
        if name in by_token:
            return self.token in said
        return judged[name]() if name in judged else bool(said)

    def _start_victim(self) -> subprocess.Popen[bytes]:
        code = f"import time; held = bytearray(b'{self.token}' * 9); print('ready', flush=True); time.sleep(90)"
        victim = bare(self.root, ["-I", "-S", "-c", code], stdout=subprocess.PIPE)
        assert victim.stdout is not None
        victim.stdout.readline()
        return victim

    def _victim_died(self) -> bool:
        try:
            self.victim.wait(0.3)
        except subprocess.TimeoutExpired:
            return False
        if self.victim.stdout is not None:
            self.victim.stdout.close()
        self.victim = self._start_victim()
        return True


def attack_bare(world: World, names: list[str]) -> dict[str, bool]:
    """Run attacks as bare subprocesses of this user; returns which succeeded."""
    work = world.folder / "work"
    work.mkdir()
    for script, text in SCRIPTS.items():
        (work / script).write_bytes(text)
    facts = json.dumps(world.facts()).encode()
    found = {}
    for name in names:
        environment = {"LAB_API_KEY": world.token}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = bare(
            world.root, [str(work / script_of(name)), name], env=environment, cwd=work, close_fds=False, **pipes
        )
        said = process.communicate(facts, timeout=60)[0].decode("latin-1")
        if name == "planted_links":
            said = (work / "link").read_text()  # as a launcher does that collects results from a shared folder
        if name == "daemon":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        found[name] = world.judge(name, said)
    shutil.rmtree(work)
    return found


async def attack_box(world: World, images: Images, image: str, names: list[str]) -> dict[str, bool]:
    """Run attacks in one box after the other; returns which succeeded. The box must still work after each."""
    provider = Bubblewrap(images, state=world.folder / "state", allow_degraded=True)
    spec = Spec(image, inputs={name: Input(text) for name, text in SCRIPTS.items()}, limits=LIMITS)
    facts = json.dumps(world.facts()).encode()
    box = await provider.create(spec, None)
    found = {}
    try:
        for name in names:
            timeout = LOOP_TIMEOUT if name == "endless_loop" else 20
            argv = ["python3", script_of(name), name]
            done = await box.exec(argv, stdin=facts, timeout=timeout, kill_stragglers=name != "daemon")
            said = done.stdout.decode("latin-1")
            if name == "planted_links":
                said = await _collect(box)
            if name == "daemon":
                await box.close()
                box = await provider.create(spec, None)
            found[name] = world.judge(name, said)
            alive = await box.exec(["sh", "-c", "rm -f f* && echo alive"], timeout=5)
            assert alive.stdout == b"alive\n", (name, alive.reason, alive.rc, alive.stderr)
    finally:
        await box.close()
    assert not list((world.folder / "state").glob("box-*"))
    return found


def script_of(name: str) -> str:
    """Return the script that holds an attack."""
    return next(script for script, text in SCRIPTS.items() if f"def {name}(".encode() in text)


def run_attacks(work: str, folder: Path, images: Images, image: str, names: list[str]) -> dict[str, bool]:
    """Run attacks against a `bare` subprocess or a `box` in a fresh world."""
    world = World(folder, images.find(image))
    try:
        if work == "bare":
            return attack_bare(world, names)
        return asyncio.run(attack_box(world, images, image, names))
    finally:
        world.close()


async def _collect(box: Sandbox) -> str:
    said = b""
    for name in ("link", "deep/link", "folder/secret"):
        try:
            said += await box.read(name, max_bytes=1000)
        except SandboxFileRefused:
            continue
    return said.decode()


def _was_reached(sock: socket.socket) -> bool:
    time.sleep(0.02)
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _was_sent(sock: socket.socket) -> bool:
    time.sleep(0.02)
    try:
        return bool(sock.recv(100))
    except BlockingIOError:
        return False


def _last(said: str) -> int:
    lines = said.split()
    return int(lines[-1]) if lines else 0
