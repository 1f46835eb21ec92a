"""Control groups of both versions; version 2 in a folder that looks like one, since this needs no kernel."""

from __future__ import annotations

from pathlib import Path

from lab_server.sandbox.cgroups import Group, Parents, find_parents, remove_all
from lab_server.sandbox.port import Limits

LIMITS = Limits(memory_mb=64, pids=32, cpu_cores=0.5)


def hierarchy(folder: Path, kind: str, options: str, point: Path) -> str:
    return f"30 24 0:26 / {point} rw,nosuid - {kind} {kind} rw{options}\n"


def version_two(folder: Path, controllers: str, enabled: str) -> tuple[Path, Path, Path]:
    own = folder / "unified" / "lab.slice"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.subtree_control").write_text(enabled)
    mounts, ours = folder / "mountinfo", folder / "cgroup"
    mounts.write_text(hierarchy(folder, "cgroup2", "", folder / "unified"))
    ours.write_text("0::/lab.slice\n")
    return mounts, ours, own


def test_version_two_has_one_folder_for_every_controller(tmp_path: Path) -> None:
    mounts, ours, own = version_two(tmp_path, "cpu memory pids", "cpu memory pids")

    assert Parents(2, dict.fromkeys(("memory", "pids", "cpu"), own)) == find_parents(mounts, ours)


def test_a_controller_that_is_not_enabled_is_asked_for_and_not_claimed_before_it_is(tmp_path: Path) -> None:
    mounts, ours, own = version_two(tmp_path, "cpu memory pids", "pids")

    # A kernel would answer with what it has enabled; this file says what was asked.
    assert find_parents(mounts, ours) is None
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_version_two_writes_each_limit_in_its_own_unit(tmp_path: Path) -> None:
    group = Group("box", Parents(2, dict.fromkeys(("memory", "pids", "cpu"), tmp_path)))
    group.make(LIMITS)
    box = tmp_path / "box"

    assert group.enforced == {"memory_mb", "pids", "cpu_cores"}
    assert (box / "memory.max").read_text() == str(64 << 20)
    assert (box / "pids.max").read_text() == "32"
    assert (box / "cpu.max").read_text() == "50000 100000"


def test_what_was_used_is_read_from_either_version(tmp_path: Path) -> None:
    names = ("memory", "pids", "cpu", "cpuacct")
    two, one = (
        Group("two", Parents(2, dict.fromkeys(names, tmp_path))),
        Group("one", Parents(1, dict.fromkeys(names, tmp_path))),
    )
    files = {
        "two/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
        "two/memory.peak": f"{7 << 20}\n",
        "two/memory.events": "low 0\noom 2\noom_kill 2\n",
        "one/cpuacct.usage": "1500000000\n",
        "one/memory.max_usage_in_bytes": f"{7 << 20}\n",
        "one/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert [two.usage(), one.usage()] == [(1.5, 7), (1.5, 7)]
    assert [two.oom_kills(), one.oom_kills()] == [2, 2]


def test_no_hierarchy_with_a_memory_controller_means_no_groups(tmp_path: Path) -> None:
    mounts, ours, _ = version_two(tmp_path, "hugetlb", "")

    assert find_parents(mounts, ours) is None
    assert find_parents(tmp_path / "none", ours) is None


async def test_removing_what_is_not_there_ends_at_once(tmp_path: Path) -> None:
    await remove_all([str(tmp_path / "none")])
