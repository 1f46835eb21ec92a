"""Boxes as Jobs of a fake cluster: what is asked of it, and what is refused. Never run on a real one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from attestations.errors import SandboxLost, SandboxUnavailable
from lab_server.sandbox.images import Images
from lab_server.sandbox.kubernetes_cluster import Cluster
from lab_server.sandbox.kubernetes_jobs import KubernetesJobs
from lab_server.sandbox.kubernetes_manifests import job, network_policy
from lab_server.sandbox.port import Limits, Spec, Tier
from tests.support import sandboxes
from tests.support.fake_cluster import FakeCluster, fake_cluster

client = pytest.importorskip("kubernetes.client", reason="safeconduct[kubernetes] is not installed")
pytestmark = pytest.mark.skipif(sandboxes.needs_bwrap, reason=sandboxes.NO_BWRAP)
PINNED = "registry.example/box@sha256:" + "0" * 64


@pytest.fixture
def cluster(box_image: tuple[Images, str]) -> Iterator[tuple[FakeCluster, Cluster]]:
    with ExitStack() as held:
        state, address = held.enter_context(fake_cluster(box_image[0].find(box_image[1])))
        made = Cluster("audits", client.Configuration(host=address))
        held.callback(made.close)
        yield state, made


async def test_a_runtime_class_that_leads_elsewhere_is_found_out_from_inside(
    box_image: tuple[Images, str], cluster: tuple[FakeCluster, Cluster]
) -> None:
    state, api = cluster
    provider = KubernetesJobs(api, {box_image[1]: PINNED}, owner="tests")  # asks for gVisor, gets the host's kernel

    assert provider.tier is Tier.KERNEL
    with pytest.raises(SandboxUnavailable) as refused:
        await provider.create(Spec(box_image[1]), None)

    assert refused.value.facts["missing"] == "own_kernel"
    assert state.objects == {"jobs": {}, "networkpolicies": {}}
    assert state.processes == {}


async def test_a_pod_that_does_not_run_is_refused_and_removed(
    box_image: tuple[Images, str], cluster: tuple[FakeCluster, Cluster]
) -> None:
    state, api = cluster
    state.phase = "Failed"
    with pytest.raises(SandboxUnavailable) as refused:
        await KubernetesJobs(api, {box_image[1]: PINNED}, owner="tests").create(Spec(box_image[1]), None)

    assert refused.value.facts["missing"] == "pod"
    assert state.objects == {"jobs": {}, "networkpolicies": {}}


async def test_an_image_that_is_not_pinned_by_digest_is_refused_unasked(
    box_image: tuple[Images, str], cluster: tuple[FakeCluster, Cluster]
) -> None:
    state, api = cluster
    for image in ("registry.example/box:latest", None):
        names = {box_image[1]: image} if image is not None else {}
        with pytest.raises(SandboxUnavailable):
            await KubernetesJobs(api, names, owner="tests").create(Spec(box_image[1]), None)

    assert state.requests == []


async def test_a_stream_that_the_cluster_ended_first_leaves_no_socket_open(
    box_image: tuple[Images, str], cluster: tuple[FakeCluster, Cluster]
) -> None:
    state, api = cluster
    box = await KubernetesJobs(api, {box_image[1]: PINNED}, owner="tests", runtime_class=None).create(
        Spec(box_image[1]), None
    )
    for name in list(state.objects["jobs"]):
        state.delete("jobs", name)
    with pytest.raises(SandboxLost):
        await box.read("none", max_bytes=1)
    await box.close()
    del box

    gc.collect()  # a socket that is still open warns here, and a warning is an error


async def test_jobs_of_an_earlier_controller_are_reaped_and_the_policy_comes_before_the_job(
    cluster: tuple[FakeCluster, Cluster],
) -> None:
    state, api = cluster
    name = "box-0123456789ab"
    api.start(network_policy(name, "tests"), job(name, "tests", PINNED, "gvisor", Limits()))
    reaped = await KubernetesJobs(api, {}, owner="tests").reap()

    assert reaped == (name,)
    assert [request.split("/")[-1].split("?")[0] for request in state.requests[:2]] == ["networkpolicies", "jobs"]
    assert state.objects == {"jobs": {}, "networkpolicies": {}}


def test_a_job_has_no_network_identity_privilege_or_second_chance() -> None:
    made = job("box-1", "tests", PINNED, "gvisor", Limits(memory_mb=64, disk_mb=8, wall_s=60))
    spec, pod = made["spec"], made["spec"]["template"]["spec"]
    container = pod["containers"][0]
    policy = network_policy("box-1", "tests")["spec"]

    assert (policy["ingress"], policy["egress"], policy["policyTypes"]) == ([], [], ["Ingress", "Egress"])
    assert policy["podSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert (spec["backoffLimit"], pod["restartPolicy"], spec["activeDeadlineSeconds"]) == (0, "Never", 180)
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"], pod["hostUsers"]) == (False, False, False)
    assert pod["runtimeClassName"] == "gvisor"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert "env" not in container
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(pod)
