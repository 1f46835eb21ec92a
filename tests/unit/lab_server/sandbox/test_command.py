"""The bubblewrap command: no mount point lies where a box could have put a link (CVE-2026-87766)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab_server.sandbox.bubblewrap_command import command, is_hardened, misplaced_mounts
from lab_server.sandbox.port import Limits


def ours() -> list[str]:
    return command("bwrap", Path("/image"), Limits(), 9)


def test_our_command_mounts_nothing_below_a_folder_that_a_box_wrote() -> None:
    assert misplaced_mounts(ours()) == []


@pytest.mark.parametrize(
    "added",
    [
        ("--ro-bind", "/host/tools", "/box/tools"),
        ("--dir", "/tmp/made"),
        ("--ro-bind-data", "7", "/box/config"),
        ("--symlink", "/usr", "/run/usr"),
        ("--tmpfs", "/box"),
    ],
)
def test_a_mount_point_in_a_writable_folder_is_found(added: tuple[str, ...]) -> None:
    words = ours()
    split = words.index("--cap-drop")

    assert misplaced_mounts([*words[:split], *added, *words[split:]]) == [added[-1]]


def test_a_bound_folder_counts_as_written() -> None:
    assert misplaced_mounts(["--bind", "/data", "/data", "--dir", "/data/x", "--", "--dir", "/data/y"]) == ["/data/x"]


def test_the_only_path_of_the_host_is_the_image_and_what_hides_facts() -> None:
    words = ours()
    sources = {words[at + 1] for at, word in enumerate(words) if word == "--ro-bind"}

    assert sources == {"/image", "/dev/null"}
    assert not {"--bind", "--dev-bind", "--share-net", "--cap-add"} & set(words)


def test_versions_are_compared_as_numbers() -> None:
    assert [is_hardened(version) for version in ("0.8.0", "0.11.0", "0.12.0", "0.13.1", "1.0", "")] == [
        *(False, False, True, True, True, False)
    ]
