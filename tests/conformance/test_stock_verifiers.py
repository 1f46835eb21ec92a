"""Stock verifiers accept our attestation and refuse a changed one: securesystemslib, and npm's @sigstore/verify."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
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
from attestations.keys import KeyUse, P256Signer
from attestations.statement import PAYLOAD_TYPE, parse_statement

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


def npm_packages(repository: Path) -> str:
    for folder in (os.environ.get("SAFECONDUCT_SIGSTORE_VERIFY"), repository / "build" / "node"):
        if folder is not None and (Path(folder) / "node_modules" / "@sigstore" / "verify").exists():
            return str(folder)
    pytest.skip(
        "@sigstore/verify is not installed: npm i --force @sigstore/verify@4.1.3 @sigstore/bundle@5.0.1 in build/node"
    )


@pytest.mark.parametrize(("bundle", "expected"), [(BUNDLE, 0), (tampered(), 3)], ids=["ours", "changed"])
def test_sigstore_verify_from_npm_judges_alike(bundle: bytes, expected: int, tmp_path: Path, repository: Path) -> None:
    packages = npm_packages(repository)
    (tmp_path / "bundle.json").write_bytes(bundle)
    (tmp_path / "key.pem").write_bytes(pem())
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = Path(__file__).with_name("verify_bundle.mjs")

    ran = subprocess.run(
        [node, str(script), packages, str(tmp_path / "bundle.json"), str(tmp_path / "key.pem")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert expected == ran.returncode, ran.stderr
