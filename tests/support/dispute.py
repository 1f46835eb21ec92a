"""Real signed documents of a small audit with a relay, one by one: what two parties may put before an adjudicator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from attestations.adjudication.case import Case, Claim, Fork
from attestations.adjudication.judging import adjudicate
from attestations.adjudication.verdict import Verdict
from attestations.checkpoint import Checkpoint, prove_fork, sign_checkpoint
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.base import format_time, validated
from attestations.documents.dispute import Denial, RelayReceipt
from attestations.documents.engagement import SessionGrant
from attestations.documents.exchange import Intent, Promise, Record, Refusal
from attestations.envelope import Envelope, sign_document
from attestations.keys import KeyUse, Signer
from attestations.merkle import Tree, leaf_hash
from attestations.trust import Trust
from tests.support import world_agreement
from tests.support.fixed_keys import secret
from tests.support.world_agreement import keys, p256_signer, party

RELAY = "relay.example"
PATIENCE = 3600  # seconds the lab has to answer at the relay
START = datetime(2026, 11, 3, 9, tzinfo=UTC)
DUE = START + timedelta(seconds=660)  # when the Record of a Promise made at START is due
ORIGIN = "lab.example/safeconduct/audit-1"


@cache
def relay_signer() -> Signer:
    """Return the relay's key."""
    return p256_signer(RELAY, KeyUse.RELAY)


@cache
def agreement(*, relay: bool = True) -> Agreement:
    """Return the agreement of the made-up audit, with a relay unless told otherwise."""
    usual = world_agreement.agreement()
    if not relay:
        return usual
    value = usual.json_value()
    value["parties"].append(party("relay", RELAY, [relay_signer()]).json_value())
    value["timing"]["relaySeconds"] = PATIENCE
    return validated(Agreement, value)


@cache
def signed_agreement(*, relay: bool = True) -> Envelope:
    """Return the agreement signed by both sides."""
    return sign_document(agreement(relay=relay), keys().lab_agreement, keys().agreement)


