"""Keeps the file systems that boxes run on, each in a folder named after the digest of everything in it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from attestations.errors import SandboxUnavailable
from lab_server.sandbox.image_contents import Contents, contents_of, lay

MOUNT_POINTS = ("/proc", "/dev", "/tmp", "/run", "/box")  # noqa: S108 - folders of the image, not of this machine
"""Empty folders that every image has, because nothing can be made on it later."""


class Images:
    """A folder of images; other users may read it, since a box's own user has to.

    An image is checked against its name once in the life of this object, when it is first used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: set[str] = set()

    def find(self, digest: str) -> Path:
        """Return the folder of an image.

        Raises:
            SandboxUnavailable: it is not here, or is not what its name says.
        """
        path = self._folder / digest
        if digest in self._checked:
            return path
        try:
            found = tree_digest(path)
        except OSError:
            raise SandboxUnavailable("the image is not on this machine", missing="image", image=digest) from None
        if found != digest:
            raise SandboxUnavailable("the image has been changed", missing="image", image=digest)
        for point in MOUNT_POINTS:
            mode = (path / point.lstrip("/")).lstat().st_mode
            if not stat.S_ISDIR(mode):  # a link there would lead a mount astray
                raise SandboxUnavailable("the image lacks a folder to mount on", missing="image", image=digest)
        self._checked.add(digest)
        return path

    def build(self, distributions: tuple[str, ...] = ()) -> str:
        """Return the digest of the image of this machine's Python with these distributions and what they need.

        Takes seconds the first time; the same inputs are built once. Never more of the host than that.

        Raises:
            SandboxUnavailable: a distribution is not installed, or the image cannot be written.
        """
        contents = contents_of(distributions)
        named = self._folder / f"{contents.key()}.image"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waits finds what the other has built
                return self._built(named) or self._build(contents, named)
        except OSError as error:
            raise SandboxUnavailable(f"the image cannot be written: {error.strerror}", missing="image") from None

    def _built(self, named: Path) -> str | None:
        try:
            digest = named.read_text().strip()
            self.find(digest)
        except (OSError, SandboxUnavailable):
            return None
        return digest

    def _build(self, contents: Contents, named: Path) -> str:
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self._folder))
        try:
            root = part / "root"
            lay(contents, root)
            for point in MOUNT_POINTS:
                (root / point.lstrip("/")).mkdir(exist_ok=True)
            _seal(root)
            digest = tree_digest(root)
            if not (self._folder / digest).is_dir():
                root.rename(self._folder / digest)
            name = part / "name"
            name.write_text(digest + "\n")
            name.replace(named)
        finally:
            _unseal(part)
            shutil.rmtree(part, ignore_errors=True)
        return digest


def tree_digest(root: Path) -> str:
    """Return the SHA-256 over the names, kinds, permissions and bytes of everything below `root`, 64 hex digits."""
    whole = hashlib.sha256()
    for path in _walk(root):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            kind, content = "link", bytes(path.readlink())
        elif stat.S_ISDIR(found.st_mode):
            kind, content = "folder", b""
        elif stat.S_ISREG(found.st_mode):
            kind, content = "file", hashlib.sha256(path.read_bytes()).digest()
        else:
            raise SandboxUnavailable("an image holds something that is no file, folder or link", missing="image")
        head = f"{path.relative_to(root)}\0{kind}\0{stat.S_IMODE(found.st_mode):o}\0{len(content)}\0"
        whole.update(head.encode("utf-8", "surrogateescape") + content)
    return whole.hexdigest()


def default_folder() -> Path:
    """Return where images are kept: a folder that the users of boxes can reach."""
    if os.geteuid() == 0:
        return Path("/var/cache/safeconduct/images")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "safeconduct" / "images"


def _walk(root: Path) -> Iterator[Path]:
    for entry in sorted(root.iterdir()):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def _seal(root: Path) -> None:
    _each(root, lambda path, mode: path.chmod(0o555 if stat.S_ISDIR(mode) or mode & 0o111 else 0o444))
    root.chmod(0o555)


def _unseal(root: Path) -> None:
    _each(root, lambda path, mode: path.chmod(0o755) if stat.S_ISDIR(mode) else None)


def _each(root: Path, change: Callable[[Path, int], None]) -> None:
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(folder) / name
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                change(path, mode)
