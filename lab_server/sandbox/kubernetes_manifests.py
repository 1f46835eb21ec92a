"""The two objects that make one box on a cluster: a policy that forbids its pod every packet, and the Job."""

from __future__ import annotations

from typing import Any

from lab_server.sandbox.box import SUPERVISOR
from lab_server.sandbox.port import Limits

LABEL = "safeconduct.dev/box"
OWNER = "safeconduct.dev/owner"
_UID = 1000
_MARGIN_S = 120  # a cluster takes its time to start a pod


def network_policy(name: str, owner: str) -> dict[str, Any]:
    """Return the policy: nothing in, nothing out, not even names. The channel is the attach stream alone."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {LABEL: name, OWNER: owner}},
        "spec": {
            "podSelector": {"matchLabels": {LABEL: name}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [],
        },
    }


def job(name: str, owner: str, image: str, runtime_class: str | None, limits: Limits) -> dict[str, Any]:
    """Return the Job: one pod that is never started again, without an identity, a secret or a writable root."""
    resources = {
        "cpu": str(limits.cpu_cores),
        "memory": f"{limits.memory_mb}Mi",
        "ephemeral-storage": f"{limits.disk_mb}Mi",
    }
    scratch = {"box": limits.disk_mb, "tmp": 64, "shm": 16}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostUsers": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [{"key": "safeconduct.dev/boxes", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [
            {
                "name": "box",
                "image": image,
                "command": list(SUPERVISOR),
                "stdin": True,
                "stdinOnce": True,  # the box ends when its channel does
                "resources": {"requests": resources, "limits": resources},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "box", "mountPath": "/box"},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                    {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
                ],
            }
        ],
        "volumes": [
            {"name": volume, "emptyDir": {"medium": "Memory", "sizeLimit": f"{size}Mi"}}
            for volume, size in scratch.items()
        ],
    }
    if runtime_class is not None:
        pod["runtimeClassName"] = runtime_class
    labels = {LABEL: name, OWNER: owner}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": int(limits.wall_s) + _MARGIN_S,
            "ttlSecondsAfterFinished": 60,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
