"""Cosigns while lanes run: after so many leaves, and after so many seconds, as the agreement says."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from attestations.errors import SetupError
from auditor_client.campaign_state import Ending
from auditor_client.desk import Desk


async def cosign_in_time(desk: Desk) -> None:
    """Cosign until cancelled; hears of every exchange that ends at the desk.

    Raises:
        EvidenceError, PeerError: what a leaf shows to be wrong. A lab that is away is waited for, by the lanes.
    """
    timing = desk.engagement.agreement.timing
    ended = 0
    original = desk.on_ended
    enough = asyncio.Event()

    def count(ending: Ending) -> None:
        nonlocal ended
        ended += 2  # a Promise and a Record
        if ended >= timing.cosign_leaves:
            enough.set()
        original(ending)

    desk.on_ended = count
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(timing.cosign_seconds):
                await enough.wait()
        enough.clear()
        ended = 0
        with suppress(SetupError):
            await desk.cosigner.cosign()
