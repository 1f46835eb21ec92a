"""Envelopes are accepted by role over exact bytes; abuse cases T001 to T012 of the protocol study at kernel level."""

from __future__ import annotations

import dataclasses

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, strategies as st

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.exchange import Cancel, Refusal
from attestations.envelope import (
    Envelope,
    Signature,
    open_document,
    open_envelope,
    pae,
    parse_envelope,
    sign,
    sign_document,
)
from attestations.errors import (
    DuplicateKey,
    MissingRoleSignature,
    NonCanonicalDocument,
    PayloadTypeMismatch,
    SignatureInvalid,
    SignerRoleMismatch,
    SizeLimitExceeded,
    UnknownCriticalField,
    UnsupportedVersion,
)
from attestations.keys import KeyUse, P256Signer, signer_from_pem


def signer(party: str, use: KeyUse, number: int) -> P256Signer:
    return P256Signer(ec.derive_private_key(number, ec.SECP256R1()), party=party, use=use)


AUDITOR = signer("auditor", KeyUse.EXCHANGE, 11)
AUDITOR_AGREEMENT = signer("auditor", KeyUse.AGREEMENT, 12)
LAB = signer("lab", KeyUse.AGREEMENT, 13)
LAB_RECORD = signer("lab", KeyUse.RECORD, 14)
CANCEL = Cancel(agreement="ab" * 32, session="s-1", seq=4, promise="cd" * 32)
ENVELOPE = sign_document(CANCEL, AUDITOR)


def test_a_signed_document_comes_back_as_it_was() -> None:
    again = parse_envelope(ENVELOPE.to_bytes())

    assert open_document(again, Cancel, required=(AUDITOR.key,)) == CANCEL
    assert pae("abc", b"{}") == b"DSSEv1 3 abc 2 {}"


def test_a_key_signs_the_same_bytes_alike_each_time_and_survives_its_file() -> None:
    again = signer_from_pem(AUDITOR.to_pem(), party="auditor", use=KeyUse.EXCHANGE)

    assert sign_document(CANCEL, again) == ENVELOPE
    assert "PRIVATE" not in repr(again)


@given(st.integers(0, len(ENVELOPE.payload) * 8 - 1))
def test_one_flipped_bit_breaks_the_signature(bit: int) -> None:
    """T001."""
    payload = bytearray(ENVELOPE.payload)
    payload[bit // 8] ^= 1 << bit % 8

    with pytest.raises(SignatureInvalid):
        open_document(dataclasses.replace(ENVELOPE, payload=bytes(payload)), Cancel, required=(AUDITOR.key,))


def test_the_payload_type_is_covered_by_the_signature() -> None:
    """T002."""
    with pytest.raises(SignatureInvalid):
        open_document(dataclasses.replace(ENVELOPE, payload_type=Refusal.payload_type), Cancel, required=(AUDITOR.key,))


def test_a_document_signed_as_another_kind_is_refused() -> None:
    """T003."""
    disguised = sign(Refusal.payload_type, CANCEL.to_bytes(), AUDITOR)

    with pytest.raises(PayloadTypeMismatch):
        open_document(disguised, Cancel, required=(AUDITOR.key,))


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        pytest.param(CANCEL.to_bytes()[:-1] + b',"v":"safeconduct/v1"}', DuplicateKey, id="T004"),
        pytest.param(CANCEL.to_bytes().replace(b":", b": ", 1), NonCanonicalDocument, id="T005"),
        pytest.param(CANCEL.to_bytes().replace(b'"seq":4', b'"seq":9007199254740992'), NonCanonicalDocument, id="T006"),
        pytest.param(CANCEL.to_bytes().replace(b'"seq":4', b'"seq":4.0'), NonCanonicalDocument, id="T006-float"),
        pytest.param(CANCEL.to_bytes()[:-1] + b',"z":1}', UnknownCriticalField, id="T007"),
        pytest.param(CANCEL.to_bytes().replace(b"safeconduct/v1", b"safeconduct/v2"), UnsupportedVersion, id="T016"),
    ],
)
def test_validly_signed_bytes_must_still_be_the_document(payload: bytes, error: type[Exception]) -> None:
    signed = sign(Cancel.payload_type, payload, AUDITOR)

    with pytest.raises(error):
        open_document(signed, Cancel, required=(AUDITOR.key,))


