"""What a worker says of itself: its boot, its keys for one agreement, its variants, and its runtime evidence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Protocol

from lab_server.ports import ServedVariant, WorkerKeys
from lab_server.worker.sealed_runs import SealedRuns


class RuntimeReport(NamedTuple):
    """Evidence that binds keys to what runs: its format names the verifier it needs."""

    format: str
    data: bytes


class RuntimeAttester(Protocol):
    """Where runtime evidence comes from: nothing at RA0, a TEE above it."""

    def report(self, binding: bytes) -> RuntimeReport | None:
        """Return evidence over `binding` (64 bytes), or None where there is no such hardware."""
        ...


class DeclaredRuntime:
    """RA0: the lab's word is all there is."""

    def report(self, binding: bytes) -> None:
        """Return nothing."""


class Enrolment:
    """Makes the public side of one agreement's keys."""

    def __init__(
        self,
        *,
        boot: str,
        backend: str,
        variants: tuple[ServedVariant, ...],
        runs: SealedRuns,
        attester: RuntimeAttester,
    ) -> None:
        self._boot = boot
        self._backend = backend
        self._variants = variants
        self._runs = runs
        self._attester = attester
        self._image = program_digest()

    def keys(self, agreement: str) -> WorkerKeys:
        """Return the public side of an agreement's keys in this boot."""
        made = self._runs.enrol(agreement)
        public = made.signer.key.public
        report = self._attester.report(report_binding(made.hpke.public, public, self._boot, agreement))
        return WorkerKeys(
            boot=self._boot,
            hpke_public=made.hpke.public,
            worker_public=public,
            backend=self._backend,
            image=self._image,
            variants=self._variants,
            report_format=None if report is None else report.format,
            report=None if report is None else report.data,
        )


def report_binding(hpke_public: bytes, worker_public: bytes, boot: str, agreement: str) -> bytes:
    """Return the 64 bytes that runtime evidence binds: SHA-512 over keys, boot and agreement (spec/worker.md)."""
    return hashlib.sha512(
        b"safeconduct/v1 bind" + hpke_public + worker_public + boot.encode() + agreement.encode()
    ).digest()


def program_digest() -> str:
    """Return the SHA-256 over this program's own source files, in name order: what the lab says runs."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted([*root.rglob("*.py"), *(root.parent / "attestations").rglob("*.py")]):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
