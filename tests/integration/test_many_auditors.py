"""Several auditors at one lab at the same time: none can see, use up or even name what is another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from safeconduct.v1 import (
    access_service_pb2 as access,
    evidence_service_pb2 as evidence,
    transcript_service_pb2 as transcript,
)
from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab
from tests.support.small_auditor import SmallAuditor, outcome

NAMES = ("one.example", "two.example", "three.example")
GRANT = 'requests = "6"\nmax_sessions = 2\n'


class Shared(NamedTuple):
    """One lab and those who audit it."""

    lab: LabProcess
    auditors: tuple[SmallAuditor, ...]


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    keys = [new_keys(name) for name in NAMES]
    script = {"otherwise": "an answer", "stall_seconds": 0.2}
    identities = [write_identity(item, tmp_path) for item in keys]
    lab = new_lab(tmp_path / "lab", auditors=identities, script=script, grant=GRANT)
    await lab.start()
    auditors = tuple(SmallAuditor(item, lab.home.identity) for item in keys)

    async def ready(auditor: SmallAuditor) -> None:
        await auditor.connect(lab.address)
        await auditor.negotiate("the-same-name")
        await auditor.register()

    await asyncio.gather(*(ready(auditor) for auditor in auditors))
    yield Shared(lab, auditors)
    for auditor in auditors:
        await auditor.disconnect()
    await lab.stop()
    assert (await lab.command("fsck"))[::2] == (0, "")


async def test_budgets_and_lanes_are_each_auditors_own(shared: Shared) -> None:
    greedy, *others = shared.auditors

    async def asks(auditor: SmallAuditor, lanes: int, each: int) -> list[str]:
        async def lane(number: int) -> list[str]:
            opened = await auditor.open_session(f"lane-{number}")
            return [(await auditor.ask(opened))[1].status for _ in range(each)]

        return [status for said in await asyncio.gather(*(lane(number) for number in range(lanes))) for status in said]

    took, *rest = await asyncio.gather(asks(greedy, 4, 4), *(asks(auditor, 2, 3) for auditor in others))
    assert took.count("COMPLETED") <= 6
    assert {"REFUSED RATE_LIMITED", "REFUSED BUDGET_EXHAUSTED"} & set(took)
    assert rest == [["COMPLETED"] * 6] * 2
    for auditor in shared.auditors:
        await auditor.cosign()
        assert len({auditor.agreed.origin}) == 1
    assert len({auditor.agreed.origin for auditor in shared.auditors}) == 3
    for auditor in others:
        assert len(auditor.leaves) == 1 + 3 + 12  # registration; runtime and two sessions; six exchanges


async def test_anothers_agreement_answers_like_one_that_never_was(shared: Shared) -> None:
    one, two, _ = shared.auditors
    await two.ask(await two.open_session("lane"))
    checkpoint = (await two.cosign(), two.checkpoint)[1]

    def calls(agreement: str) -> list[Awaitable[Any]]:
        return [
            one.evidence.GetStatus(evidence.GetStatusRequest(agreement=agreement)),
            one.access.GetRuntime(access.GetRuntimeRequest(agreement=agreement)),
            one.access.Resume(access.ResumeRequest(agreement=agreement, session="lane", checkpoint=checkpoint)),
            one.access.Redeliver(access.RedeliverRequest(agreement=agreement, session="lane", seq=0)).read(),
            one.transcript.GetCheckpoint(transcript.GetCheckpointRequest(agreement=agreement)),
            one.transcript.GetProof(transcript.GetProofRequest(agreement=agreement, leaf_index=0, tree_size=1)),
            one.transcript.ListLeaves(transcript.ListLeavesRequest(agreement=agreement, start=0)).read(),
            one.transcript.Cosign(transcript.CosignRequest(agreement=agreement, checkpoint=checkpoint)),
            one.transcript.Close(transcript.CloseRequest(agreement=agreement)),
        ]

    nobodys = "00" * 32
    for real, made_up in zip(calls(two.digest), calls(nobodys), strict=True):
        theirs, none = await outcome(real), await outcome(made_up)
        assert theirs is not None
        assert none is not None
        assert theirs.reason == none.reason == "ENGAGEMENT_UNKNOWN"
        assert theirs.message == none.message
        assert {**theirs.facts, "agreement": ""} == {**none.facts, "agreement": ""}


async def test_what_the_lab_writes_of_one_names_no_other(shared: Shared) -> None:
    one, two, three = shared.auditors
    lanes = await asyncio.gather(
        *(auditor.open_session(f"lane-of-{auditor.keys.party}") for auditor in shared.auditors)
    )
    await asyncio.gather(*(auditor.ask(lane) for auditor, lane in zip(shared.auditors, lanes, strict=True)))
    await asyncio.gather(*(auditor.cosign() for auditor in shared.auditors))
    for auditor in shared.auditors:
        seen = b"".join(auditor.leaves) + auditor.checkpoint.encode() + (auditor.runtime or auditor.envelope).to_bytes()  # type: ignore[union-attr]
        for other in {one, two, three} - {auditor}:
            assert other.keys.party.encode() not in seen
            assert other.digest.encode() not in seen
            assert other.keys.pin.encode() not in seen
    code, out, _ = await shared.lab.command("status")
    assert code == 0
    assert [out.count(f"the-same-name with {name}: RUNNING") for name in NAMES] == [1, 1, 1]
