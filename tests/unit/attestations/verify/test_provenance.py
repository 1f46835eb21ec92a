"""T109: whoever holds what a file opens can say which committed field a leaked text is, and prove it to others."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO

import pytest

from attestations.canonical import canonical_bytes
from attestations.errors import CommitmentMismatch, EvidenceMissing
from attestations.verify.provenance import Found, find
from attestations.views import Opening
from tests.support import world_agreement
from tests.support.world import World
from tests.support.world_suite import make_tasks
from tests.support.world_views import paths


@cache
def world() -> World:
    made = World(tasks=make_tasks(10, size=16))
    place = made.steps.index(("release", "S4", "C6", "PUBLIC"))
    made.steps[place] = ("release", "S4", "C6", "PUBLIC", paths("graderRef"))
    return made


def search(leak: bytes, stage: str = "S5", recipient: str = "REGULATOR") -> list[Found]:
    return find(BytesIO(world().evidence(stage, recipient)), world_agreement.trust(), leak)


@pytest.mark.parametrize(
    ("leak", "place"),
    [
        (json.dumps(make_tasks(10, size=16)[4].prompt, indent=1).encode(), ("C5", 4, "prompt")),
        (b"written for this test", ("C8", 0, "provenance")),
    ],
)
def test_a_whole_field_is_found(leak: bytes, place: tuple[str, int, str]) -> None:
    found = search(leak)
    assert place in [(item.opening.cls, item.opening.i, item.opening.path) for item in found if item.whole]
    assert all(item.registered_at for item in found)


def test_a_part_of_a_longer_text_is_found_in_tasks_and_transcripts() -> None:
    found = search(b"someone posted:  prompt-canary-4 \n today")
    classes = {item.opening.cls for item in found}
    assert classes == {"C5", "C7"}
    assert {item.opening.i for item in found if item.opening.cls == "C5"} == {4}
    assert not any(item.whole for item in found)


def test_what_a_view_opens_is_searched_as_well() -> None:
    target = canonical_bytes(make_tasks(10, size=16)[4].target)
    found = search(target, "S4", "PUBLIC")
    assert [(item.opening.cls, item.opening.i, item.opening.path) for item in found] == [("C6", 4, "target")]


@pytest.mark.parametrize("leak", [b"never written by anybody here", b"prompt", b"\xff\xfe", b"null", b"{}"])
def test_what_is_from_elsewhere_is_not_found(leak: bytes) -> None:
    with pytest.raises(EvidenceMissing):
        search(leak)


def test_an_opening_proves_it_to_a_reader_of_the_sealed_file() -> None:
    """A journalist with the public S1 file and the opening needs no key."""
    opening = search(json.dumps(make_tasks(10, size=16)[4].prompt).encode())[0].opening
    proved = search(opening.to_line(), "S1", "PUBLIC")
    assert [(item.opening.i, item.whole) for item in proved] == [(4, True)]
    invented = Opening(opening.cls, opening.i, opening.path, opening.salt, {"question": "invented"})
    with pytest.raises(CommitmentMismatch):
        search(invented.to_line(), "S1", "PUBLIC")
    elsewhere = Opening(opening.cls, 5, opening.path, opening.salt, opening.value)
    with pytest.raises(CommitmentMismatch):
        search(elsewhere.to_line(), "S1", "PUBLIC")


def test_a_file_that_does_not_verify_says_nothing() -> None:
    data = bytearray(world().evidence("S5"))
    data[len(data) // 2] ^= 1
    with pytest.raises(CommitmentMismatch):
        find(BytesIO(bytes(data)), world_agreement.trust(), b"prompt-canary-4")
