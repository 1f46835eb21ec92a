"""Decisions that only the holder of the log can carry out: by the gateway if one serves, otherwise by this process."""

from __future__ import annotations

import asyncio

from attestations.documents.agreement import Terms
from attestations.errors import LabUnreachable, SafeconductError, StoreFailed
from attestations.identity import parse_identity
from attestations.reasons import BY_REASON
from lab_server.admitted import Admitted
from lab_server.carrying import DONE, Carrying
from lab_server.deciding import Desk
from lab_server.disclosing import Disclosing
from lab_server.engagements import Engagements
from lab_server.escrowing import Escrowing
from lab_server.home import spki_pin
from lab_server.negotiating import Negotiating
from lab_server.ports import StoredWish
from lab_server.stating import Stating
from lab_server.steps import Steps

PATIENCE_SECONDS = 15.0
_PAUSE = 0.1


async def carry(desk: Desk, wish: StoredWish) -> str:
    """Have a decision carried out and return once it is, with what its answer holds besides.

    Raises:
        SafeconductError: what the rules say against it.
        LabUnreachable: a gateway serves and did not take it up in time; it will when it can.
    """
    await desk.store.save_wish(wish)
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        try:
            with desk.home.alone():
                await _stand_in(desk)
        except StoreFailed as error:
            if asyncio.get_running_loop().time() > deadline:
                raise LabUnreachable(
                    "the gateway serves but has not carried this out; it will when it can", why=error.message
                ) from None
        kept = await desk.wished(wish.name)
        if kept is not None and kept.answer is not None:
            return _judge(kept.answer)
        await asyncio.sleep(_PAUSE)


async def _stand_in(desk: Desk) -> None:
    steps = Steps()
    engagements = Engagements(keys=desk.keys, store=desk.store, clock=desk.clock)
    await engagements.restore()
    admitted = []
    for grant in desk.settings.auditor:
        identity = parse_identity(desk.home.read(desk.home.relative(grant.identity)))
        admitted.append(Admitted(identity, spki_pin(identity.tls or ""), _no_terms, grant.review, grant.offer_hours))
    negotiating = Negotiating(
        admitted=admitted, engagements=engagements, keys=desk.keys, store=desk.store, clock=desk.clock, steps=steps
    )
    stating = Stating(
        engagements=engagements,
        disclosing=Disclosing(keys=desk.keys, store=desk.store, steps=steps),
        escrowing=Escrowing(steps=steps),
    )
    await Carrying(store=desk.store, negotiating=negotiating, stating=stating).carry_out()
    await steps.drain()


async def _no_terms() -> Terms:
    raise RuntimeError("nothing is offered while no gateway serves")


def _judge(answer: str) -> str:
    if answer == DONE or answer.startswith(f"{DONE} "):
        return answer.partition(" ")[2]
    reason, _, message = answer.partition(" ")
    kind = BY_REASON.get(reason, SafeconductError)
    raise kind(message)
