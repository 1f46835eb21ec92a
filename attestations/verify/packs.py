"""Step 10, the lab's elicitation pack: it is the one whose digest stands in the log."""

from __future__ import annotations

from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.elicitation import ElicitationPack
from attestations.envelope import open_document, parse_envelope
from attestations.errors import ReleasedContentMismatch
from attestations.keys import KeyUse
from attestations.verify.transcript import Transcript

MEMBER = "pack.dsse.json"
_MAX_PACK_BYTES = 4 << 20


def open_pack(container: Container, log: Transcript) -> ElicitationPack | None:
    """Return the lab's pack where the file holds it.

    Raises:
        ReleasedContentMismatch: it is another one than the lab locked in the log.
    """
    if MEMBER not in container.names:
        return None
    envelope = parse_envelope(container.read(MEMBER, limit=_MAX_PACK_BYTES))
    answer = log.course.answer
    if answer is None or answer.pack != sha256(envelope.payload):
        raise ReleasedContentMismatch("the elicitation pack is not the one the lab locked in the log", member=MEMBER)
    return open_document(envelope, ElicitationPack, required=(log.agreement.lab_key(KeyUse.AGREEMENT),))
