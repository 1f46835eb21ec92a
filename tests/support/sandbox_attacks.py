"""Attempts to get out of whatever a program is kept in, as one script: `python3 sandbox_attacks.py NAME < facts.json`.

It runs inside, with the standard library alone, and prints what it got; the host decides whether that was an escape.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import sys
import time
from typing import Any

Facts = dict[str, Any]
libc = ctypes.CDLL(None, use_errno=True)
# Numbers on x86_64; a call that is not allowed or does not exist counts the same.
HOST_KERNEL_CALLS = {
    "keyctl": (250, 0, -3, 0),
    "add_key": (248, b"user", b"x", b"y", 1, -3),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "io_uring_setup": (425, 8, ctypes.create_string_buffer(256)),
    "userfaultfd": (323, 1),
    "memfd_secret": (447, 0),
    "fanotify_init": (300, 0, 0),
    "process_vm_readv": (310, 0, 0, 0, 0, 0, 0),
    "open_by_handle_at": (304, -1, 0, 0),
    "pidfd_getfd": (438, -1, 0, 0),
}
SILENT = {"bpf", "perf_event_open", "process_vm_readv", "open_by_handle_at", "pidfd_getfd"}  # fail for other reasons
EPERM, ENOSYS = 1, 38


def read_shadow(facts: Facts) -> str:
    return _read("/etc/shadow")


def read_secret(facts: Facts) -> str:
    return _read(facts["secret_file"])


def environments(facts: Facts) -> str:
    found = [_read(f"/proc/{pid}/environ") for pid in os.listdir("/proc") if pid.isdigit()]
    return "".join(found) + json.dumps(dict(os.environ))


def write_outside(facts: Facts) -> str:
    with contextlib.suppress(OSError), open(facts["outside"] + "/written", "w") as file:
        file.write("x")
    return ""


def host_tcp(facts: Facts) -> str:
    return _talk(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", facts["tcp"]))


def host_udp(facts: Facts) -> str:
    return _talk(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", facts["udp"]))


def host_abstract(facts: Facts) -> str:
    return _talk(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + facts["abstract"])


def host_path_socket(facts: Facts) -> str:
    return _talk(socket.AF_UNIX, socket.SOCK_STREAM, facts["path_socket"])


def vsock(facts: Facts) -> str:
    return _make("vsock", 40, socket.SOCK_STREAM, 0)


def odd_sockets(facts: Facts) -> str:
    return (
        _make("netlink ", 16, socket.SOCK_RAW, 0)
        + _make("packet ", 17, socket.SOCK_RAW, 0)
        + _make("raw", socket.AF_INET, socket.SOCK_RAW, 1)
    )


def victim_memory(facts: Facts) -> str:
    found = []
    with contextlib.suppress(OSError), open(f"/proc/{facts['victim']}/maps") as maps:
        regions = [line.split() for line in maps if " rw-p" in line]
        with open(f"/proc/{facts['victim']}/mem", "rb") as memory:
            for words in regions:
                low, high = (int(part, 16) for part in words[0].split("-"))
                with contextlib.suppress(OSError):
                    memory.seek(low)
                    found += re.findall(rb"secret-[0-9a-f]{16}", memory.read(min(high - low, 32 << 20)))
    return b" ".join(found[:100]).decode()


def kill_victim(facts: Facts) -> str:
    with contextlib.suppress(OSError):
        os.kill(facts["victim"], signal.SIGKILL)
    return ""


def see_processes(facts: Facts) -> str:
    return f"{len([name for name in os.listdir('/proc') if name.isdigit()])}"


def kernel_settings(facts: Facts) -> str:
    found = []
    for folder, _, names in os.walk("/proc/sys"):
        for path in (f"{folder}/{name}" for name in names if name != "ns_last_pid"):  # open to all, obeys few
            with contextlib.suppress(OSError):
                owner = os.stat(path).st_uid
                os.close(os.open(path, os.O_WRONLY))
                if owner != os.getuid() or owner == 0:  # else it is of a namespace of our own
                    found.append(path)
    return " ".join(found)


def new_namespaces(facts: Facts) -> str:
    return _in_child(lambda: "made" if libc.unshare(0x1000_0000) == 0 else "") + _in_child(
        lambda: "mounted" if libc.mount(b"/tmp", b"/tmp", None, 0x1000, None) == 0 else ""
    )


def host_kernel_calls(facts: Facts) -> str:
    found = []
    for name, arguments in HOST_KERNEL_CALLS.items():
        ctypes.set_errno(0)
        result = libc.syscall(*arguments)
        if result >= 0 or (name not in SILENT and ctypes.get_errno() not in (EPERM, ENOSYS)):
            found.append(name)
    return " ".join(found)


def inherited_descriptors(facts: Facts) -> str:
    found = ""
    for fd in range(3, 256):
        with contextlib.suppress(OSError):
            found += f"[{fd}]" + os.pread(fd, 1000, 0).decode()
    return found


def daemon(facts: Facts) -> str:
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(30)", facts["marker"]])
        os._exit(0)
    time.sleep(0.3)
    return ""


def planted_links(facts: Facts) -> str:
    for name in ("link", "deep/link"):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with contextlib.suppress(OSError):
            os.symlink(facts["secret_file"], name)
    with contextlib.suppress(OSError):
        os.symlink(os.path.dirname(facts["secret_file"]), "folder")
    return ""


def attack_supervisor(facts: Facts) -> str:
    found = []
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGINT):
        with contextlib.suppress(OSError):
            os.kill(1, number)
    found += [name for name in ("environ", "mem", "maps") if _read(f"/proc/1/{name}")]
    with contextlib.suppress(OSError):
        found += os.listdir("/proc/1/fd")
    if libc.ptrace(16, 1, 0, 0) == 0:
        found.append("ptrace")
    return " ".join(found)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("latin-1")
    except OSError:
        return ""


def _talk(family: int, kind: int, address: Any) -> str:
    with contextlib.suppress(OSError), socket.socket(family, kind) as sock:
        sock.settimeout(1)
        sock.connect(address)
        sock.send(b"hello")
    return ""


def _make(name: str, family: int, kind: int, protocol: int) -> str:
    try:
        socket.socket(family, kind, protocol).close()
    except OSError:
        return ""
    return name


def _in_child(attempt: Any) -> str:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, attempt().encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    return os.read(reading, 100).decode()


if __name__ == "__main__":
    sys.stdout.write(globals()[sys.argv[1]](json.load(sys.stdin)))
    sys.stdout.flush()
    os._exit(0)
