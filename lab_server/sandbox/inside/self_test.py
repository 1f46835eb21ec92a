"""Looks at the walls of a box from inside, as a program in it would; prints `name TAB held TAB words`, one look a line.

Each look is one attempt that must fail or one fact that must be so. The host decides which of them its provider
has to pass; before any foreign code has run, this code can be believed.
"""

from __future__ import annotations

import _socket as socket
import ctypes
import marshal
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Look: TypeAlias = Callable[[dict[str, Any]], tuple[bool, str]]

_CLONE_NEWUSER, _MS_BIND = 0x1000_0000, 0x1000
_ROOT_ENTRIES = ("/", "/usr", "/dev", "/bin")
_SETTINGS = (  # through each of these the host's root could be had
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sysrq-trigger",
)


def _filter(_: dict[str, Any]) -> tuple[bool, str]:
    found = _status()
    return found.get("Seccomp") == "2" and found.get("NoNewPrivs") == "1", f"mode {found.get('Seccomp')}"


def _identity(_: dict[str, Any]) -> tuple[bool, str]:
    found = _status()
    powers = any(int(found.get(name, "0"), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    return os.getuid() != 0 and os.geteuid() != 0 and not powers, "no capabilities" if not powers else "capabilities"


def _namespaces(_: dict[str, Any]) -> tuple[bool, str]:
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.unshare(_CLONE_NEWUSER) == 0
    mounted = libc.mount(b"/tmp", b"/box", None, _MS_BIND, None) == 0
    return not made and not mounted, "refused" if not made and not mounted else "allowed"


def _sockets(_: dict[str, Any]) -> tuple[bool, str]:
    wanted = {
        "vsock": (40, socket.SOCK_STREAM, 0),
        "netlink": (16, socket.SOCK_RAW, 0),
        "packet": (17, socket.SOCK_RAW, 0),
        "raw": (socket.AF_INET, socket.SOCK_RAW, 1),
    }
    made = [name for name, kind in wanted.items() if _can_make(*kind)]
    return not made, ",".join(made) or "refused"


def _no_vsock(_: dict[str, Any]) -> tuple[bool, str]:
    made = _can_make(40, socket.SOCK_STREAM, 0)
    return not made, "allowed" if made else "refused"


def _network(_: dict[str, Any]) -> tuple[bool, str]:
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file.readlines()[2:]]
    return names in ([], ["lo"]), ",".join(names)


def _host_loopback(call: dict[str, Any]) -> tuple[bool, str]:
    reached = []
    for name, family, address in (
        ("tcp", socket.AF_INET, ("127.0.0.1", call["port"])),
        ("abstract", socket.AF_UNIX, "\0" + call["abstract"]),
    ):
        sock = socket.socket(family, socket.SOCK_STREAM, 0)
        sock.settimeout(1)
        try:
            sock.connect(address)
            reached.append(name)
        except OSError:
            pass
        sock.close()
    return not reached, ",".join(reached) or "unreachable"


def _read_only(_: dict[str, Any]) -> tuple[bool, str]:
    written = [folder for folder in _ROOT_ENTRIES if _can_write(folder)]
    return not written, ",".join(written) or "refused"


def _kernel_settings(_: dict[str, Any]) -> tuple[bool, str]:
    open_ones = [path for path in _SETTINGS if _opens(path)]
    return not open_ones, open_ones[0] if open_ones else "refused"


def _processes(_: dict[str, Any]) -> tuple[bool, str]:
    seen = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return len(seen) <= 3, f"{len(seen)} processes"  # noqa: PLR2004 - at most a reaper, the supervisor and this one


def _first_process(_: dict[str, Any]) -> tuple[bool, str]:
    found = ""
    for name in ("environ", "mem", "maps"):
        try:
            with open(f"/proc/1/{name}", "rb") as file:
                found += name if file.read(1) else ""
        except OSError:
            pass
    return not found, found or "hidden"


def _environment(call: dict[str, Any]) -> tuple[bool, str]:
    extra = sorted(set(os.environ) - set(call["env"]) - {"LC_CTYPE"})  # Python sets LC_CTYPE itself
    return not extra, f"{len(extra)} more variables"


def _descriptors(_: dict[str, Any]) -> tuple[bool, str]:
    found = [fd for fd in range(3, 1024) if _is_open(fd)]
    return not found, f"{len(found)} more open"


def _program_limits(call: dict[str, Any]) -> tuple[bool, str]:
    pids = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    cores = resource.getrlimit(resource.RLIMIT_CORE)[0]
    held = pids == call["pids"] and size <= call["disk_mb"] << 20 and cores == 0
    return held, "set" if held else "not set"


def _disk(call: dict[str, Any]) -> tuple[bool, str]:
    found = os.statvfs("/box")
    size = found.f_blocks * found.f_frsize >> 20
    return size <= call["disk_mb"], f"{size} MB"


def _own_kernel(_: dict[str, Any]) -> tuple[bool, str]:
    with open("/proc/version") as file:
        words = file.read()
    try:
        log = ctypes.create_string_buffer(1 << 16)
        size = ctypes.CDLL(None).klogctl(3, log, len(log) - 1)
        gvisor = size > 0 and b"gVisor" in log.raw[:size]
    except AttributeError:
        gvisor = False
    return gvisor, "gVisor" if gvisor else words.split("(")[0].strip()


LOOKS: dict[str, Look] = {
    "filter": _filter,
    "identity": _identity,
    "namespaces": _namespaces,
    "sockets": _sockets,
    "vsock": _no_vsock,
    "network": _network,
    "host_loopback": _host_loopback,
    "read_only": _read_only,
    "kernel_settings": _kernel_settings,
    "processes": _processes,
    "first_process": _first_process,
    "environment": _environment,
    "descriptors": _descriptors,
    "program_limits": _program_limits,
    "disk": _disk,
    "own_kernel": _own_kernel,
}


def main() -> None:
    """Take the looks that stdin names and print what was found."""
    with open(0, "rb") as stdin:
        call = marshal.loads(stdin.read())  # noqa: S302 - the host's
    lines = []
    for name in call["looks"]:
        try:
            held, words = LOOKS[name](call)
        except Exception as error:  # noqa: BLE001 - a look that breaks has not held
            held, words = False, type(error).__name__
        lines.append(f"{name}\t{int(held)}\t{words}\n")
    os.write(1, "".join(lines).encode())


def _status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def _can_make(family: int, kind: int, protocol: int) -> bool:
    try:
        socket.socket(family, kind, protocol).close()
    except OSError:
        return False
    return True


def _can_write(folder: str) -> bool:
    path = f"{folder}/.self-test"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return False
    return True


def _opens(path: str) -> bool:
    # Opened and closed again, never written: writing is what must not be possible.
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