@dataclass(frozen=True)
class Desk:
    """Signs any document of one agreement; each method's options change the fields it would honestly have."""

    relay: bool = True
    session: str = "session-0"
    start: datetime = START
    signers: world_agreement.Keys = field(default_factory=keys)

    @property
    def digest(self) -> str:
        """The agreement's digest."""
        return signed_agreement(relay=self.relay).digest

    def grant(self, index: int = 1) -> Envelope:
        """Return a session's grant."""
        document = SessionGrant(
            agreement=self.digest,
            session=self.session,
            open=sha256(self.session.encode()),
            log_index=str(index),
            granted_at=format_time(self.start),
        )
        return sign_document(document, self.signers.lab_record)

    def intent(
        self, seq: int, *, prev: str = "", label: str = "", by: Signer | None = None, **changes: Any
    ) -> Envelope:
        """Return an Intent; `label` makes another one for the same place."""
        value = {
            "agreement": self.digest,
            "session": self.session,
            "seq": seq,
            "prev": prev or self.grant().digest,
            "sealedDigest": sha256(f"sealed {seq} {label}".encode()),
            "sealedBytes": 1024,
            "plaintextCommit": sha256(secret(f"plain {seq} {label}")),
            "handle": sha256(secret(f"handle {seq}")),
            "variant": "deployed",
            "template": "22" * 32,
            "operation": "chat",
            "sampling": {"maxOutputTokens": 16, "temperature": "0", "topP": "1", "topLogprobs": 0},
            "seedCommit": sha256(secret(f"seed {seq} {label}")),
            "workerKey": "66" * 32,
            "evidence": "77" * 32,
            "budgetMax": {"inputTokens": 64, "outputTokens": 16},
            "notAfter": "2026-12-01T00:00:00Z",
        }
        return sign_document(validated(Intent, value | changes), by or self.signers.exchange)

    def promise(self, intent: Envelope, index: int, *, by: Signer | None = None, **changes: Any) -> Envelope:
        """Return the Promise of an Intent."""
        asked = Intent.parse(intent.payload)
        value = {
            "agreement": self.digest,
            "session": asked.session,
            "seq": asked.seq,
            "intent": intent.digest,
            "logIndex": str(index),
            "promisedAt": format_time(self.start),
            "revealBy": format_time(self.start + timedelta(seconds=60)),
            "respondBy": format_time(self.start + timedelta(seconds=660)),
            "manifest": "11" * 32,
            "variant": "99" * 32,
            "evidence": "77" * 32,
            "quotaLeft": {"requests": "1", "inputTokens": "1", "outputTokens": "1"},
        }
        return sign_document(validated(Promise, value | changes), by or self.signers.lab_record)

    def record(self, promise: Envelope, index: int, *, by: Signer | None = None, **changes: Any) -> Envelope:
        """Return the Record of a Promise; it ended in an error, which is as good an end as any."""
        promised = Promise.parse(promise.payload)
        zero = {"requests": "0", "inputTokens": "0", "outputTokens": "0"}
        value = {
            "agreement": self.digest,
            "session": promised.session,
            "seq": promised.seq,
            "promise": promise.digest,
            "logIndex": str(index),
            "status": "ERROR",
            "code": "BACKEND_FAILED",
            "usage": {"inputTokens": 0, "cachedTokens": 0, "outputTokens": 0, "reasoningTokens": 0},
            "meterBefore": zero,
            "meterAfter": zero | {"requests": "1"},
            "startedAt": format_time(self.start),
            "finishedAt": format_time(self.start + timedelta(seconds=2)),
            "manifest": "11" * 32,
            "variant": "99" * 32,
            "worker": "worker-1",
            "redeliverUntil": "2026-12-01T00:00:00Z",
        }
        return sign_document(validated(Record, value | changes), by or self.signers.lab_record)

    def refusal(self, intent: Envelope, index: int, *, by: Signer | None = None) -> Envelope:
        """Return the refusal of an Intent."""
        asked = Intent.parse(intent.payload)
        document = Refusal(
            agreement=self.digest,
            session=asked.session,
            seq=asked.seq,
            intent=intent.digest,
            log_index=str(index),
            reason="SCOPE_EXCEEDED",
            refused_at=format_time(self.start),
        )
        return sign_document(document, by or self.signers.lab_record)

    def denial(self, document: Envelope, by: Signer, *, after: timedelta = timedelta(days=1)) -> Envelope:
        """Return a denial of a document."""
        stated = format_time(self.start + after)
        return sign_document(Denial(agreement=self.digest, document=document.digest, stated_at=stated), by)

    def receipt(
        self,
        put: Envelope,
        *,
        at: datetime = DUE,
        wait: int = PATIENCE,
        answer: Envelope | None = None,
        by: Signer | None = None,
    ) -> Envelope:
        """Return what the relay says about a document it put before the lab."""
        until = format_time(at + timedelta(seconds=wait))
        document = RelayReceipt(
            agreement=self.digest,
            put=put.digest,
            put_at=format_time(at),
            until=until,
            answer=None if answer is None else answer.digest,
            signed_at=until,
        )
        return sign_document(document, by or relay_signer())

    def checkpoint(self, leaves: Sequence[bytes], *, by: Signer | None = None, origin: str = ORIGIN) -> str:
        """Return a signed checkpoint over leaves."""
        tree = tree_of(leaves)
        return sign_checkpoint(Checkpoint(origin, tree.size, tree.root()), by or self.signers.lab_log).to_text()

    def case(
        self, *documents: Envelope, checkpoints: Sequence[str] = (), forks: Sequence[Fork] = (), claims: Any = ()
    ) -> Case:
        """Return a case; claims are (party, reason, document or None)."""
        made = [
            Claim(against=against, reason=reason, about=None if about is None else about.digest)
            for against, reason, about in claims
        ]
        return Case(signed_agreement(relay=self.relay), documents, checkpoints, forks, made)

    def judge(
        self, *documents: Envelope, at: datetime | None = None, trust: Trust | None = None, **rest: Any
    ) -> Verdict:
        """Return the verdict over a case."""
        return adjudicate(self.case(*documents, **rest), trust or world_agreement.trust(), at)


def tree_of(leaves: Sequence[bytes]) -> Tree:
    """Return the tree over leaves."""
    return Tree(leaf_hash(leaf) for leaf in leaves)


def fork_of(older: Sequence[bytes], newer: Sequence[bytes]) -> Fork:
    """Return the proof, for checkpoints 0 and 1 of a case, that the longer list does not begin with the shorter one."""
    old, new = tree_of(older), tree_of(newer)
    shown = prove_fork(new, Checkpoint(ORIGIN, old.size, old.root()), Checkpoint(ORIGIN, new.size, new.root()))
    assert shown is not None
    return Fork(older=0, newer=1, prefix_root=shown[0].hex(), proof=tuple(item.hex() for item in shown[1]))
