"""What every sandbox provider must do; an adapter is done when it passes."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from attestations.errors import SandboxFileRefused, SandboxLimit, SandboxLost, SandboxUnavailable
from lab_server.sandbox import cgroups, leases
from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.gvisor import GVisor
from lab_server.sandbox.kubernetes_cluster import Cluster
from lab_server.sandbox.kubernetes_jobs import KubernetesJobs
from lab_server.sandbox.port import ByteStream, Input, Limits, Provider, Sandbox, Spec, Tier
from tests.support import sandboxes
from tests.support.fake_cluster import fake_cluster
from tests.support.sandboxes import folder_for, remove

pytestmark = pytest.mark.asyncio(loop_scope="module")  # most tests share one box
LIMITS = Limits(wall_s=90, memory_mb=192, pids=64, disk_mb=16, files=500, exec_output_bytes=32 << 10)
ECHO = """
import socket
with socket.create_connection(("127.0.0.1", 8080)) as sock:
    sock.sendall(b"x" * {size})
    sock.shutdown(socket.SHUT_WR)
    got = b""
    while data := sock.recv(65536):
        got += data
print(len(got), set(got))
"""


@pytest.fixture(scope="module", params=["bubblewrap", "gvisor", "kubernetes"])
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    if request.param != "gvisor" and sandboxes.needs_bwrap:
        pytest.skip(sandboxes.NO_BWRAP)
    if request.param == "gvisor" and shutil.which("runsc") is None:
        pytest.skip("runsc is not installed: apt-get install runsc")
    images, digest, root = sandboxes.image()
    with ExitStack() as held:
        folder = folder_for(os.geteuid())
        held.callback(remove, folder)
        if request.param == "bubblewrap":
            yield Bubblewrap(images, state=folder, allow_degraded=True)
        elif request.param == "gvisor":
            made = GVisor(images, state=folder, allow_degraded=True)
            if not asyncio.run(made.doctor()).usable:
                pytest.skip("this runsc cannot make a box on this machine")
            yield made
        else:
            client = pytest.importorskip("kubernetes.client", reason="safeconduct[kubernetes] is not installed")
            _, address = held.enter_context(fake_cluster(root))
            cluster = Cluster("audits", client.Configuration(host=address))
            held.callback(cluster.close)
            names = {digest: f"registry.example/box@sha256:{digest}"}
            yield KubernetesJobs(cluster, names, owner="tests", runtime_class=None)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No control group of ours outlives the tests; other tests of this machine may have theirs."""
    made: list[str] = []
    make = leases.lease

    def noted(state: Path, uids: Path | None) -> leases.Lease:
        held = make(state, uids)
        made.append(held.name)
        return held

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "lease", noted)
        yield
    parents = cgroups.find_parents()
    folders = set(parents.folders.values()) if parents is not None else set()
    assert [name for name in made if any((folder / f"safeconduct-{name}").exists() for folder in folders)] == []


@pytest.fixture(scope="module")
def spec() -> Spec:
    digest = sandboxes.image()[1]
    inputs = {"in/run.sh": Input(b"#!/bin/sh\necho ran $1\n", executable=True), "in/data": Input(b"data")}
    return Spec(digest, inputs=inputs, env={"MODE": "test"}, limits=LIMITS)


async def echo(stream: ByteStream) -> None:
    while data := await stream.read(10_000):
        await stream.write(data)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(provider: Provider, spec: Spec) -> AsyncIterator[Sandbox]:
    made = await provider.create(spec, echo)
    yield made
    await made.close()


async def test_a_program_runs_and_says_how_it_ended(box: Sandbox) -> None:
    done = await box.exec(["sh", "-c", "cat; echo problem >&2; exit 3"], stdin=b"words", timeout=20)

    assert (done.rc, done.signal, done.stdout, done.stderr, done.reason) == (3, None, b"words", b"problem\n", "exited")


async def test_a_signal_a_missing_program_and_a_missing_folder_are_told_apart(box: Sandbox) -> None:
    ended = await box.exec(["sh", "-c", "kill -9 $$"], timeout=20)
    missing = await box.exec(["no-such-program"], timeout=20)
    nowhere = await box.exec(["true"], cwd="/nowhere", timeout=20)

    assert (ended.rc, ended.signal) == (None, 9)
    assert (missing.rc, nowhere.rc) == (127, 127)


async def test_inputs_environment_and_folder_are_as_asked_and_nothing_else(box: Sandbox) -> None:
    done = await box.exec(["in/run.sh", "it"], timeout=20)
    seen = await box.exec(["env"], env={"EXTRA": "1"}, cwd="/box/in", timeout=20)

    assert done.stdout == b"ran it\n"
    names = {line.split(b"=")[0] for line in seen.stdout.splitlines()}
    assert {b"MODE", b"EXTRA", b"PATH", b"HOME", b"TMPDIR", b"LANG"} <= names
    assert not names - {b"MODE", b"EXTRA", b"PATH", b"HOME", b"TMPDIR", b"LANG", b"PWD", b"SHLVL", b"_", b"OLDPWD"}


async def test_files_enter_and_leave_whole(box: Sandbox) -> None:
    data = os.urandom(700_000)

    await box.write("new/folder/file", data)

    assert data == await box.read("new/folder/file", max_bytes=1 << 20)
    assert await box.read("/box/in/data", max_bytes=4) == b"data"


