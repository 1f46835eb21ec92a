"""How commands read and write files: nothing that waits for ever, nothing half written, nothing unprintable said.

The one module of this package besides the command line that touches a disk.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from attestations.errors import FileUnusable

MAX_WHOLE_BYTES = 1 << 30  # of a file that is read into memory at once
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM = frozenset({"SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_FSYNC"})
FULL = "the disk is full; nothing that was acknowledged is lost: free some space and run the command again"


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; a pipe, a device or a folder is refused without waiting for it.

    Raises:
        FileUnusable: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would block the open for ever
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise unreadable(path, error) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    raise FileUnusable(f"{shown(path)} cannot be read: it is {what}", path=shown(path))


def read_file(path: Path, limit: int = MAX_WHOLE_BYTES) -> bytes:
    """Return a file's bytes; of one that passes the limit, enough for its reader to see that.

    Raises:
        FileUnusable: it cannot be read.
    """
    with open_file(path) as stream:
        try:
            # Room for `limit` bytes is not taken before it is known to be needed: a small machine may not have it.
            return stream.read(limit + 1 if os.fstat(stream.fileno()).st_size > limit else -1)
        except OSError as error:
            raise unreadable(path, error) from None


def write_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file that appears whole or not at all; what it replaces stays until then.

    Raises:
        FileUnusable: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, a terminal: nothing to replace
            with path.open("wb") as out:
                out.writelines(parts)
            return
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as out:
                out.writelines(parts)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: Exception) -> FileUnusable:
    """Return the error for a file or folder that cannot be written."""
    return FileUnusable(f"{shown(path)} cannot be written: {because(error)}", path=shown(path))


def unreadable(path: Path, error: Exception) -> FileUnusable:
    """Return the error for a file that cannot be read."""
    return FileUnusable(f"{shown(path)} cannot be read: {because(error)}", path=shown(path))


def because(error: Exception) -> str:
    """Say why a file or a database in one could not be used, in words."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or type(error).__name__
    name = str(getattr(error, "sqlite_errorname", ""))
    if name == "SQLITE_FULL":
        return "the disk is full"
    if name in _NO_ROOM:
        return "the disk is full, or does not let itself be written"
    return str(error) if name else "it has no usable name"


def is_full(error: OSError) -> bool:
    """Tell whether it is room that is missing: on the disk, under a quota or under a limit on file sizes."""
    return error.errno in _FULL


def shown(path: Path | str | bytes) -> str:
    """Return a file's name as it may be printed: names may hold anything, terminals and logs may not."""
    text = os.fsencode(path).decode(errors="replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


class Lines:
    """A log that is only ever helpful: a line that cannot be written is counted, and never stops the work."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, to add to its end."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._torn = False
        self.lost = 0

    def write(self, text: str) -> int:
        """Add whole lines, or count them as lost."""
        data = text.encode(errors="backslashreplace")
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0
        if written < len(data):
            self.lost += 1
            self._torn = self._torn if written == 0 else not data[:written].endswith(b"\n")
        else:
            self._torn = False
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
