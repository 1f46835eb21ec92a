"""What comes before the first exchange: the suite is registered, and drawn from where a draw was registered."""

from __future__ import annotations

from auditor_client import drawing, registering
from auditor_client.app import Auditor
from auditor_client.engagement import Engagement
from auditor_client.mirror import Mirror


async def begin(us: Auditor, engagement: Engagement, mirror: Mirror) -> None:
    """Register and draw; again, after a crash or in another command, with the same bytes.

    Raises:
        PreRegistrationAltered: another suite or plan is registered under this agreement.
    """
    suite, design, key = us.suite(), us.design(), us.suite_key()
    await registering.register(
        suite, design, key=key, engagement=engagement, lab=us.lab, journal=us.journal, clock=us.clock
    )
    await drawing.draw_items(
        suite,
        design,
        key=key,
        engagement=engagement,
        lab=us.lab,
        journal=us.journal,
        mirror=mirror,
        cosigner=us.cosigner(engagement, mirror),
        clock=us.clock,
    )
