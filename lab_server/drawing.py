"""The lab's part in a draw: a share that is committed to at registration and shown once the auditor's is fixed."""

from __future__ import annotations

from collections.abc import Callable

from attestations.documents.base import decode, encode
from attestations.documents.drawing import Draw
from attestations.documents.engagement import LogReceipt, PreRegistration
from attestations.draw import SHARE_BYTES, beacon, share_commitment
from attestations.errors import SelectionNotReproducible
from attestations.notes import parse_note
from lab_server.engagement import Engagement
from lab_server.ports import Store


class Drawing:
    """Keeps one share for each agreement; it survives a restart, because a commitment to it is in the log."""

    def __init__(self, *, store: Store, randomness: Callable[[int], bytes]) -> None:
        self._store = store
        self._randomness = randomness

    async def commitment(self, engagement: Engagement) -> str:
        """Return the commitment to our share."""
        return share_commitment(await self._share(engagement))

    async def share_for(self, engagement: Engagement, document: Draw) -> str:
        """Return our share in base64, once the auditor has fixed everything else.

        Raises:
            SelectionNotReproducible: the draw does not follow from the registration, or another one was made.
            WeakSalt: the auditor's share is not 32 bytes.
            CheckpointInvalid, LogRollback, SignatureInvalid, WitnessQuorumUnmet: the beacon is not one of this log.
        """
        registration = engagement.registration
        assert registration is not None  # noqa: S101 - the phase
        rule = PreRegistration.parse(registration.payload).draw
        if rule is None or document.registration != registration.digest:
            raise SelectionNotReproducible("no such draw is registered")
        if engagement.draw is not None:
            raise SelectionNotReproducible("another draw was made under this registration")
        if share_commitment(decode(document.share)) != rule.share_commit:
            raise SelectionNotReproducible("the share is not the one the registration commits to")
        committed = LogReceipt.parse(engagement.receipts[registration.digest].payload)
        if engagement.log.check_extends(document.beacon).size <= int(committed.log_index):
            raise SelectionNotReproducible("the beacon is older than the registration")
        beacon(parse_note(document.beacon), engagement.agreement)
        return encode(await self._share(engagement))

    async def _share(self, engagement: Engagement) -> bytes:
        return await self._store.draw_share(engagement.digest, self._randomness(SHARE_BYTES))
