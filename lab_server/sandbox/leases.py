"""What a box holds on the host while it lives, so that whoever comes after a dead launcher can free it.

Each box has a folder under the provider's state folder: `lock`, held with flock by the launcher that made it, and
`holds.json`, what to remove. A lock that can be taken belongs to a dead launcher. Users for boxes (only root can give a
box one of its own) are files of their own, locked the same way.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attestations.errors import SandboxUnavailable
from lab_server.sandbox.spawning import Identity

FIRST_UID, UIDS = 64010, 480  # below the reserved 65533 to 65535, above what distributions hand out


class Lease:
    """One box's folder and, for root, its user; freed by `release`."""

    def __init__(self, folder: Path, lock: int, identity: Identity | None, uid_lock: int | None) -> None:
        self.name = folder.name
        self.folder = folder
        self.identity = identity
        self._lock = lock
        self._uid_lock = uid_lock

    def note(self, holds: Mapping[str, Any]) -> None:
        """Write down what must be removed when this launcher dies."""
        unfinished = self.folder / "holds.part"
        unfinished.write_text(json.dumps(holds))
        unfinished.replace(self.folder / "holds.json")

    def release(self) -> None:
        """Give everything back; harmless when repeated."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for fd in (self._lock, self._uid_lock):
            if fd is not None:
                with suppress(OSError):
                    os.close(fd)
        self._lock = -1
        self._uid_lock = None


def lease(state: Path, uids: Path | None) -> Lease:
    """Take a new name and, as root where `uids` is given, a user that no process on this machine has.

    Raises:
        SandboxUnavailable: all users are taken, or the folders cannot be written.
    """
    try:
        identity, uid_lock = _lease_uid(uids) if uids is not None and os.geteuid() == 0 else (None, None)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = state / f"box-{secrets.token_hex(6)}"
        folder.mkdir(mode=0o700)
        lock = _lock(folder / "lock")
    except OSError as error:
        raise SandboxUnavailable(f"the state folder cannot be used: {error.strerror}", missing="state") from None
    if lock is None:
        raise SandboxUnavailable("the state folder cannot be locked", missing="state")
    return Lease(folder, lock, identity, uid_lock)


def abandoned(state: Path) -> Iterator[tuple[Lease, dict[str, Any]]]:
    """Yield what dead launchers have left, locked for the caller, with what each box held."""
    for folder in sorted(state.glob("box-*")) if state.is_dir() else ():
        lock = _lock(folder / "lock")
        if lock is None:
            continue
        try:
            holds = json.loads((folder / "holds.json").read_text())
        except (OSError, ValueError):
            holds = {}
        yield Lease(folder, lock, None, None), holds


def processes_of(uid: int) -> list[int]:
    """Return the processes that have this real or effective user."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                lines = (entry / "status").read_text().splitlines()
                words = next(line for line in lines if line.startswith("Uid:")).split()
                if str(uid) in words[1:]:
                    found.append(int(entry.name))
    return found


def end_processes_of(uid: int, uids: Path) -> None:
    """End what still runs as a box's user, unless another box has been given that user since.

    Whoever takes a user has seen that no process had it, so what runs then is not a leftover.
    """
    if (lock := _lock(uids / str(uid))) is None:
        return
    try:
        for pid in processes_of(uid):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    finally:
        os.close(lock)


def _lease_uid(uids: Path) -> tuple[Identity, int]:
    uids.mkdir(parents=True, exist_ok=True, mode=0o700)
    for uid in range(FIRST_UID, FIRST_UID + UIDS):
        lock = _lock(uids / str(uid))
        if lock is None:
            continue
        if not _known(uid) and not processes_of(uid):
            return Identity(uid, uid), lock
        os.close(lock)
    raise SandboxUnavailable(f"all {UIDS} users for sandboxes are taken", missing="users")


def _known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _lock(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
