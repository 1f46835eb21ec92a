"""Reads and writes one file of the box for the host; only regular files, and nothing blocks."""

from __future__ import annotations

import errno
import os
import stat

from .framing import MAX_PAYLOAD, WINDOW

_HOME = "/box"
_RULES = {errno.ENOENT: "missing", errno.ENOTDIR: "missing", errno.ENOSPC: "space", errno.EFBIG: "size"}


class Refused(Exception):
    """Why a file cannot be read or written, as one word."""


class Writing:
    """A file that the host is sending."""

    def __init__(self, path: str, mode: int) -> None:
        full = os.path.join(_HOME, path)
        try:
            os.makedirs(os.path.dirname(full), mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._fd = os.open(full, flags, mode)
            self._full = full
            _require_regular(self._fd)
            os.fchmod(self._fd, mode)
        except OSError as error:
            raise Refused(rule_of(error)) from None

    def add(self, data: bytes) -> None:
        """Append bytes; a file for which there is no room is removed."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            os.unlink(self._full)
            raise Refused(rule_of(error)) from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Reading:
    """A file that the host is fetching."""

    def __init__(self, path: str, limit: int) -> None:
        self.credit = WINDOW
        self._room = limit
        try:
            self._fd = os.open(os.path.join(_HOME, path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise Refused(rule_of(error)) from None
        _require_regular(self._fd)
        if os.fstat(self._fd).st_size > limit:
            os.close(self._fd)
            raise Refused("size")

    def take(self) -> bytes | None:
        """Return the next bytes that may be sent, empty at the end, None when nothing may be sent yet."""
        if self.credit <= 0:
            return None
        try:
            data = os.read(self._fd, min(MAX_PAYLOAD, self.credit))
        except OSError as error:
            raise Refused(rule_of(error)) from None
        if len(data) > self._room:  # it grows while we read
            raise Refused("size")
        self._room -= len(data)
        self.credit -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def rule_of(error: OSError) -> str:
    """Return the word for an error of the file system."""
    return _RULES.get(error.errno or 0, "denied")


def _require_regular(fd: int) -> None:
    # What /proc shows looks regular, can block, and would be read as the supervisor.
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_dev == os.stat("/proc").st_dev:
        os.close(fd)
        raise Refused("kind")
