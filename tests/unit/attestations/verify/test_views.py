"""Views: what is open is what was committed to, what is closed is counted, and nothing is left out or put in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.base import encode
from attestations.documents.disclosing import Redaction
from attestations.errors import (
    CommitmentMismatch,
    EvidenceMissing,
    HazardFieldExposed,
    MalformedEnvelope,
    RecipientNotPermitted,
    RedactionNotAllowed,
    ReleasedContentMismatch,
    SafeconductError,
    TlpDowngrade,
    WeakSalt,
)
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World
from tests.support.world_hard import BIO, after, hard_world, office, order
from tests.support.world_suite import suite_key
from tests.support.world_views import Closed, all_but, nothing, paths

C6 = ("release", "S4", "C6", "PUBLIC")
C5 = ("release", "S4", "C5", "PUBLIC")


TARGETS = paths("target")


def viewed(content_class: str = "C6", recipient: str = "PUBLIC", closed: Closed = TARGETS) -> World:
    """An audit whose public S4 opens one class field by field."""
    world = World()
    stage = {"C3": "S3", "C5": "S4", "C6": "S4"}.get(content_class, "S5")
    place = world.steps.index(("release", stage, content_class, recipient))
    world.steps[place] = ("release", stage, content_class, recipient, closed)
    return world


Lines = Callable[[list[Any]], list[Any]]


def closed(lines: list[Any]) -> Any:
    return next(line for line in lines if "commitment" in line)


def edited(world: World, edit: Lines) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        lines = [parse_canonical(line) for line in members["view.jsonl"].splitlines()]
        members["view.jsonl"] = b"".join(canonical_bytes(line) + b"\n" for line in edit(lines))

    return change


def first(field: str, value: Any, *, hole: bool = False) -> Lines:
    """Change the first opening, or hole, of a view."""

    def edit(lines: list[Any]) -> list[Any]:
        place = next(n for n, line in enumerate(lines) if ("commitment" in line) is hole)
        lines[place] = lines[place] | {field: value}
        return lines

    return edit


@pytest.mark.parametrize(
    ("content_class", "recipient", "stage", "closed"),
    [
        ("C3", "REGULATOR", "S3", paths("abstract", reason="PERSONAL_DATA")),
        ("C5", "PUBLIC", "S4", paths("prompt", reason="REUSE")),
        ("C6", "PUBLIC", "S4", paths("target")),
        ("C6", "PUBLIC", "S4", nothing),
        ("C7", "REGULATOR", "S5", all_but(1, 2)),
        ("C8", "REGULATOR", "S5", paths("provenance")),
    ],
)
def test_a_view_holds_and_its_holes_are_counted(content_class: str, recipient: str, stage: str, closed: Closed) -> None:
    """I9: every open field opens the commitment that was registered before the run."""
    world = viewed(content_class, recipient, closed)
    report = world.verify(stage, recipient)
    assert_holds(report)
    counts = report.redactions[content_class]
    lines = [parse_canonical(line) for line in world.disclosure.views[content_class, recipient]]
    assert counts["opened"] == sum("salt" in line for line in lines)
    assert sum(item["fields"] for item in counts["closed"]) == sum("commitment" in line for line in lines)
    assert any("single fields" in line for line in report.limitations)


def test_lab_regulator_and_public_get_different_views_of_one_audit() -> None:
    """I10: what one has seen of a class is not taken back by what another gets."""
    world = viewed("C5", closed=paths("prompt", reason="REUSE"))
    regulator, public = world.verify("S4", "REGULATOR"), world.verify("S4", "PUBLIC")
    assert_holds(regulator)
    assert_holds(public)
    assert regulator.redactions == {}
    assert public.redactions["C5"]["closed"] == [{"reason": "REUSE", "by": "auditor", "fields": len(world.tasks)}]


@pytest.mark.parametrize(
    ("edit", "error", "code"),
    [
        (first("value", "another"), CommitmentMismatch, 30),
        (first("salt", encode(bytes(range(32)))), CommitmentMismatch, 30),
        (first("salt", encode(bytes(31))), WeakSalt, 30),
        (first("salt", "AB"), MalformedEnvelope, 10),
        (first("commitment", "ab" * 32, hole=True), CommitmentMismatch, 30),
        (first("commitment", "ab", hole=True), MalformedEnvelope, 10),
        (first("reason", "BECAUSE", hole=True), MalformedEnvelope, 10),
        (first("by", "somebody", hole=True), MalformedEnvelope, 10),
        (first("by", "lab", hole=True), RedactionNotAllowed, 50),
        (first("by", "regulator", hole=True), RedactionNotAllowed, 50),
        (lambda lines: [closed(lines) | {"class": "C2"}, *lines], RedactionNotAllowed, 50),
        (first("class", "C4"), MalformedEnvelope, 10),
        (lambda lines: lines[1:], ReleasedContentMismatch, 30),
        (lambda lines: lines[:-1], ReleasedContentMismatch, 30),
        (lambda lines: [*lines, lines[-1] | {"i": 9999}], ReleasedContentMismatch, 30),
        (lambda lines: [lines[1], lines[0], *lines[2:]], ReleasedContentMismatch, 30),
        (lambda lines: [*lines[:2], lines[0], *lines[2:]], MalformedEnvelope, 10),
        (lambda lines: [lines[0], *lines], MalformedEnvelope, 10),
        (lambda lines: [], MalformedEnvelope, 10),
        (lambda lines: [lines[0] | {"more": 1}, *lines[1:]], MalformedEnvelope, 10),
        (lambda lines: [lines[0] | {"i": True}, *lines[1:]], MalformedEnvelope, 10),
    ],
)
def test_what_is_wrong_with_a_view_has_its_error(edit: Lines, error: type[SafeconductError], code: int) -> None:
    """T098 for a hole the lab or the regulator never asked for, or in overall figures."""
    world = viewed()
    assert_refused(world.verify("S4", "PUBLIC", change=edited(world, edit)), error, code)


def test_one_salt_for_two_fields_is_weak() -> None:
    """T036."""
    world = viewed()

    def edit(lines: list[Any]) -> list[Any]:
        salts = [line for line in lines if "salt" in line]
        salts[1]["salt"] = salts[0]["salt"]
        return lines

    assert_refused(world.verify("S4", "PUBLIC", change=edited(world, edit)), WeakSalt, 30)


def test_a_hazard_under_another_class_is_exposed() -> None:
    """T097: the field C9 committed to, shown as one of C5."""
    world = viewed("C5", closed=nothing)
    salt = suite_key().class_key("C9").salt(0, "hazardExcerpt")

    def edit(lines: list[Any]) -> list[Any]:
        stray = {
            "class": "C5",
            "i": 0,
            "path": "hazardExcerpt",
            "salt": encode(salt),
            "value": "hazard-canary-0",
        }
        return [stray, *lines]

    assert_refused(world.verify("S4", "PUBLIC", change=edited(world, edit)), HazardFieldExposed, 50)


@pytest.mark.parametrize("recipient", ["PUBLIC", "LAB_ALL"])
def test_hazards_are_never_opened_to_all_not_even_one_field(recipient: str) -> None:
    """T097, I7."""
    world = World()
    world.steps.insert(-1, ("release", "S4", "C9", recipient, all_but(1)))
    assert_refused(world.verify("S4", "PUBLIC"), HazardFieldExposed, 50)


def test_an_order_opens_hazards_to_the_cleared_alone() -> None:
    """T103: within its scope, field by field, and the regulator's own redaction in it."""

    def closed(digest: str, now: str) -> Redaction:
        return Redaction(agreement=digest, content_class="C9", paths=("hazardExcerpt",), reason="HAZARD", stated_at=now)

    def by_regulator(i: int, _: str) -> tuple[str, str] | None:
        return None if i in (0, 1) else ("HAZARD", "regulator")

    c3 = ("release", "S3", "C3", "REGULATOR")
    wanted = order(classes=("C9",), to=(BIO,))
    steps = [("state", wanted, office()), ("state", closed, office()), ("release", "S4", "C9", BIO, by_regulator)]
    world = after(hard_world(), c3, *steps)
    world.only = ("C9",)
    report = world.verify("S4", BIO)
    assert_holds(report)
    assert report.redactions["C9"]["opened"] == 2
    unasked = after(hard_world(), c3, steps[0], steps[2])
    unasked.only = ("C9",)
    assert_refused(unasked.verify("S4", BIO), RedactionNotAllowed, 50)


