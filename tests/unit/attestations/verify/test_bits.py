"""Every bit and every member of an evidence file is bound: nothing can be changed, taken out or put in."""

from __future__ import annotations

import hashlib
import json
import os
import random
from functools import cache
from io import BytesIO

import pytest

from attestations.container import MEMBER_NAMES, Container
from attestations.documents.base import format_time
from attestations.documents.engagement import EvidenceIndex, EvidenceMember
from attestations.envelope import sign_document
from attestations.errors import PRECEDENCE, ExitCode
from tests.support.reports import assert_holds
from tests.support.world import World, check, packed
from tests.support.world_agreement import keys
from tests.support.world_suite import make_tasks
from tests.support.world_views import paths

# What `docs/spec/verification.md` lists for a file that does not hold.
DOCUMENTED = set(PRECEDENCE[: PRECEDENCE.index(ExitCode.INDETERMINATE) + 1]) - {ExitCode.USAGE}
SAMPLE = 12  # bits of each member
EVERY_BYTE = bool(os.environ.get("SAFECONDUCT_EVERY_BYTE"))

HERE = [name for name in MEMBER_NAMES if name != "pack.dsse.json"]  # this audit has no arms


@cache
def small() -> World:
    """An audit of one control, one canary and eight others, with six decoys: everything there is, in little space."""
    world = World(tasks=make_tasks(10, size=16))
    place = world.steps.index(("release", "S5", "C8", "REGULATOR"))
    world.steps[place] = ("release", "S5", "C8", "REGULATOR", paths("provenance"))
    return world.build()


@cache
def evidence() -> bytes:
    return small().evidence("S5")


@cache
def members() -> dict[str, bytes]:
    container = Container(BytesIO(evidence()))
    return {name: b"".join(container.blocks(name)) for name in container.names}


def refused(data: bytes) -> ExitCode:
    code = check(data).exit_code
    assert code in DOCUMENTED
    return code


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def some_bits(data: bytes, label: str) -> list[int]:
    return random.Random(label).sample(range(8 * len(data)), min(SAMPLE, 8 * len(data)))


def indexed_by(stranger: bool, content: dict[str, bytes]) -> bytes:  # noqa: FBT001
    """The archive with an index that fits its members, signed by a stranger or not at all anew."""
    if not stranger:
        return packed(content)
    listed = [name for name in HERE if name in content and name != "index.dsse.json"]
    index = EvidenceIndex(
        agreement=small().run.digest,
        stage="S5",
        recipient="REGULATOR",
        attestation=small().attested["S5", "REGULATOR"],
        members=tuple(
            EvidenceMember(name=name, bytes=str(len(content[name])), digest=hashlib.sha256(content[name]).hexdigest())
            for name in listed
        ),
        issued_at=format_time(small().log.now),
    )
    return packed(content | {"index.dsse.json": sign_document(index, keys().outsider).to_bytes()})


def test_the_whole_file_holds() -> None:
    assert_holds(check(evidence()))


@pytest.mark.parametrize("name", HERE)
def test_a_flipped_bit_in_any_member_is_refused(name: str) -> None:
    content = members()[name]
    for bit in some_bits(content, name):
        changed = members() | {name: flip(content, bit)}
        assert refused(packed(changed)) is not ExitCode.OK, bit
        assert refused(indexed_by(stranger=True, content=changed)) is not ExitCode.OK, bit


def test_a_flipped_bit_anywhere_in_the_file_is_refused() -> None:
    for bit in some_bits(evidence(), "whole") + [8 * (len(evidence()) - n) - 1 for n in range(40)]:
        assert refused(flip(evidence(), bit)) is not ExitCode.OK, bit


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(not EVERY_BYTE, reason="takes an hour: SAFECONDUCT_EVERY_BYTE=1 runs it")
@pytest.mark.parametrize("name", HERE)
def test_a_flipped_bit_in_every_byte_is_refused(name: str) -> None:
    content, source = members()[name], random.Random(name)
    for byte in range(len(content)):
        changed = members() | {name: flip(content, 8 * byte + source.randrange(8))}
        assert refused(packed(changed)) is not ExitCode.OK, byte


@pytest.mark.parametrize("stranger", [False, True])
@pytest.mark.parametrize("name", HERE)
def test_a_member_taken_out_is_missed(name: str, stranger: bool) -> None:  # noqa: FBT001
    content = {other: data for other, data in members().items() if other != name}
    if name == "index.dsse.json" and stranger:
        return  # a stranger's index in place of the auditor's
    assert refused(indexed_by(stranger, content)) is not ExitCode.OK


@pytest.mark.parametrize("stranger", [False, True])
@pytest.mark.parametrize("name", HERE)
def test_a_member_in_anothers_place_is_refused(name: str, stranger: bool) -> None:  # noqa: FBT001
    for other in HERE:
        if other != name and not (stranger and "index.dsse.json" in {name, other}):
            content = members() | {name: members()[other]}
            assert refused(indexed_by(stranger, content)) is not ExitCode.OK, other


def test_a_member_under_another_name_is_refused() -> None:
    raw = evidence()
    for name in HERE:
        assert refused(raw.replace(name.encode(), name.upper().encode())) is ExitCode.MALFORMED
    renamed = {("acknowledgement.dsse.json" if n == "keys.json" else n): data for n, data in members().items()}
    assert refused(packed(renamed)) is not ExitCode.OK


def test_a_member_that_stands_twice_is_refused() -> None:
    from tests.unit.attestations.verify.test_zip_tricks import archive

    for name in HERE:
        twice = [(other, members()[other]) for other in HERE] + [(name, members()[name])]
        assert refused(archive(twice)) is ExitCode.MALFORMED


def test_an_older_files_index_does_not_fit_a_newer_file() -> None:
    older = Container(BytesIO(small().evidence("S4")))
    assert refused(packed(members() | {"index.dsse.json": older.read("index.dsse.json", limit=1 << 20)}))


def test_every_refusal_is_reported_as_json() -> None:
    for bit in some_bits(evidence(), "json"):
        report = check(flip(evidence(), bit))
        shown = json.loads(json.dumps(report.to_json()))
        assert shown["claims"] is None
        assert shown["exitCode"] == report.exit_code
