"""Runtime evidence in software: it proves nothing about a machine, and goes the whole way real evidence goes."""

from __future__ import annotations

from attestations.keys import EnrolledKey, KeyUse, P256Signer
from lab_server.worker.enrolment import RuntimeReport

FORMAT = "software-test/v1"


class SoftwareAttester:
    """Signs bindings with a key that stands for a chip's."""

    def __init__(self) -> None:
        self._chip = P256Signer.generate(party="chip", use=KeyUse.WORKER)
        self.root: EnrolledKey = self._chip.key

    def report(self, binding: bytes) -> RuntimeReport:
        """Return a signature over the binding."""
        return RuntimeReport(FORMAT, self._chip.sign(binding))


def report_holds(root: EnrolledKey, binding: bytes, report: bytes) -> bool:
    """Tell whether a report binds what it should: what a verifier of the format does."""
    return root.verify(report, binding)
