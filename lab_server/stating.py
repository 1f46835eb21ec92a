"""What the lab itself states: signed here, logged by the gateway if it serves, else by this command alone.

Only one process may write to a log. So a command that finds the gateway serving puts the signed statement into the
folder's outbox and waits for the answer; otherwise it takes the folder and logs the statement itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import structlog

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.engagement import LogReceipt
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import FileUnusable, LabUnreachable, RefusedError, SafeconductError, StoreFailed, reason_of
from lab_server.disclosing import Disclosing
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.home import Home
from lab_server.ports import Clock
from lab_server.steps import Steps
from lab_server.storage.sqlite import SqliteStore

WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.2
_DONE, _REFUSED = ".receipt", ".refused"
log = structlog.get_logger()
Find = Callable[[Engagements], Engagement]
Make = Callable[[Engagement], Envelope]


def outbox(home: Home) -> Path:
    """Return the folder in which signed statements wait for the gateway."""
    return home.path / "statements"


async def state(home: Home, clock: Clock, find: Find, make: Make) -> LogReceipt:
    """Sign a statement about the engagement that `find` finds, have it logged and return the receipt.

    Raises:
        HoldTooLate, HoldLimitExceeded, RedactionNotAllowed and whatever else says that it would count for nothing.
        LabUnreachable: the gateway serves but does not answer.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(home.alone())
        except StoreFailed:
            serving = True
        else:
            serving = False
        if not serving:
            return await _alone(home, clock, find, make)
    return await _through_gateway(home, clock, find, make)


async def _alone(home: Home, clock: Clock, find: Find, make: Make) -> LogReceipt:
    keys, store, steps = home.read_keys(), SqliteStore(home.store), Steps()
    try:
        engagements = Engagements(keys=keys, store=store, clock=clock)
        await engagements.restore()
        engagement = find(engagements)
        envelope = make(engagement)
        disclosing = Disclosing(keys=keys, store=store, steps=steps)
        receipt = await disclosing.state(engagement, envelope, engagements.stated(envelope, peer=None)[1])
        await steps.drain()
    finally:
        await store.close()
    return LogReceipt.parse(receipt.payload)


async def _through_gateway(home: Home, clock: Clock, find: Find, make: Make) -> LogReceipt:
    store = SqliteStore(home.store)
    try:
        engagements = Engagements(keys=home.read_keys(), store=store, clock=clock)
        await engagements.restore()
        engagement = find(engagements)
        envelope = make(engagement)
        engagement.ledger.check(engagements.stated(envelope, peer=None)[1], engagement.now())
    finally:
        await store.close()
    path = outbox(home) / f"{envelope.digest}.json"
    _write(path, envelope.to_bytes())
    done, refused = path.with_suffix(_DONE), path.with_suffix(_REFUSED)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not done.exists():
                if refused.exists():
                    raise _refusal(refused)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise LabUnreachable("the gateway serves but has not logged the statement; it will when it can") from None
    return LogReceipt.parse(parse_envelope(done.read_bytes()).payload)


def _refusal(path: Path) -> SafeconductError:
    value = parse_canonical(path.read_bytes())
    kinds = {reason_of(kind): kind for kind in _descendants(SafeconductError)}
    kind = kinds.get(str(value.get("reason")) if isinstance(value, dict) else "", RefusedError)
    return kind(str(value["message"]) if isinstance(value, dict) else "refused")


def _descendants(kind: type[SafeconductError]) -> list[type[SafeconductError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_descendants(child))]


async def carry_out(home: Home, engagements: Engagements, disclosing: Disclosing) -> int:
    """Log what waits in the outbox, as the gateway; return how many statements there were."""
    folder, count = outbox(home), 0
    if not folder.is_dir():
        return 0
    for path in sorted(folder.glob("*.json")):
        done, refused = path.with_suffix(_DONE), path.with_suffix(_REFUSED)
        if done.exists() or refused.exists():
            continue
        count += 1
        try:
            envelope = parse_envelope(path.read_bytes())
            engagement, stated = engagements.stated(envelope, peer=None)
            receipt = await disclosing.state(engagement, envelope, stated)
        except SafeconductError as error:
            log.warning("statement_refused", reason=error.reason)
            _write(refused, canonical_bytes({"reason": error.reason, "message": error.message}))
        else:
            log.info("statement_logged", agreement=engagement.digest, digest=envelope.digest)
            _write(done, receipt.to_bytes())
    return count


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        raise FileUnusable(f"{path} cannot be written: {error.strerror}", path=str(path)) from None
