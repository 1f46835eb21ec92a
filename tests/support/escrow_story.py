"""The audit whose auditor falls silent, made once, and what its holders and its readers do with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from io import BytesIO
from typing import Any

from attestations.container import Container
from attestations.envelope import Envelope
from attestations.escrow.released import EscrowRelease
from attestations.keys import KeyUse
from attestations.verify.engine import Request
from attestations.verify.holder import Combination, Holder, combine_releases, prepare_release
from attestations.verify.report import Report
from tests.support import world_escrow
from tests.support.world import World, check, run_steps
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import DUE, HOLDERS, REGULATOR, receive_key, trust

LATER = DUE + timedelta(days=1)  # the trustees' branch waits a day more
ALL = trust(*HOLDERS)


def made(*before: Any, until: Any = (), **options: Any) -> World:
    world = World(agreement=options.pop("agreement", None) or world_escrow.agreement(), **options)
    world.steps = [*run_steps(len(world.exchanges)), *world_escrow.steps(*before, until=until)]
    return world.build()


@cache
def silent() -> World:
    """The audit whose auditor released S1 and then nothing any more."""
    return made()


@cache
def file() -> bytes:
    return silent().evidence("S1")


def verified(*releases: EscrowRelease, at: datetime | None = DUE, world: World | None = None) -> Report:
    data = file() if world is None else world.evidence("S1")
    return check(data, trust=ALL, request=Request(at=at, escrow=releases))


def level(report: Report) -> str:
    assert report.assurance is not None
    return report.assurance.disclosure


def holder(name: str) -> Holder:
    return Holder(name, p256_signer(name, KeyUse.AGREEMENT), receive_key(name))


def prepared(name: str, data: bytes | None = None, **changes: Any) -> Envelope:
    options: dict[str, Any] = {"content_class": "C2", "rule_id": "c2-regulator", "at": LATER, "now": LATER}
    return prepare_release(Container(BytesIO(data or file())), "0c" * 32, holder(name), ALL, **(options | changes))


def combined(*envelopes: Envelope, data: bytes | None = None) -> Combination:
    container = Container(BytesIO(data or file()))
    return combine_releases(container, envelopes, ALL, own=REGULATOR, key=receive_key(REGULATOR))
