"""Signatures, roles and encodings: who signed which bytes, and what is refused before anything is believed."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest

from attestations.canonical import canonical_bytes
from attestations.documents.agreement import Agreement
from attestations.documents.exchange import Record
from attestations.envelope import Envelope, Signature, parse_envelope, sign
from attestations.errors import (
    DuplicateKey,
    KeyRevoked,
    MissingRoleSignature,
    NonCanonicalDocument,
    PayloadTypeMismatch,
    SafeconductError,
    SequenceEquivocation,
    SignatureInvalid,
    SignerRoleMismatch,
    SizeLimitExceeded,
    UnknownCriticalField,
    UnsupportedVersion,
    UntrustedParty,
)
from attestations.keys import EnrolledKey, KeyUse
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World, check
from tests.support.world_agreement import AUDITOR, Keys, keys, p256_signer, party_key, trust


def envelopes(**changes: Callable[[Envelope], Envelope]) -> World:
    return World(hooks=Hooks(envelopes={name.replace("_", "-"): change for name, change in changes.items()}))


def altered(**changes: Callable[[object], object]) -> World:
    return World(hooks=Hooks(alter=dict(changes)))


def flipped(envelope: Envelope) -> Envelope:
    payload = bytearray(envelope.payload)
    payload[len(payload) // 2] ^= 1
    return Envelope(envelope.payload_type, bytes(payload), envelope.signatures)


@pytest.mark.parametrize(
    "name", ["agreement", "index", "registration", "intent:3", "promise:3", "record:3", "close", "manifest", "release"]
)
def test_a_bit_flipped_in_a_payload_breaks_its_signature(name: str) -> None:
    """T001."""
    assert_refused(World(hooks=Hooks(envelopes={name: flipped})).verify("S5"), SignatureInvalid, 20)


def test_a_bit_flipped_in_the_statement_breaks_its_signature() -> None:
    """T001."""

    def change(members: dict[str, bytes]) -> None:
        bundle = json.loads(members["attestation.sigstore.json"])
        payload = bundle["dsseEnvelope"]["payload"]
        bundle["dsseEnvelope"]["payload"] = ("B" if payload[0] == "A" else "A") + payload[1:]
        members["attestation.sigstore.json"] = canonical_bytes(bundle)

    assert_refused(World().verify("S2", change=change), SignatureInvalid, 20)


@pytest.mark.parametrize("name", ["agreement", "intent:0", "record:0", "index"])
def test_another_payload_type_breaks_the_signature(name: str) -> None:
    """T002: the signature covers the type."""
    world = World(hooks=Hooks(envelopes={name: lambda e: Envelope(Record.payload_type + "x", e.payload, e.signatures)}))
    assert_refused(world.verify("S1"), SignatureInvalid, 20)


def test_an_intent_signed_as_a_record_is_of_the_wrong_type() -> None:
    """T003."""
    world = World(hooks=Hooks(types={"intent:3": Record.payload_type}))
    assert_refused(world.verify("S1"), PayloadTypeMismatch, 10)


def test_a_key_that_stands_twice_in_a_signed_document_is_refused() -> None:
    """T004."""
    world = altered(agreement=lambda a: a.to_bytes().replace(b'{"access"', b'{"access":{},"access"', 1))  # type: ignore[attr-defined]
    assert_refused(world.verify("S1"), DuplicateKey, 10)


@pytest.mark.parametrize("name", ["agreement", "record:2", "close"])
def test_a_signed_document_in_another_form_is_refused(name: str) -> None:
    """T005: spaces change nothing for JSON and everything for us."""
    world = World(hooks=Hooks(alter={name: lambda document: document.to_bytes().replace(b'":', b'": ', 1)}))
    assert_refused(world.verify("S1"), NonCanonicalDocument, 10)


@pytest.mark.parametrize("value", [2**53, 0.5, float("nan")])
def test_numbers_that_computers_read_differently_are_never_signed(value: float) -> None:
    """T006."""
    with pytest.raises(NonCanonicalDocument):
        canonical_bytes({"n": value})


def test_a_number_that_computers_read_differently_is_not_read() -> None:
    """T006, had someone signed it."""
    world = World(hooks=Hooks(alter={"close": lambda c: c.to_bytes().replace(b'"nextSeq":10', b'"nextSeq":10.0', 1)}))
    assert_refused(world.verify("S1"), NonCanonicalDocument, 10)


@pytest.mark.parametrize("name", ["agreement", "intent:1", "close", "index"])
def test_an_unknown_field_in_a_signed_document_is_refused(name: str) -> None:
    """T007."""
    world = World(hooks=Hooks(alter={name: lambda d: canonical_bytes(d.json_value() | {"zeal": 1})}))
    assert_refused(world.verify("S1"), UnknownCriticalField, 10)


def test_an_unknown_field_in_the_predicate_is_ignored() -> None:
    """T008."""
    world = altered(predicate=lambda predicate: predicate | {"evaluatorMood": "sunny"})  # type: ignore[operator]
    assert_holds(world.verify("S3"))


@pytest.mark.parametrize("bomb", [b"[" * 500_000, b'{"a":' * 100_000, b" " * (5 << 20)])
def test_a_bomb_is_refused_in_bounded_memory(bomb: bytes) -> None:
    """T009."""
    tracemalloc.start()
    with pytest.raises(SizeLimitExceeded):
        parse_envelope(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20


def test_a_member_larger_than_its_limit_is_refused() -> None:
    """T009."""
    report = World().verify("S1", change=lambda members: members.update({"agreement.dsse.json": bytes(5 << 20)}))
    assert_refused(report, SizeLimitExceeded, 10)


@pytest.mark.parametrize("second", ["lab_record", "lab_agreement"])
def test_two_keys_of_one_side_are_not_two_sides(second: str) -> None:
    """T010."""
    world = World(hooks=Hooks(signers={"agreement": (keys().lab_agreement, getattr(keys(), second))}))
    assert_refused(world.verify("S1"), MissingRoleSignature, 21)


def test_a_record_key_cannot_sign_an_agreement() -> None:
    """T011."""
    world = World(hooks=Hooks(signers={"agreement": (keys().lab_record, keys().agreement)}))
    assert_refused(world.verify("S1"), SignerRoleMismatch, 21)


@pytest.mark.parametrize(("name", "signer"), [("record:1", "lab_agreement"), ("intent:1", "publication")])
def test_a_document_signed_with_another_key_of_the_right_party_is_refused(name: str, signer: str) -> None:
    """T011."""
    world = World(hooks=Hooks(signers={name: (getattr(keys(), signer),)}))
    assert_refused(world.verify("S1"), SignerRoleMismatch, 21)


@pytest.mark.parametrize("name", ["agreement", "record:1"])
def test_a_key_id_selects_no_key(name: str) -> None:
    """T012: a stranger's signature under a trusted name."""
    named = keys().lab_agreement if name == "agreement" else keys().lab_record

    def forged(envelope: Envelope) -> Envelope:
        mine = sign(envelope.payload_type, envelope.payload, keys().outsider).signatures[0]
        return Envelope(
            envelope.payload_type, envelope.payload, (Signature(named.key.id, mine.sig), *envelope.signatures[1:])
        )

    assert_refused(World(hooks=Hooks(envelopes={name: forged})).verify("S1"), SignatureInvalid, 20)


