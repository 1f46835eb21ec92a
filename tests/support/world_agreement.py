"""The parties of the made-up audit: fixed keys, the agreement both signed, and the trust file of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from attestations.documents.agreement import Agreement, Party, PartyKey, Witness, Witnesses
from attestations.documents.base import encode, validated
from attestations.keys import EnrolledKey, KeyUse, P256Signer, Signer
from attestations.policy.defaults import standard_policy
from attestations.policy.model import Policy
from attestations.trust import RevokedKey, Trust, TrustedParty
from tests.support.fixed_keys import ed25519_signer, secret

LAB, AUDITOR = "lab.example", "auditor.example"
AGREED = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def p256_signer(party: str, use: KeyUse, *, label: str | None = None) -> P256Signer:
    """Return the signer of a party for a use; parties with one label share one private key."""
    number = int.from_bytes(secret(label or f"{party} {use.value}"), "big") % (_P256_ORDER - 1) + 1
    return P256Signer(ec.derive_private_key(number, ec.SECP256R1()), party=party, use=use)


@dataclass(frozen=True)
class Keys:
    """Every signer of the audit; `outsider` is nobody's."""

    lab_agreement: Signer = field(default_factory=lambda: p256_signer(LAB, KeyUse.AGREEMENT))
    lab_record: Signer = field(default_factory=lambda: p256_signer(LAB, KeyUse.RECORD))
    lab_log: Signer = field(default_factory=lambda: ed25519_signer(LAB, KeyUse.LOG))
    worker: Signer = field(default_factory=lambda: p256_signer(LAB, KeyUse.WORKER))
    agreement: Signer = field(default_factory=lambda: p256_signer(AUDITOR, KeyUse.AGREEMENT))
    exchange: Signer = field(default_factory=lambda: p256_signer(AUDITOR, KeyUse.EXCHANGE))
    cosign: Signer = field(default_factory=lambda: ed25519_signer(AUDITOR, KeyUse.COSIGN))
    publication: Signer = field(default_factory=lambda: p256_signer(AUDITOR, KeyUse.PUBLICATION))
    outsider: Signer = field(default_factory=lambda: p256_signer("nobody.example", KeyUse.RECORD))

    def lab(self) -> Sequence[Signer]:
        """The keys of the lab that the agreement lists."""
        return self.lab_agreement, self.lab_record, self.lab_log

    def auditor(self) -> Sequence[Signer]:
        """The keys of the auditor that the agreement lists."""
        return self.agreement, self.exchange, self.cosign, self.publication


@cache
def keys() -> Keys:
    """Return the usual keys."""
    return Keys()


@cache
def witness_signers() -> tuple[Signer, ...]:
    """Return three witnesses."""
    return tuple(ed25519_signer(f"witness-{number}.example", KeyUse.WITNESS) for number in range(3))


def party_key(key: EnrolledKey) -> PartyKey:
    """Return a key as agreements and trust files list it."""
    return PartyKey(use=key.use.value, public=encode(key.public))  # type: ignore[arg-type]


def party(role: str, name: str, signers: Sequence[Signer]) -> Party:
    """Return a party with its signers' keys."""
    return Party(role=role, id=name, keys=tuple(party_key(signer.key) for signer in signers))  # type: ignore[arg-type]


def witnesses(quorum: int, *named: tuple[str, Signer]) -> Witnesses:
    """Return the witnesses an agreement lists."""
    return Witnesses(
        quorum=quorum, keys=tuple(Witness(name=name, public=encode(signer.key.public)) for name, signer in named)
    )


def agreement(*, policy: Policy | None = None, **changes: Any) -> Agreement:
    """Return the agreement; `changes` replace its fields by their JSON names."""
    value: dict[str, Any] = {
        "engagement": "audit-1",
        "parties": [
            party("lab", LAB, keys().lab()).json_value(),
            party("auditor", AUDITOR, keys().auditor()).json_value(),
        ],
        "transport": {"gateway": "33" * 32, "auditor": "44" * 32},
        "variants": [{"id": "deployed", "kind": "deployed", "manifest": "11" * 32, "template": "22" * 32}],
        "scope": {
            "variants": ["deployed"],
            "operations": ["chat", "score"],
            "maxTopLogprobs": 0,
            "maxOutputTokens": 64,
            "maxSessions": 8,
        },
        "budget": {
            "requests": "1000000",
            "inputTokens": "100000000",
            "outputTokens": "100000000",
            "crashes": 2,
            "unrevealed": 4,
        },
        "access": {"notBefore": "2026-11-02T12:00:00Z", "notAfter": "2026-12-24T00:00:00Z", "businessDays": "0"},
        "timing": {
            "revealSeconds": 60,
            "respondSeconds": 600,
            "cosignSeconds": 60,
            "cosignLeaves": 64,
            "redeliverSeconds": 86400,
            "skewSeconds": 5,
        },
        "origin": "lab.example/safeconduct/audit-1",
        "witnesses": {"quorum": 0, "keys": []},
        "runtime": {"level": "RA0"},
        "policy": (policy or standard_policy()).json_value(),
        "clauses": {"noGag": True, "safeHarbor": True} | changes.pop("clauses", {}),
        "createdAt": "2026-11-02T09:00:00Z",
    }
    return validated(Agreement, value | changes)


def trust(*, revoked: Sequence[tuple[EnrolledKey, str]] = (), **changes: Any) -> Trust:
    """Return what a reader trusts: both parties with every key."""
    usual = Trust(
        parties=(
            TrustedParty(role="lab", id=LAB, keys=party("lab", LAB, keys().lab()).keys),
            TrustedParty(role="auditor", id=AUDITOR, keys=party("auditor", AUDITOR, keys().auditor()).keys),
        ),
        revoked=tuple(RevokedKey(public=encode(key.public), at=at) for key, at in revoked),
        witnesses=tuple(
            Witness(name=signer.key.party, public=encode(signer.key.public)) for signer in witness_signers()
        ),
    )
    return usual.model_copy(update=changes)


def swapped(**changes: Signer) -> Keys:
    """Return the usual keys with some replaced."""
    return replace(keys(), **changes)
