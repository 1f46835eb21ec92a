"""Opens what a lab answered, once the worker's signature and both commitments hold."""

from __future__ import annotations

from attestations.documents.asking import result_commitment
from attestations.documents.base import decode
from attestations.documents.dialogue import ChatResult
from attestations.documents.exchange import Record
from attestations.frames import EventReader, FrameOpener, frames_root, response_salt, worker_signature_input
from attestations.keys import KeyUse, enrol
from tests.support.small_auditor import Ended, Prepared, SmallAuditor


def open_answer(auditor: SmallAuditor, prepared: Prepared, ended: Ended) -> str:
    """Check the worker's signature and both commitments, and return the answer's text."""
    assert ended.record is not None
    record = Record.parse(ended.record.payload)
    assert record.response is not None
    opener, reader = FrameOpener(prepared.response_key), EventReader()
    events = [
        event
        for frame in ended.frames
        for event in reader.feed(opener.open(frame.number, frame.ciphertext, final=frame.final))
    ]
    reader.finish()
    root = frames_root(frame.ciphertext for frame in ended.frames)
    result = ChatResult.parse(events[-1].data)
    commitment = result_commitment(result, response_salt(prepared.response_key))
    assert (record.response.frames_root, record.response.frames) == (root, len(ended.frames))
    assert record.response.commitment == commitment
    signed = worker_signature_input(
        agreement=auditor.digest,
        session=record.session,
        seq=record.seq,
        frames_root=root,
        frames=len(ended.frames),
        result_commitment=commitment,
    )
    worker = enrol("worker", KeyUse.WORKER, decode(auditor.statement().worker_public))
    assert worker.verify(decode(record.response.worker_signature), signed)
    return result.content
