"""What the lab says runs behind its gateway, checked before a prompt is sealed to it."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.digests import sha256
from attestations.documents.base import decode
from attestations.documents.engagement import RuntimeStatement
from attestations.envelope import Envelope
from attestations.errors import AttestationNonceMismatch, MeasurementUnknown, RuntimeDowngrade
from attestations.keys import EnrolledKey, KeyUse, enrol
from auditor_client.engagement import Engagement


@dataclass(frozen=True)
class Runtime:
    """A checked runtime statement: prompts are sealed to `hpke_public`, answers signed by `worker_key`."""

    digest: str
    statement: RuntimeStatement
    hpke_public: bytes
    worker_key: EnrolledKey

    @property
    def worker_key_digest(self) -> str:
        """How Intents name the key they are sealed to."""
        return sha256(self.hpke_public)


def check_runtime(envelope: Envelope, engagement: Engagement) -> Runtime:
    """Return what the statement says, once it is signed, fresh and no weaker than agreed.

    Raises:
        RuntimeDowngrade: the level is below the agreed one.
        AttestationNonceMismatch: the nonce is not the one that follows from agreement and boot.
        MeasurementUnknown: it claims a level whose evidence nobody here can check.
        SignatureInvalid, AgreementDigestMismatch, KeyUnacceptable: it is not the lab's, or unusable.
    """
    statement = engagement.opened(envelope, RuntimeStatement)
    engagement.belongs(statement.agreement)
    agreed = engagement.agreement.runtime.level
    if statement.level < agreed:
        raise RuntimeDowngrade("the runtime is below the agreed level", level=statement.level, agreed=agreed)
    if statement.level != "RA0":
        raise MeasurementUnknown("no verifier for this runtime evidence", format=statement.report_format or "none")
    if statement.nonce != sha256(bytes.fromhex(engagement.digest) + statement.boot.encode()):
        raise AttestationNonceMismatch("the runtime statement answers another challenge", boot=statement.boot)
    lab = engagement.agreement.party("lab").id
    hpke_public = decode(statement.hpke_public)
    enrol(lab, KeyUse.RECEIVE, hpke_public)
    worker_key = enrol(lab, KeyUse.WORKER, decode(statement.worker_public))
    return Runtime(envelope.digest, statement, hpke_public, worker_key)
