"""A real lab's part in a draw: it commits, waits until the auditor has fixed everything, shows its share, once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attestations.documents.base import decode, encode, format_time
from attestations.documents.drawing import Draw, DrawRule
from attestations.documents.engagement import LogReceipt, PreRegistration
from attestations.draw import share_commitment
from attestations.envelope import Envelope
from attestations.keys import KeyUse
from safeconduct.v1 import transcript_service_pb2 as transcript
from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab
from tests.support.small_auditor import SmallAuditor, outcome, unwired, wire

SHARE = os.urandom(32)


async def registered(folder: Path, *, draw: bool = True) -> tuple[LabProcess, SmallAuditor, Envelope]:
    """A running lab, an auditor whose registration names a draw, and the lab's receipt of it."""
    keys = new_keys()
    lab = new_lab(folder / "lab", auditors=[write_identity(keys, folder)])
    await lab.start()
    auditor = SmallAuditor(keys, lab.home.identity)
    await auditor.connect(lab.address)
    await auditor.negotiate()
    document = PreRegistration.parse(auditor.registration().payload)
    rule = DrawRule(bank=4, drawn=2, share_commit=share_commitment(SHARE))
    if draw:
        document = document.model_copy(update={"draw": rule})
    auditor.first = auditor.signed(document, KeyUse.PUBLICATION)  # type: ignore[attr-defined]
    return lab, auditor, await auditor.register(auditor.first)  # type: ignore[attr-defined]


def drawing(auditor: Any, **changes: Any) -> Envelope:
    values = {
        "agreement": auditor.digest,
        "registration": auditor.first.digest,
        "share": encode(SHARE),
        "beacon": auditor.checkpoint,
        "drawn_at": format_time(datetime.now(UTC)),
    }
    return auditor.signed(Draw(**{**values, **changes}), KeyUse.PUBLICATION)  # type: ignore[no-any-return]


async def draw(auditor: SmallAuditor, envelope: Envelope) -> Envelope:
    return unwired((await auditor.transcript.Draw(transcript.DrawRequest(draw=wire(envelope)))).receipt)


async def refused(auditor: SmallAuditor, envelope: Envelope) -> str:
    error = await outcome(draw(auditor, envelope))
    assert error is not None
    return error.reason


async def test_a_lab_shows_the_share_it_committed_to_even_after_a_restart(tmp_path: Path) -> None:
    lab, auditor, receipt = await registered(tmp_path)
    committed = LogReceipt.parse(receipt.payload).share_commit
    await auditor.cosign()
    await lab.kill()
    await lab.start()
    await auditor.connect(lab.address)
    made = drawing(auditor)
    shown = await draw(auditor, made)
    share = LogReceipt.parse(shown.payload).share
    assert share is not None
    assert committed == share_commitment(decode(share))
    assert await draw(auditor, made) == shown
    await lab.stop()
    await lab.start()
    await auditor.connect(lab.address)
    assert await draw(auditor, made) == shown
    lane = await auditor.open_session("lane-1")
    assert (await auditor.ask(lane))[1].status == "COMPLETED"
    await auditor.cosign()
    await auditor.disconnect()
    await lab.stop()
    assert (await lab.command("fsck"))[::2] == (0, "")


async def test_a_draw_that_does_not_follow_gets_no_share(tmp_path: Path) -> None:
    """T040, T041, as the lab sees them."""
    lab, auditor, _ = await registered(tmp_path)
    early = drawing(auditor)
    assert await refused(auditor, early) == "MALFORMED_ENVELOPE"  # no checkpoint at all
    await auditor.cosign()
    assert await refused(auditor, drawing(auditor, share=encode(os.urandom(32)))) == "SELECTION_NOT_REPRODUCIBLE"
    assert await refused(auditor, drawing(auditor, registration="ab" * 32)) == "SELECTION_NOT_REPRODUCIBLE"
    assert await refused(auditor, drawing(auditor, share=encode(bytes(16)))) == "WEAK_SALT"
    bare = auditor.checkpoint[: auditor.checkpoint.index("— auditor")]
    assert await refused(auditor, drawing(auditor, beacon=bare)) == "WITNESS_QUORUM_UNMET"
    await draw(auditor, drawing(auditor))
    another = drawing(auditor, drawn_at=format_time(datetime(2027, 1, 1, tzinfo=UTC)))
    assert await refused(auditor, another) == "SELECTION_NOT_REPRODUCIBLE"
    await auditor.disconnect()
    await lab.stop()


async def test_nothing_is_drawn_that_was_not_registered_or_after_a_promise(tmp_path: Path) -> None:
    lab, auditor, receipt = await registered(tmp_path, draw=False)
    assert LogReceipt.parse(receipt.payload).share_commit is None
    await auditor.cosign()
    assert await refused(auditor, drawing(auditor)) == "SELECTION_NOT_REPRODUCIBLE"
    lane = await auditor.open_session("lane-1")
    await auditor.ask(lane)
    assert await refused(auditor, drawing(auditor)) == "PHASE_VIOLATION"
    await auditor.disconnect()
    await lab.stop()
