"""What was released to whom and when is held against the agreed policy, from the log alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import check_field, commit_field
from attestations.digests import sha256
from attestations.documents.base import encode, validated
from attestations.documents.engagement import PackageManifest
from attestations.errors import (
    AttributionFailed,
    CommitmentMismatch,
    DisclosureEarly,
    DisclosureOverdue,
    EvidenceMissing,
    HazardFieldExposed,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PackageDecryptFailed,
    PackageManifestMismatch,
    RecipientNotPermitted,
    ReleasedContentMismatch,
)
from attestations.merkle import leaf_hash, merkle_root
from attestations.packages import iter_package
from attestations.policy.defaults import standard_policy
from attestations.policy.model import Policy
from attestations.verify.engine import Request
from tests.support import world_agreement
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World
from tests.support.world_agreement import keys
from tests.support.world_suite import suite_key

PERMITTED_C5 = datetime(2026, 11, 18, 9, tzinfo=UTC)  # ten business days after the delivery


def altered(name: str, change: Callable[[Any], Any]) -> World:
    return World(hooks=Hooks(alter={name: change}))


def released_at(moment: datetime, content_class: str = "C5", recipient: str = "REGULATOR") -> World:
    """An audit in which one release is made at another time."""
    world = World()
    place = next(
        i for i, step in enumerate(world.steps) if step[0] == "release" and step[2:] == (content_class, recipient)
    )
    world.steps.insert(place, ("until", moment))
    return world


def test_a_release_before_its_time_is_early() -> None:
    """T090."""
    assert_refused(released_at(PERMITTED_C5 - timedelta(days=1)).verify("S4"), DisclosureEarly, 50)


def test_a_release_before_the_packages_are_delivered_is_early() -> None:
    """T090: figures shown while the packages could still be changed."""
    world = World()
    world.steps.remove(("deliver",))
    world.steps.insert(world.steps.index(("release", "S2", "C2", "REGULATOR")) + 1, ("deliver",))
    assert_refused(world.verify("S3"), DisclosureEarly, 50)


def test_within_the_clock_skew_nobody_is_blamed() -> None:
    """T091: five seconds either way decide nothing."""
    assert_refused(released_at(PERMITTED_C5 + timedelta(seconds=1)).verify("S4"), EvidenceMissing, 70)
    assert_holds(released_at(PERMITTED_C5 + timedelta(seconds=12)).verify("S4"))


def test_a_release_said_to_be_in_time_but_logged_late_is_overdue() -> None:
    """T091."""
    world = released_at(datetime(2026, 11, 13, 9, tzinfo=UTC), "C2")
    world.hooks.alter["release:C2:REGULATOR"] = lambda release: release.model_copy(
        update={"released_at": "2026-11-06T09:00:00Z"}
    )
    assert_refused(world.verify("S2"), DisclosureOverdue, 51)


def test_a_late_release_that_says_so_is_released() -> None:
    """T092: verify before gives 51, after gives 0."""
    before = World().verify("S1", request=Request(at=datetime(2026, 11, 12, tzinfo=UTC)))
    assert_refused(before, DisclosureOverdue, 51)
    assert_holds(released_at(datetime(2026, 11, 13, 9, tzinfo=UTC), "C2").verify("S2"))


def test_without_a_time_given_the_last_leaf_is_the_present() -> None:
    assert_holds(World().verify("S1"))


def garbage(content_class: str) -> World:
    """An audit that delivers noise, with a manifest that fits it."""
    made: dict[str, bytes] = {}

    def noise(package: bytes) -> bytes:
        lengths = [len(chunk) for chunk in iter_package([package])]
        chunks = [hashlib.shake_128(str(n).encode()).digest(length) for n, length in enumerate(lengths)]
        made["root"] = merkle_root(map(leaf_hash, chunks))
        made["file"] = b"".join(len(chunk).to_bytes(4, "big") + chunk for chunk in chunks)
        return made["file"]

    def manifest(document: PackageManifest) -> PackageManifest:
        fitted = {
            "ciphertext_root": made["root"].hex(),
            "file_digest": sha256(made["file"]),
        }
        packages = tuple(
            package.model_copy(update=fitted) if package.content_class == content_class else package
            for package in document.packages
        )
        return document.model_copy(update={"packages": packages})

    return World(hooks=Hooks(alter={f"package:{content_class}": noise, "manifest": manifest}))


@pytest.mark.parametrize(("content_class", "stage"), [("C2", "S2"), ("C3", "S3"), ("C7", "S5")])
def test_delivered_garbage_does_not_open(content_class: str, stage: str) -> None:
    """T093."""
    assert_refused(garbage(content_class).verify(stage), PackageDecryptFailed, 30)


def test_a_package_other_than_the_delivered_one_is_noticed_while_sealed() -> None:
    """T093."""

    def change(members: dict[str, bytes]) -> None:
        package = bytearray(members["packages/C8.sealed"])
        package[-1] ^= 1
        members["packages/C8.sealed"] = bytes(package)

    assert_refused(World().verify("S1", change=change), PackageManifestMismatch, 30)


def test_a_key_that_is_not_the_committed_one_is_refused() -> None:
    """T094."""

    def change(members: dict[str, bytes]) -> None:
        members["keys.json"] = canonical_bytes({"C2": "ab" * 32})

    assert_refused(World().verify("S2", change=change), KeyCommitmentMismatch, 30)


def test_a_release_that_names_another_key_is_refused() -> None:
    """T094."""
    world = altered("release:C2:REGULATOR", lambda release: release.model_copy(update={"key_commitment": "ab" * 32}))
    assert_refused(world.verify("S2"), KeyCommitmentMismatch, 30)


def test_a_package_under_a_key_that_was_never_registered_is_refused() -> None:
    """T094: two openings prepared, one for each reader."""

    def manifest(document: PackageManifest) -> PackageManifest:
        packages = tuple(package.model_copy(update={"key_commitment": "ab" * 32}) for package in document.packages)
        return document.model_copy(update={"packages": packages})

    assert_refused(altered("manifest", manifest).verify("S1"), KeyCommitmentMismatch, 30)


@pytest.mark.parametrize("field", ["result_salt", "request_salt", "result", "session", "seq"])
def test_a_transcript_other_than_the_signed_one_is_refused(field: str) -> None:
    """T095."""

    def other(chunks: list[bytes]) -> list[bytes]:
        value = parse_canonical(chunks[0])
        value[field] = {
            "result_salt": encode(bytes(32)),
            "request_salt": encode(bytes(32)),
            "result": parse_canonical(chunks[2])["result"],
            "session": "session-3",
            "seq": 77,
        }[field]
        return [canonical_bytes(value), *chunks[1:]]

    assert_refused(altered("chunks:C7", other).verify("S5"), ReleasedContentMismatch, 30)


def test_commitments_may_be_public_where_no_rule_says_so() -> None:
    rules = [rule.json_value() for rule in standard_policy().rules if rule.id != "c1-public"]
    agreed = world_agreement.agreement(policy=validated(Policy, standard_policy().json_value() | {"rules": rules}))
    assert_holds(World(agreement=agreed).verify("S1", "PUBLIC"))


def test_a_release_to_someone_without_a_rule_is_refused() -> None:
    """T096."""
    world = World()
    world.steps.insert(-1, ("release", "S5", "C7", "PUBLIC"))
    assert_refused(world.verify("S4", "PUBLIC"), RecipientNotPermitted, 50)


def test_a_file_for_someone_who_was_released_nothing_is_refused() -> None:
    """T096: the regulator's file, addressed to the public."""
    world = World()
    size = world.build().size_at("S5", "REGULATOR")
    assert_refused(world.verify("S5", "PUBLIC", size=size), RecipientNotPermitted, 50)


