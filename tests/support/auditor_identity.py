"""An auditor's keys, TLS certificate and identity file, made anew for each test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from attestations.commitments import SuiteKey
from attestations.documents.base import encode
from attestations.identity import Identity
from attestations.keys import Ed25519Signer, KeyUse, P256Signer
from lab_server.home import new_certificate, spki_pin

USES = (KeyUse.AGREEMENT, KeyUse.EXCHANGE, KeyUse.COSIGN, KeyUse.PUBLICATION)
SUITE = SuiteKey(bytes(range(32)), "suite-1")


@dataclass
class Keys:
    """One auditor's signers, TLS key and identity."""

    party: str
    signers: dict[KeyUse, P256Signer | Ed25519Signer]
    tls_key: bytes
    identity: Identity

    @property
    def pin(self) -> str:
        return spki_pin(self.identity.tls or "")


def new_keys(party: str = "auditor.example") -> Keys:
    signers: dict[KeyUse, P256Signer | Ed25519Signer] = {
        use: (Ed25519Signer if use is KeyUse.COSIGN else P256Signer).generate(party=party, use=use) for use in USES
    }
    private, pem = new_certificate(party, now=datetime.now(UTC))
    identity = Identity.model_validate(
        {
            "role": "auditor",
            "id": party,
            "keys": tuple({"use": use.value, "public": encode(item.key.public)} for use, item in signers.items()),
            "tls": pem.decode(),
        }
    )
    return Keys(party, signers, private, identity)


def write_identity(keys: Keys, folder: Path) -> Path:
    path = folder / f"{keys.party}.json"
    path.write_bytes(keys.identity.to_bytes())
    return path
