"""The auditor beside `HookedLab`: makes Intents without a network, in the lab's own time."""

from __future__ import annotations

from typing import Any

from attestations.envelope import Envelope, sign_document
from tests.support.hooked_lab import HookedLab
from tests.support.small_auditor import SmallAuditor


class Asking(SmallAuditor):
    """An auditor with the one agreement that is in force at a lab."""

    def __init__(self, lab: HookedLab) -> None:
        self._lab = lab
        self.envelope = lab.engagement.envelope
        self.agreement = lab.engagement.agreement

    def signed(self, document: Any, use: Any) -> Envelope:
        return sign_document(document, self._lab.world.auditor.exchange)
