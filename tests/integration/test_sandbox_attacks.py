"""Attacks on a box, each of which first succeeds against a bare subprocess (else it would prove nothing).

What happened is judged by what the host sees (sandbox.md 3 and 6.6), as root and as an ordinary user.
"""

from __future__ import annotations

import os

import pytest

from tests.support import sandboxes
from tests.support.attacked_world import run_attacks
from tests.support.sandboxes import ORDINARY_UID, as_user, folder_for, remove

pytestmark = pytest.mark.skipif(sandboxes.needs_bwrap, reason=sandboxes.NO_BWRAP)

ESCAPES = [
    *("read_shadow", "read_secret", "environments", "write_outside", "host_tcp", "host_udp", "host_abstract"),
    *("host_path_socket", "vsock", "odd_sockets", "victim_memory", "kill_victim", "see_processes"),
    *("kernel_settings", "new_namespaces", "host_kernel_calls", "inherited_descriptors", "planted_links", "daemon"),
]
BOMBS = [
    *("fork_bomb", "thread_bomb", "memory_bomb", "memory_bombs", "shared_memory_fill", "disk_fill", "many_files"),
    *("endless_loop", "output_flood"),
]
# What an ordinary user cannot do to this machine even without a sandbox.
BEYOND_A_USER = {"read_shadow", "kernel_settings"}


@pytest.fixture(scope="module", params=["root", "user"])
def outcomes(request: pytest.FixtureRequest) -> dict[str, dict[str, bool]]:
    """Which attacks succeeded against a bare subprocess and a box, started by root or by an ordinary user."""
    as_root = request.param == "root"
    if as_root and os.geteuid() != 0:
        pytest.skip("this test run is not root")
    kept, digest, _ = sandboxes.image()
    found: dict[str, dict[str, bool]] = {"by": {"root": as_root}}
    for work in ("bare", "box"):
        folder = folder_for(0 if as_root else ORDINARY_UID if os.geteuid() == 0 else os.geteuid())
        arguments = (work, folder, kept, digest, [*ESCAPES, *BOMBS])
        try:
            found[work] = run_attacks(*arguments) if as_root else as_user(run_attacks, *arguments)
        finally:
            remove(folder)
    return found


@pytest.mark.parametrize("attack", [*ESCAPES, *BOMBS])
def test_an_attack_succeeds_bare_and_fails_in_a_box(outcomes: dict[str, dict[str, bool]], attack: str) -> None:
    as_root = outcomes["by"]["root"]

    assert outcomes["bare"][attack] == (as_root or attack not in BEYOND_A_USER)
    assert not outcomes["box"][attack]
