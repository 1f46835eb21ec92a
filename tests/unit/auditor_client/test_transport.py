"""The lab over a real loopback connection with mutual TLS."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import AsyncGeneratorType

import pytest

from attestations.errors import LabUnreachable, PeerBindingMismatch, PhaseViolation
from auditor_client.cosigning import Cosigner
from auditor_client.home import _certificate
from auditor_client.transport.channel import Credentials, check_pin, open_channel, spki_digest
from auditor_client.transport.lab import GrpcLab
from tests.support.audit_world import START
from tests.support.lab_over_grpc import served
from tests.unit.auditor_client.conftest import Audit

LAB_KEY, LAB_CERTIFICATE = _certificate("lab.example", START)
OUR_KEY, OUR_CERTIFICATE = _certificate("auditor.example", START)
OTHER_KEY, OTHER_CERTIFICATE = _certificate("lab.example", START)
CREDENTIALS = Credentials(OUR_KEY, OUR_CERTIFICATE, LAB_CERTIFICATE)


@pytest.fixture
async def address(audit: Audit) -> AsyncIterator[str]:
    async with served(audit.lab, key=LAB_KEY, certificate=LAB_CERTIFICATE, clients=OUR_CERTIFICATE) as where:
        yield where


async def _over(audit: Audit, address: str, credentials: Credentials = CREDENTIALS) -> tuple[Audit, GrpcLab]:
    channel = open_channel(address, credentials)
    lab = GrpcLab(channel, call_seconds=5)
    cosigner = Cosigner(
        audit.world.engagement(), lab=lab, journal=audit.journal, mirror=audit.mirror, clock=audit.clock
    )
    return replace(audit, client=lab, cosigner=cosigner), lab


async def test_a_campaign_runs_over_the_wire(audit: Audit, address: str) -> None:
    over, _ = await _over(audit, address)

    assert (await over.run(lanes=3)).done == 7
    assert audit.lab.tree.root() == audit.mirror.root()


async def test_a_broken_stream_is_mended_over_the_wire(audit: Audit, address: str) -> None:
    """T058."""
    over, _ = await _over(audit, address)
    for step in ("intent", "reveal", "record"):
        audit.lab.lose(step, at=2)

    assert (await over.run(lanes=2)).done == 7
    assert 7 == len(set(audit.lab.calls)) == len(audit.lab.calls)


async def test_an_error_of_the_lab_arrives_as_the_same_error(audit: Audit, address: str) -> None:
    _, lab = await _over(audit, address)

    async def refuse(agreement: str) -> None:
        raise PhaseViolation("exchanges are running", state="RUNNING")

    audit.lab.close = refuse  # type: ignore[assignment,method-assign]

    with pytest.raises(PhaseViolation) as caught:
        await lab.close("00" * 32)
    assert (caught.value.message, caught.value.facts) == ("exchanges are running", {"state": "RUNNING"})


async def test_a_lab_with_another_certificate_is_not_spoken_to(audit: Audit, address: str) -> None:
    """T014."""
    _, lab = await _over(audit, address, Credentials(OUR_KEY, OUR_CERTIFICATE, OTHER_CERTIFICATE))

    with pytest.raises((PeerBindingMismatch, LabUnreachable)):
        await lab.checkpoint("00" * 32)


async def test_a_client_the_lab_does_not_know_is_turned_away(audit: Audit, address: str) -> None:
    """T014, at the lab."""
    _, lab = await _over(audit, address, Credentials(OTHER_KEY, OTHER_CERTIFICATE, LAB_CERTIFICATE))

    with pytest.raises(LabUnreachable):
        await lab.checkpoint("00" * 32)


async def test_a_lab_that_is_not_there_is_unreachable(audit: Audit, tmp_path: Path) -> None:
    _, lab = await _over(audit, "127.0.0.1:1")

    with pytest.raises(LabUnreachable):
        await lab.checkpoint("00" * 32)


def test_a_pin_is_of_the_key_and_not_of_the_certificate() -> None:
    check_pin(LAB_CERTIFICATE, spki_digest(LAB_CERTIFICATE), whose="lab")

    with pytest.raises(PeerBindingMismatch):
        check_pin(LAB_CERTIFICATE, spki_digest(OTHER_CERTIFICATE), whose="lab")


async def test_an_answer_that_is_not_read_to_its_end_is_let_go_at_once(audit: Audit, address: str) -> None:
    """A campaign stops reading leaves at every checkpoint: what the rest kept would grow with it."""
    over, lab = await _over(audit, address)
    await over.run()
    gc.collect()
    gc.disable()  # as good as it is in a campaign, which makes too few cycles to have them collected
    others = _open_answers()  # of the lab, which runs in this process
    try:
        async with aclosing(lab.leaves(agreement=audit.world.engagement().digest, start=0)) as leaves:
            assert await anext(leaves)
            assert len(_open_answers(others)) == 1
        assert _open_answers(others) == []
    finally:
        gc.enable()


def _open_answers(others: Sequence[object] = ()) -> list[object]:
    """Return the answers of streaming calls that still hold what they read last, beside the others."""
    # By its type alone: some objects of other libraries cannot be asked anything without a warning.
    found = [item for item in gc.get_objects() if type(item) is AsyncGeneratorType and item.ag_frame is not None]
    known = {id(item) for item in others}
    return [x for x in found if Path(x.ag_code.co_filename).match("grpc/aio/_call.py") and id(x) not in known]
