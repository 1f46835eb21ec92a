"""Boxes of the embedded provider for tests."""

from __future__ import annotations

from pathlib import Path

from lab_server.sandbox.bubblewrap import Bubblewrap
from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Input, Limits, Spec
from tests.support.attacked_world import SCRIPTS

LIMITS = Limits(wall_s=60, memory_mb=128, pids=48, disk_mb=16, files=400, exec_output_bytes=64 << 10)


def provider(image: tuple[Images, str], folder: Path) -> Bubblewrap:
    """Return a provider that notes its boxes below `folder`."""
    return Bubblewrap(image[0], state=folder / "state", allow_degraded=True)


def spec(image: tuple[Images, str], limits: Limits = LIMITS) -> Spec:
    """Return a box that holds the attacks."""
    return Spec(image[1], inputs={name: Input(text) for name, text in SCRIPTS.items()}, limits=limits)
