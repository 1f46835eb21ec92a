"""Public signature vectors: Wycheproof for both curves, and CCTV's Ed25519 corner cases at enrolment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from attestations.errors import KeyUnacceptable
from attestations.keys import KeyUse, enrol

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
pytestmark = pytest.mark.skipif(not VECTORS.exists(), reason="needs ../shared/vectors beside the checkout")
_ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")


def wycheproof(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / "wycheproof" / name).read_text())["testGroups"]
    return found


def test_wycheproof_p256_signatures_are_accepted_exactly_when_valid() -> None:
    checked = 0
    for group in wycheproof("ecdsa_secp256r1_sha256_test.json"):
        key = enrol("lab", KeyUse.RECORD, bytes.fromhex(group["publicKeyDer"]))
        for case in group["tests"]:
            accepted = key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert (case["result"] == "valid") == accepted, case["tcId"]
            checked += 1
    assert checked > 400


def test_wycheproof_ed25519_signatures_are_accepted_exactly_when_valid() -> None:
    checked = 0
    for group in wycheproof("ed25519_test.json"):
        key = enrol("lab", KeyUse.LOG, bytes.fromhex(group["publicKeyDer"]))
        for case in group["tests"]:
            accepted = key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert (case["result"] == "valid") == accepted, case["tcId"]
            checked += 1
    assert checked > 100


def test_no_key_of_small_order_is_enrolled() -> None:
    cases = json.loads((VECTORS / "ed25519" / "ed25519vectors.json").read_text())
    refused = 0
    for case in cases:
        flags = set(case["flags"] or ())
        if "low_order_A" not in flags and "non_canonical_A" not in flags:
            continue
        with pytest.raises(KeyUnacceptable):
            enrol("lab", KeyUse.LOG, _ED25519_PREFIX + bytes.fromhex(case["key"]))
        refused += 1
    assert refused > 100


def test_ordinary_keys_are_enrolled() -> None:
    cases = json.loads((VECTORS / "ed25519" / "ed25519vectors.json").read_text())
    keys = {case["key"] for case in cases if not {"low_order_A", "non_canonical_A"} & set(case["flags"] or ())}
    assert keys
    for key in keys:
        enrol("lab", KeyUse.LOG, _ED25519_PREFIX + bytes.fromhex(key))


def test_a_key_in_another_encoding_is_refused() -> None:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    for form in (der + b"\0", pem, der[:-1], b""):
        with pytest.raises(KeyUnacceptable):
            enrol("lab", KeyUse.LOG, form)
    with pytest.raises(KeyUnacceptable):
        enrol("lab", KeyUse.RECORD, der)  # a log key cannot sign documents
