"""Errors about sandboxes, in which foreign programs run beside a model."""

from __future__ import annotations

from attestations.errors.base import RefusedError, SetupError


class SandboxUnavailable(SetupError):
    """No sandbox of the demanded strength can be made here; nothing foreign has run."""


class SandboxLost(SetupError):
    """A sandbox died or broke its protocol; what ran in it is gone and is never repeated in silence."""


class SandboxLimit(RefusedError):
    """A sandbox has used up its time or another budget of its whole life."""


class SandboxFileRefused(RefusedError):
    """A file in a sandbox is absent, is no regular file, is larger than allowed, or finds no room."""
