"""Stock verifiers accept our attestation and refuse a changed one: securesystemslib, and npm's @sigstore/verify."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from securesystemslib.dsse import Envelope as StockEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from attestations.bundle import build_bundle, parse_bundle
from attestations.canonical import canonical_bytes
from attestations.envelope import open_envelope, sign
from attestations.errors import SafeconductError
from attestations.keyless import Instance, Publisher
from attestations.keys import KeyUse, P256Signer
from attestations.statement import PAYLOAD_TYPE, parse_statement
from tests.support.keyless_files import WHO, changed, signed
from tests.support.node import run_verifier
from tests.support.private_sigstore import ISSUER, private_sigstore

SIGNER = P256Signer(ec.derive_private_key(7319, ec.SECP256R1()), party="auditor", use=KeyUse.PUBLICATION)
STATEMENT = canonical_bytes(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model/m", "digest": {"sha256": "ab" * 32}}],
        "predicateType": "https://example.org/p",
        "predicate": {"n": "1"},
    }
)
BUNDLE = build_bundle(sign(PAYLOAD_TYPE, STATEMENT, SIGNER), SIGNER.key)


def pem() -> bytes:
    return load_der_public_key(SIGNER.key.public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def tampered() -> bytes:
    bundle: dict[str, Any] = json.loads(BUNDLE)
    envelope = bundle["dsseEnvelope"]
    envelope["payload"] = base64.b64encode(STATEMENT.replace(b'"n":"1"', b'"n":"2"')).decode()
    return canonical_bytes(bundle)


def test_we_read_back_what_we_bundle() -> None:
    payload = open_envelope(parse_bundle(BUNDLE), payload_type=PAYLOAD_TYPE, required=(SIGNER.key,))

    assert payload == STATEMENT
    assert parse_statement(payload).predicate_type == "https://example.org/p"


def stock_key() -> SSlibKey:
    return SSlibKey(SIGNER.key.id, "ecdsa", "ecdsa-sha2-nistp256", {"public": pem().decode()})


def test_securesystemslib_accepts_the_attestation() -> None:
    envelope = StockEnvelope.from_dict(json.loads(BUNDLE)["dsseEnvelope"])

    assert [SIGNER.key.id] == list(envelope.verify([stock_key()], 1))


def test_securesystemslib_refuses_a_changed_attestation() -> None:
    envelope = StockEnvelope.from_dict(json.loads(tampered())["dsseEnvelope"])

    with pytest.raises(VerificationError):
        envelope.verify([stock_key()], 1)


@pytest.mark.parametrize(("bundle", "expected"), [(BUNDLE, 0), (tampered(), 3)], ids=["ours", "changed"])
def test_sigstore_verify_from_npm_judges_alike(bundle: bytes, expected: int, tmp_path: Path, repository: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(bundle)
    (tmp_path / "key.pem").write_bytes(pem())

    ran = run_verifier("verify_bundle.mjs", repository, tmp_path / "bundle.json", tmp_path / "key.pem")

    assert expected == ran.returncode, ran.stderr


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identity-based bundle over the statement, the trust configuration it is under, and changed copies."""
    folder = tmp_path_factory.mktemp("keyless")
    with private_sigstore() as sigstore:
        signed(sigstore, b'{"an earlier": "entry"}')
        bundle = signed(sigstore, STATEMENT).bundle
        (folder / "config.json").write_bytes(sigstore.config())
    with private_sigstore() as other:
        (folder / "other.json").write_bytes(other.config())
    (folder / "bundle.json").write_bytes(bundle)
    (folder / "changed.json").write_bytes(
        changed(bundle, lambda value: value["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode()))
    )
    return folder


@pytest.mark.parametrize(
    ("bundle", "config", "who", "expected"),
    [
        ("bundle", "config", WHO, 0),
        ("changed", "config", WHO, 3),
        ("bundle", "other", WHO, 3),
        ("bundle", "config", "other@auditor.example", 3),
    ],
    ids=["ours", "changed", "another instance", "another identity"],
)
def test_sigstore_verify_from_npm_judges_identities_alike(
    keyless: Path, bundle: str, config: str, who: str, expected: int, repository: Path
) -> None:
    """At its default thresholds: one log entry, one SCT, one timestamp."""
    files = keyless / f"{bundle}.json", keyless / f"{config}.json"

    ran = run_verifier("verify_keyless.mjs", repository, *files, who, ISSUER)

    assert expected == ran.returncode, ran.stderr
    assert (expected == 0) == _holds(*files, who)


def _holds(bundle: Path, config: Path, who: str) -> bool:
    try:
        payload = Instance(config.read_bytes()).verify(bundle.read_bytes(), Publisher(who, ISSUER))
    except SafeconductError:
        return False
    return payload == STATEMENT