@pytest.mark.parametrize(
    ("path", "rule"),
    [("none", "missing"), ("in", "kind"), ("in/data", "size"), ("/proc/version", "kind"), ("/dev/null", "kind")],
)
async def test_what_is_no_file_that_fits_is_not_read(box: Sandbox, path: str, rule: str) -> None:
    with pytest.raises(SandboxFileRefused) as refused:
        await box.read(path, max_bytes=3)

    assert rule == refused.value.facts["rule"]


async def test_a_file_that_does_not_fit_or_may_not_be_is_refused_and_leaves_nothing(box: Sandbox) -> None:
    for path, data in (("big", b"x" * (20 << 20)), ("/usr/new", b"x")):
        with pytest.raises(SandboxFileRefused):
            await box.write(path, data)

    with pytest.raises(SandboxFileRefused):
        await box.read("big", max_bytes=1)


async def test_time_is_kept_by_the_host_and_children_go_along(box: Sandbox) -> None:
    done = await box.exec(["sh", "-c", "(trap '' TERM; sleep 60) & echo started; sleep 60"], timeout=0.6)
    left = await box.exec(["sh", "-c", "cat /proc/[0-9]*/comm"], timeout=20)

    assert (done.reason, done.stdout) == ("timeout", b"started\n")
    assert b"sleep" not in left.stdout


async def test_output_is_cut_where_the_limit_is(box: Sandbox) -> None:
    done = await box.exec(["yes"], timeout=20)

    assert ("output_limit", True, LIMITS.exec_output_bytes) == (done.reason, done.truncated, len(done.stdout))


async def test_a_program_ends_although_its_child_holds_the_output_open(box: Sandbox) -> None:
    done = await box.exec(["sh", "-c", "sleep 30 & echo done"], timeout=20)
    await box.exec(["true"], timeout=20, kill_stragglers=True)
    left = await box.exec(["sh", "-c", "cat /proc/[0-9]*/comm"], timeout=20)

    assert (done.stdout, done.reason) == (b"done\n", "exited")
    assert done.wall_s < 10
    assert b"sleep" not in left.stdout


async def test_several_programs_run_at_once_and_stragglers_of_others_are_spared(box: Sandbox) -> None:
    slow = asyncio.create_task(box.exec(["sh", "-c", "sleep 1; echo slow"], timeout=20))
    await asyncio.sleep(0.2)
    quick = await asyncio.gather(
        *(box.exec(["sh", "-c", f"echo {number}"], timeout=20, kill_stragglers=True) for number in range(4))
    )

    assert [done.stdout for done in quick] == [b"0\n", b"1\n", b"2\n", b"3\n"]
    assert (await slow).stdout == b"slow\n"


async def test_a_cancelled_call_ends_its_program(box: Sandbox) -> None:
    running = asyncio.create_task(box.exec(["sleep", "60"], timeout=60))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.2)

    assert b"sleep" not in (await box.exec(["sh", "-c", "cat /proc/[0-9]*/comm"], timeout=20)).stdout


async def test_connections_to_the_model_carry_bytes_both_ways(box: Sandbox) -> None:
    code = ECHO.format(size=1_000_000)
    found = await asyncio.gather(*(box.exec(["python3", "-c", code], timeout=30) for _ in range(2)))

    assert [done.stdout for done in found] == [b"1000000 {120}\n"] * 2


async def test_the_evidence_says_what_was_enforced(box: Sandbox, provider: Provider) -> None:
    seen = box.evidence

    assert (provider.name, provider.tier) == (seen.provider, seen.tier)
    assert all(check.held for check in seen.self_test)
    assert len(seen.policy_digest) == len(seen.self_test_digest) == 64
    assert not set(seen.enforced) & set(seen.degraded)
    assert set(vars(LIMITS)) == {*seen.enforced, *seen.degraded}


async def test_the_policy_has_one_digest_for_all_boxes_of_a_kind(provider: Provider, spec: Spec) -> None:
    digests = set()
    for limits in (LIMITS, LIMITS, Limits(**{**vars(LIMITS), "disk_mb": 17})):
        box = await provider.create(Spec(spec.image, limits=limits), None)
        digests.add(box.evidence.policy_digest)
        await box.close()

    assert len(digests) == 2


async def test_a_box_whose_time_is_over_is_gone(provider: Provider, spec: Spec) -> None:
    box = await provider.create(Spec(spec.image, limits=Limits(**{**vars(LIMITS), "wall_s": 1.0})), None)

    with pytest.raises(SandboxLimit) as over:
        await box.exec(["sleep", "30"], timeout=30)
    with pytest.raises(SandboxLimit):
        await box.exec(["true"], timeout=30)
    await box.close()

    assert over.value.facts["limit"] == "wall_s"


async def test_closing_twice_is_harmless_and_afterwards_nothing_runs(provider: Provider, spec: Spec) -> None:
    box = await provider.create(spec, None)
    refused = await box.exec(["python3", "-c", ECHO.format(size=1)], timeout=30)
    first = await box.close()

    assert b"ConnectionRefusedError" in refused.stderr
    assert first == await box.close()
    with pytest.raises(SandboxLost):
        await box.exec(["true"], timeout=5)
    assert await provider.reap() == ()


async def test_more_than_the_provider_has_is_refused_and_so_is_an_unknown_image(provider: Provider, spec: Spec) -> None:
    for wanted in (Spec(spec.image, min_tier=Tier.VM), Spec("0" * 64)):
        with pytest.raises(SandboxUnavailable):
            await provider.create(wanted, None)