def test_another_view_than_the_released_one_is_refused() -> None:
    """A recipient compares what it got with what the log says it was to get."""
    world = viewed()

    def edit(lines: list[Any]) -> list[Any]:
        return [line | {"reason": "LEGAL"} if "commitment" in line else line for line in lines]

    assert_refused(world.verify("S4", "PUBLIC", change=edited(world, edit)), ReleasedContentMismatch, 30)


def test_a_class_released_in_part_is_not_opened_whole() -> None:
    """T096."""

    def whole(members: dict[str, bytes]) -> None:
        del members["view.jsonl"]
        keys_shown = parse_canonical(members["keys.json"])
        secret = suite_key().class_key("C6").secret.hex()
        members["keys.json"] = canonical_bytes(keys_shown | {"C6": secret})

    assert_refused(viewed().verify("S4", "PUBLIC", change=whole), RecipientNotPermitted, 50)


def test_a_view_that_is_missing_is_indeterminate() -> None:
    def without(members: dict[str, bytes]) -> None:
        del members["view.jsonl"]

    assert_refused(viewed().verify("S4", "PUBLIC", change=without), EvidenceMissing, 70)


def test_a_class_is_shown_whole_or_in_part() -> None:
    def both(members: dict[str, bytes]) -> None:
        keys_shown = parse_canonical(members["keys.json"])
        secret = suite_key().class_key("C6").secret.hex()
        members["keys.json"] = canonical_bytes(keys_shown | {"C6": secret})

    report = viewed().verify("S4", "PUBLIC", change=both)
    assert report.exit_code != 0