def test_a_class_of_another_stage_is_refused() -> None:
    """T096."""
    world = altered("release:C2:REGULATOR", lambda release: release.model_copy(update={"stage": "S5"}))
    assert_refused(world.verify("S2"), RecipientNotPermitted, 50)


@pytest.mark.parametrize("recipient", ["PUBLIC", "LAB_ALL"])
def test_hazards_are_never_released_to_all(recipient: str) -> None:
    """T097."""
    world = World()
    world.steps.insert(-1, ("release", "S5", "C9", recipient))
    assert_refused(world.verify("S4", "PUBLIC"), HazardFieldExposed, 50)


def test_a_hazardous_field_in_another_package_is_exposed() -> None:
    """T097."""

    def forget(chunks: list[bytes]) -> list[bytes]:
        value = parse_canonical(chunks[0])
        value["fields"]["hazardExcerpt"] = "hazard-canary-0"
        return [canonical_bytes(value), *chunks[1:]]

    assert_refused(altered("chunks:C5", forget).verify("S4"), HazardFieldExposed, 50)


def test_the_key_of_hazards_is_exposed_in_any_file() -> None:
    """T097."""

    def change(members: dict[str, bytes]) -> None:
        shown = parse_canonical(members["keys.json"])
        members["keys.json"] = canonical_bytes(shown | {"C9": suite_key().class_key("C9").secret.hex()})

    assert_refused(World().verify("S5", change=change), HazardFieldExposed, 50)


