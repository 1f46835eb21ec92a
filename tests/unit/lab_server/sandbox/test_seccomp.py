"""The filter of system calls, run here instruction by instruction on calls of our choice."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import get_args

import pytest

from lab_server.sandbox.seccomp import ALLOW, ARCHITECTURES, KILL, assemble, deny
from lab_server.sandbox.syscalls import ALLOWED, JUDGED, SHARED_MEMORY, Machine

MACHINES: tuple[Machine, ...] = get_args(Machine)
MAX_INSTRUCTIONS = 4096  # the kernel takes no longer filter
FORBIDDEN = """
acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig fsmount
fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
keyctl lookup_dcookie mbind_x memfd_secret migrate_pages mknod mknodat modify_ldt mount mount_setattr move_mount
move_pages name_to_handle_at open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise
process_vm_readv process_vm_writev ptrace quotactl reboot request_key setdomainname sethostname setns settimeofday
swapoff swapon syslog umount2 unshare userfaultfd uselib vhangup
"""


def run(program: bytes, machine: Machine, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Return what the filter decides; a small interpreter of the instructions that filters may hold."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *values)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    position, register = 0, 0
    while True:
        operation, if_true, if_false, constant = code[position]
        position += 1
        if operation == 0x20:
            register = int.from_bytes(data[constant : constant + 4], "little")
        elif operation == 0x54:
            register &= constant
        elif operation == 0x06:
            return int(constant)
        else:
            truth = {
                0x15: register == constant,
                0x25: register > constant,
                0x35: register >= constant,
                0x45: bool(register & constant),
            }[operation]
            position += if_true if truth else if_false


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return request.param  # type: ignore[no-any-return]


def test_every_listed_call_is_allowed_and_every_other_number_is_not(machine: Machine) -> None:
    program = assemble(machine)
    allowed = set(ALLOWED[machine].values())
    judged = set(JUDGED[machine].values())
    newest = max(allowed | judged)

    for number in range(newest + 1):
        if number not in judged:
            expected = ALLOW if number in allowed else deny(errno.EPERM)
            assert expected == run(program, machine, number), number
    assert deny(errno.ENOSYS) == run(program, machine, newest + 1)
    assert len(program) // 8 < MAX_INSTRUCTIONS


def test_numbers_are_those_of_the_c_library_for_both_machines(machine: Machine) -> None:
    try:
        lib = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    resolve = lib.seccomp_syscall_resolve_name_arch
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    ours = {**ALLOWED[machine], **JUDGED[machine]}
    theirs = {name: resolve(ARCHITECTURES[machine], name.encode()) for name in ours}
    newer = {name for name, number in theirs.items() if number < 0}  # than this libseccomp

    assert newer <= {"fchmodat2", "futex_requeue", "futex_wait", "futex_wake", "map_shadow_stack", "mseal"}
    assert {name: number for name, number in ours.items() if name not in newer} == {
        name: number for name, number in theirs.items() if name not in newer
    }
    refused = {resolve(ARCHITECTURES[machine], name.encode()) for name in FORBIDDEN.split()}
    assert not refused & set(ours.values())


def test_another_machine_s_calls_and_the_second_table_end_the_program(machine: Machine) -> None:
    program = assemble(machine)

    assert run(program, machine, 0, architecture=0x4000_0003) == KILL
    if machine == "x86_64":
        assert run(program, machine, 0x4000_0000) == KILL


def test_new_namespaces_are_refused_and_threads_and_processes_are_not(machine: Machine) -> None:
    program, number = assemble(machine), JUDGED[machine]["clone"]

    for flag in (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000):
        assert deny(errno.EPERM) == run(program, machine, number, flag | 17)
    assert run(program, machine, number, 17) == ALLOW
    assert run(program, machine, number, 0x3D_0F00) == ALLOW  # what pthread_create asks
    assert deny(errno.ENOSYS) == run(program, machine, JUDGED[machine]["clone3"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, 1, 0), ALLOW),
        ((2, 0x80801, 6), ALLOW),
        ((10, 2, 17), ALLOW),
        ((1, 5, 0), ALLOW),
        ((40, 1, 0), deny(errno.EAFNOSUPPORT)),
        ((16, 3, 0), deny(errno.EAFNOSUPPORT)),
        ((17, 3, 0), deny(errno.EAFNOSUPPORT)),
        ((38, 5, 0), deny(errno.EAFNOSUPPORT)),
        ((2, 3, 1), deny(errno.EPERM)),
        ((2, 0x80803, 6), deny(errno.EPERM)),
        ((2, 2, 1), deny(errno.EPROTONOSUPPORT)),
        ((2, 1, 262), deny(errno.EPROTONOSUPPORT)),
        ((2 | 1 << 32, 1, 6), ALLOW),  # the kernel reads 32 bits, and so do we
        ((40 | 1 << 32, 1, 0), deny(errno.EAFNOSUPPORT)),
    ],
)
def test_only_plain_sockets_can_be_made(machine: Machine, arguments: tuple[int, ...], expected: int) -> None:
    assert expected == run(assemble(machine), machine, JUDGED[machine]["socket"], *arguments)


def test_terminals_and_personalities_cannot_be_tricked(machine: Machine) -> None:
    program, judged = assemble(machine), JUDGED[machine]

    for command in (0x5412, 0x541C, 0x5423):
        assert deny(errno.EPERM) == run(program, machine, judged["ioctl"], 0, command)
    assert run(program, machine, judged["ioctl"], 0, 0x5401) == ALLOW
    assert run(program, machine, judged["personality"], 0xFFFF_FFFF) == ALLOW
    assert deny(errno.EPERM) == run(program, machine, judged["personality"], 0x40000)
    assert run(program, machine, judged["socketpair"], 1) == ALLOW
    assert deny(errno.EAFNOSUPPORT) == run(program, machine, judged["socketpair"], 40)


def test_memory_that_nothing_counts_is_refused_where_the_box_has_no_limit(machine: Machine) -> None:
    program = assemble(machine, shared_memory=False)

    for name in SHARED_MEMORY:
        assert deny(errno.EPERM) == run(program, machine, ALLOWED[machine][name])
    assert run(program, machine, ALLOWED[machine]["mmap"]) == ALLOW