def test_a_stranger_in_place_of_a_side_is_not_trusted() -> None:
    world = World(hooks=Hooks(signers={"agreement": (keys().outsider, keys().agreement)}))
    assert_refused(world.verify("S1"), UntrustedParty, 21)


def test_a_key_in_the_agreement_that_the_reader_does_not_know_is_not_trusted() -> None:
    other = p256_signer(AUDITOR, KeyUse.PUBLICATION, label="another")
    from dataclasses import replace

    swapped: Keys = replace(keys(), publication=other)
    from tests.support.world_agreement import agreement, party

    listed = [agreement().parties[0].json_value(), party("auditor", AUDITOR, swapped.auditor()).json_value()]
    assert_refused(World(keys=swapped, agreement=agreement(parties=listed)).verify("S1"), UntrustedParty, 21)


REVOCABLE = ("lab_agreement", "lab_record", "lab_log", "agreement", "exchange", "cosign", "publication")


@pytest.mark.parametrize("name", REVOCABLE)
def test_a_key_revoked_before_it_signed_is_refused(name: str) -> None:
    """T013."""
    key: EnrolledKey = getattr(keys(), name).key
    evidence = World().evidence("S2")
    assert_refused(check(evidence, trust=trust(revoked=[(key, "2026-11-02T09:00:00Z")])), KeyRevoked, 22)


@pytest.mark.parametrize("name", ["lab_record", "lab_log", "cosign", "publication"])
def test_a_key_revoked_while_it_was_in_use_is_refused(name: str) -> None:
    """T013: the lab's times bound what was signed after the revocation."""
    key: EnrolledKey = getattr(keys(), name).key
    evidence = World().evidence("S2")
    assert_refused(check(evidence, trust=trust(revoked=[(key, "2026-11-05T12:00:00Z")])), KeyRevoked, 22)


@pytest.mark.parametrize("name", REVOCABLE)
def test_a_key_revoked_later_stays_good_for_what_it_signed(name: str) -> None:
    key: EnrolledKey = getattr(keys(), name).key
    assert_holds(check(World().evidence("S2"), trust=trust(revoked=[(key, "2026-11-06T10:00:00Z")])))


def test_a_session_that_is_opened_twice_is_refused() -> None:
    """T015: a captured SessionOpen, replayed."""
    world = World()
    world.steps.insert(world.steps.index(("session", 1)), ("session", 0))
    assert_refused(world.verify("S1"), SequenceEquivocation, 32)


@pytest.mark.parametrize("name", ["agreement", "record:3", "index"])
def test_another_version_is_not_guessed_at(name: str) -> None:
    """T016."""
    world = World(hooks=Hooks(alter={name: lambda d: d.model_copy(update={"v": "safeconduct/v2"})}))
    assert_refused(world.verify("S1"), UnsupportedVersion, 11)


def test_an_attestation_of_another_type_is_not_guessed_at() -> None:
    world = altered(statement=lambda s: s | {"predicateType": "https://safeconduct.dev/attestation/ai-audit/v9"})  # type: ignore[operator]
    assert_refused(world.verify("S1"), UnsupportedVersion, 11)


def test_every_key_of_the_trust_file_is_used_for_one_thing_only() -> None:
    """A key listed for another use is another key."""
    usual = trust()
    record = party_key(keys().lab_record.key).model_copy(update={"use": "agreement"})
    lab = usual.parties[0]
    swapped = lab.model_copy(update={"keys": (record, *lab.keys[2:])})
    report = check(World().evidence("S1"), trust=trust(parties=(swapped, usual.parties[1])))
    assert report.exit_code.value in {20, 21}


def test_no_error_of_a_document_repeats_its_content() -> None:
    with pytest.raises(SafeconductError) as caught:
        Agreement.parse(canonical_bytes({"v": "safeconduct/v1", "secret-canary": "secret-canary"}))
    assert "secret-canary" not in f"{caught.value.message}{caught.value.facts}"