@pytest.mark.parametrize("value", [2**53, -(2**53), 1.5, float("nan"), "\ud800", {1: 2}, b"bytes"])
def test_what_has_no_canonical_form_is_never_signed(value: object) -> None:
    """T006, on our own side."""
    with pytest.raises(NonCanonicalDocument):
        canonical_bytes({"a": value})


def test_an_envelope_that_is_too_large_is_not_parsed() -> None:
    """T009."""
    with pytest.raises(SizeLimitExceeded):
        parse_envelope(b"[" * (3 << 20))


def test_two_signatures_of_one_side_are_not_two_sides() -> None:
    """T010."""
    both_lab = sign("t", b"{}", LAB, LAB_RECORD)
    required = (LAB.key, AUDITOR_AGREEMENT.key)

    with pytest.raises(SignerRoleMismatch):
        open_envelope(both_lab, payload_type="t", required=required, known=(LAB_RECORD.key,))
    with pytest.raises(MissingRoleSignature) as missing:
        open_envelope(sign("t", b"{}", LAB, LAB), payload_type="t", required=required, known=required)
    assert missing.value.facts["party"] == "auditor"
    with pytest.raises(MissingRoleSignature):
        open_envelope(sign("t", b"{}", LAB), payload_type="t", required=required)


def test_a_key_of_another_use_is_named_as_such() -> None:
    """T011."""
    with pytest.raises(SignerRoleMismatch):
        open_envelope(
            sign("t", b"{}", LAB_RECORD), payload_type="t", required=(LAB.key,), known=(LAB.key, LAB_RECORD.key)
        )


def test_a_key_id_never_selects_a_key() -> None:
    """T012."""
    forged = sign("t", b"{}", AUDITOR)
    renamed = Envelope("t", b"{}", (Signature(LAB.key.id, forged.signatures[0].sig),))
    misnamed = Envelope("t", b"{}", (Signature(LAB.key.id, sign("t", b"{}", AUDITOR).signatures[0].sig),))

    with pytest.raises(SignatureInvalid):
        open_envelope(renamed, payload_type="t", required=(LAB.key,))
    with pytest.raises(SignatureInvalid):
        open_envelope(misnamed, payload_type="t", required=(AUDITOR.key,))


def test_a_signature_more_than_required_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        open_envelope(sign("t", b"{}", LAB, AUDITOR), payload_type="t", required=(LAB.key,))
    with pytest.raises(SignatureInvalid):
        open_envelope(sign("t", b"{}", LAB, LAB), payload_type="t", required=(LAB.key,))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_our_canonical_bytes_are_those_of_an_independent_rfc_8785(value: object) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(NonCanonicalDocument):
            canonical_bytes(value)
        return

    assert expected == canonical_bytes(value)
    assert value == parse_canonical(expected)


def test_bytes_that_were_read_are_not_those_of_a_changed_envelope() -> None:
    read = parse_envelope(sign("t", b"{}", LAB).to_bytes())
    changed = dataclasses.replace(read, payload=b"[]")

    assert parse_envelope(changed.to_bytes()).payload == b"[]"


@pytest.mark.parametrize("leaf", ["x", None, True, 7, [], {}])
def test_a_document_has_at_most_32_levels_whatever_stands_in_the_last(leaf: object) -> None:
    def nested(levels: int, *, listed: bool) -> object:
        value = leaf
        for _ in range(levels):
            value = [value] if listed else {"a": value}
        return value

    for listed in (True, False):
        assert canonical_bytes(nested(32, listed=listed))
        with pytest.raises(SizeLimitExceeded):
            canonical_bytes(nested(33, listed=listed))