def test_a_key_of_a_later_stage_is_early() -> None:
    def change(members: dict[str, bytes]) -> None:
        shown = parse_canonical(members["keys.json"])
        members["keys.json"] = canonical_bytes(shown | {"C3": suite_key().class_key("C3").secret.hex()})

    assert_refused(World().verify("S2", change=change), DisclosureEarly, 50)


def test_a_leaked_text_is_proved_to_be_the_committed_one() -> None:
    """T109: whoever holds the class key can tell a real leak from an invented one."""
    key = suite_key().class_key("C5")
    world = World().build()
    leaf, prompt = world.leaves[4], world.tasks[4].prompt
    check_field(key, leaf, "prompt", prompt)
    with pytest.raises(CommitmentMismatch):
        check_field(key, leaf, "prompt", prompt | {"question": "invented"})
    assert commit_field(key, 4, "prompt", prompt) != commit_field(key, 5, "prompt", prompt)


def test_an_audit_that_is_given_up_still_owes_its_commitments() -> None:
    """T110: bad results cannot be put into a drawer."""
    world = World()
    world.steps = [step for step in world.steps if step[0] != "release" or step[2:] == ("C1", "REGULATOR")]
    after = Request(at=datetime(2026, 11, 18, tzinfo=UTC))
    assert_refused(world.verify("S1", request=after), DisclosureOverdue, 51)


@pytest.mark.parametrize("name", ["RUN_CLOSED", "DELIVERED", "RELEASED", "ORDER", "AUDITOR_CONSENT", "GOSSIP"])
def test_an_event_that_is_not_the_labs_to_state_is_refused(name: str) -> None:
    """A statement cannot stand for what the log itself must show."""
    world = World()
    argument = "C2:REGULATOR" if name == "RELEASED" else None
    world.steps.insert(world.steps.index(("close",)) + 1, ("event", name, argument))
    assert_refused(world.verify("S1"), AttributionFailed, 30)


def test_an_auditor_cannot_consent_for_the_lab() -> None:
    world = World(hooks=Hooks(signers={"event": (keys().agreement,)}))
    world.steps.insert(world.steps.index(("close",)) + 1, ("event", "LAB_CONSENT", "C2"))
    assert_refused(world.verify("S1"), AttributionFailed, 30)


def test_a_labs_consent_permits_earlier() -> None:
    def early(*extra: tuple[Any, ...]) -> World:
        world = World()
        place = world.steps.index(("release", "S3", "C3", "REGULATOR"))
        world.steps[place + 1 : place + 1] = [*extra, ("release", "S2", "C2", "PUBLIC")]
        return world

    consent = ("event", "LAB_CONSENT", "C2")
    assert_refused(early().verify("S4", "REGULATOR"), DisclosureEarly, 50)
    assert_holds(early(consent).verify("S4", "REGULATOR"))


def test_a_hold_moves_the_time_that_waits_for_it() -> None:
    world = World()
    world.steps.insert(world.steps.index(("deliver",)), ("event", "HOLD", "8"))
    assert_refused(world.verify("S2", "PUBLIC"), DisclosureEarly, 50)


def test_a_hold_that_comes_too_late_changes_nothing() -> None:
    world = World()
    place = world.steps.index(("release", "S2", "C2", "PUBLIC"))
    world.steps.insert(place, ("event", "HOLD", "8"))
    assert_holds(world.verify("S2", "PUBLIC"))


@pytest.mark.parametrize("days", [None, "0", "007", "many", "99999999999"])
def test_a_hold_without_a_number_of_days_is_refused(days: str | None) -> None:
    world = World()
    world.steps.insert(world.steps.index(("deliver",)), ("event", "HOLD", days))
    assert_refused(world.verify("S1"), MalformedEnvelope, 10)


def test_an_agreement_with_a_policy_nobody_should_sign_is_refused() -> None:
    policy = world_agreement.agreement().policy.json_value()
    policy["rules"].append({"id": "bad", "class": "C9", "to": "PUBLIC", "permit": "RUN_CLOSED", "oblige": None})
    world = World(agreement=world_agreement.agreement(policy=validated(Policy, policy)))
    assert_refused(world.verify("S1"), MalformedEnvelope, 10)


def test_a_class_that_was_committed_to_must_be_sealed() -> None:
    """Otherwise it could never be opened, and nobody would notice."""
    world = altered("chunks:C6", lambda chunks: [])
    assert_refused(world.verify("S1"), PackageManifestMismatch, 30)


def test_a_stage_without_one_of_its_keys_is_indeterminate() -> None:
    def change(members: dict[str, bytes]) -> None:
        shown = parse_canonical(members["keys.json"])
        del shown["C6"]
        members["keys.json"] = canonical_bytes(shown)

    assert_refused(World().verify("S4", change=change), EvidenceMissing, 70)
