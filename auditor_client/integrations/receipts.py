"""What a tool's own log keeps of an exchange: where it stands in the transcript and under which signature."""

from __future__ import annotations

from typing import Any

from attestations.documents.base import encode
from attestations.keys import EnrolledKey
from auditor_client.asked import Answered


def receipt(answered: Answered, *, lab_key: EnrolledKey) -> dict[str, Any]:
    """Return the place and the signed Record of an exchange as plain JSON types.

    It holds no content: whoever has the evidence file finds the exchange by it, and compares the digest.
    """
    record = answered.record
    signatures = {signature.keyid: signature.sig for signature in answered.envelope.signatures}
    return {
        "agreement": record.agreement,
        "session": answered.session,
        "seq": answered.seq,
        "logIndex": record.log_index,
        "promise": record.promise,
        "record": answered.envelope.digest,
        "status": record.status,
        "manifest": record.manifest,
        "signature": {"keyid": lab_key.id, "sig": encode(signatures.get(lab_key.id, b""))},
    }
