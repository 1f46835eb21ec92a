"""Assembles the system-call filter of a box: an allow-list as classic BPF, without a library.

A filter is a list of 8-byte instructions that the kernel runs over `struct seccomp_data` (nr at 0, architecture at 4,
the low half of argument n at 16 + 8n). Linux, `Documentation/userspace-api/seccomp_filter.rst`.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from lab_server.sandbox.syscalls import ALLOWED, JUDGED, SHARED_MEMORY, Machine

ARCHITECTURES: dict[Machine, int] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_X32_BIT = 0x4000_0000  # the second, rarely looked-at system-call table of x86_64

ALLOW = 0x7FFF_0000
KILL = 0x8000_0000
_ERRNO = 0x0005_0000

_LOAD, _AND, _EQUAL, _ABOVE, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4

_NEW_NAMESPACES = 0x7E02_0000  # CLONE_NEW{USER,PID,NET,IPC,UTS,NS,CGROUP}; CLONE_NEWTIME only exists in clone3
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6; a network namespace does not cover AF_VSOCK
_SOCKET_TYPES = (1, 2, 5)  # stream, datagram, seqpacket; never raw or packet
_PROTOCOLS = (0, 6, 17)  # default, TCP, UDP; never ICMP, SCTP, MPTCP
_TERMINAL_TRICKS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX type into a terminal, TIOCSETD loads line disciplines
_PERSONALITIES = (0, 0xFFFF_FFFF)  # the plain one, and the question which one is set

Instruction = tuple[int, int, int, int]


def deny(number: int) -> int:
    """Return the action that fails a call with an errno."""
    return _ERRNO | number


def assemble(machine: Machine, *, shared_memory: bool = True) -> bytes:
    """Return the filter for a machine; `shared_memory` allows memory that only a limit of the whole box counts."""
    judged = JUDGED[machine]
    names = ALLOWED[machine]
    numbers = sorted(number for name, number in names.items() if shared_memory or name not in SHARED_MEMORY)
    newest = max(*names.values(), *judged.values())
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        _end(KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32_BIT), _end(KILL)]
    # Programs fall back when a call is not there, and give up when it is forbidden.
    program += [(_AT_LEAST, 0, 1, newest + 1), _end(deny(errno.ENOSYS))]
    for name, rule in _RULES.items():
        program += [(_EQUAL, 0, len(rule), judged[name]), *rule]
    for low, high in _ranges(numbers):
        program += [(_AT_LEAST, 0, 2, low), (_ABOVE, 1, 0, high), _end(ALLOW)]
    program.append(_end(deny(errno.EPERM)))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _end(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _argument(number: int) -> Instruction:
    # The kernel takes these arguments as 32 bits, so what stands above cannot matter.
    return (_LOAD, 0, 0, 16 + 8 * number)


def _one_of(values: tuple[int, ...], otherwise: int) -> list[Instruction]:
    # Falls through to the next instruction when the loaded value is one of these.
    tests = [(_EQUAL, len(values) - position, 0, value) for position, value in enumerate(values)]
    return [*tests, _end(otherwise)]


_RULES: dict[str, list[Instruction]] = {
    "clone": [_argument(0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _end(deny(errno.EPERM)), _end(ALLOW)],
    "clone3": [_end(deny(errno.ENOSYS))],  # its flags are behind a pointer; the C library falls back to clone
    "socket": [
        *(_argument(0), *_one_of(_FAMILIES, deny(errno.EAFNOSUPPORT))),
        *(_argument(1), (_AND, 0, 0, 0xF), *_one_of(_SOCKET_TYPES, deny(errno.EPERM))),
        *(_argument(2), *_one_of(_PROTOCOLS, deny(errno.EPROTONOSUPPORT))),
        _end(ALLOW),
    ],
    "socketpair": [_argument(0), *_one_of((1,), deny(errno.EAFNOSUPPORT)), _end(ALLOW)],
    "ioctl": [
        *(_argument(1), *[(_EQUAL, len(_TERMINAL_TRICKS) - at, 0, cmd) for at, cmd in enumerate(_TERMINAL_TRICKS)]),
        *(_end(ALLOW), _end(deny(errno.EPERM))),
    ],
    "personality": [_argument(0), *_one_of(_PERSONALITIES, deny(errno.EPERM)), _end(ALLOW)],
}


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