def test_a_transcript_in_a_view_is_the_signed_one() -> None:
    """T095."""
    world = viewed("C7", "REGULATOR", all_but(1, 2))

    def edit(lines: list[Any]) -> list[Any]:
        opened = [line for line in lines if "salt" in line and line["path"] == "result"]
        opened[0]["value"], opened[1]["value"] = opened[1]["value"], opened[0]["value"]
        return lines

    report = world.verify("S5", change=edited(world, edit))
    assert_refused(report, ReleasedContentMismatch, 30)


@pytest.mark.parametrize(
    ("label", "holds"), [("CLEAR", False), ("GREEN", False), ("AMBER+STRICT", False), ("RED", True)]
)
def test_a_release_is_not_labelled_looser_than_its_class(label: str, holds: bool) -> None:  # noqa: FBT001
    """T108: tasks for the regulator are TLP:RED."""
    world = World()
    place = world.steps.index(("release", "S4", "C5", "REGULATOR"))
    world.steps[place] = (*world.steps[place], {"tlp": label})
    report = world.verify("S4")
    assert_holds(report) if holds else assert_refused(report, TlpDowngrade, 50)


@pytest.mark.parametrize(
    ("stage", "recipient", "label", "holds"),
    [
        ("S1", "REGULATOR", "CLEAR", True),
        ("S2", "REGULATOR", "CLEAR", False),
        ("S2", "REGULATOR", "GREEN", True),
        ("S3", "REGULATOR", "GREEN", False),
        ("S4", "REGULATOR", "AMBER", False),
        ("S4", "REGULATOR", "RED", True),
        ("S4", "PUBLIC", "CLEAR", True),
        ("S3", "PUBLIC", "RED", True),
    ],
)
def test_a_file_is_not_labelled_looser_than_what_it_shows(
    stage: str,
    recipient: str,
    label: str,
    holds: bool,  # noqa: FBT001
) -> None:
    """T108."""
    world = World()
    world.tlp = label
    report = world.verify(stage, recipient)
    assert_holds(report) if holds else assert_refused(report, TlpDowngrade, 50)


def test_a_file_of_some_classes_shows_no_figures() -> None:
    world = World()
    world.only = ("C2",)
    assert_refused(world.verify("S2"), MalformedEnvelope, 10)
