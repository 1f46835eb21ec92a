"""How long escrow takes: dealing one class key, checking one holder's shares, opening from a quorum."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from attestations.commitments import ClassKey
from attestations.documents.agreement import Agreement
from attestations.documents.escrow import EscrowManifest, ShareRelease
from attestations.envelope import Envelope, sign_document
from attestations.escrow.combining import gather, open_release, recover
from attestations.escrow.dealing import check_manifest, put_in_escrow
from attestations.escrow.holding import LoggedManifest, hand_over, open_shares, prove_held
from attestations.keys import KeyUse
from tests.support import world_escrow
from tests.support.fixed_keys import suite_key
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import REGULATOR, receive_key

_TIMES = 20


class Timed(NamedTuple):
    """Milliseconds for one class under the usual structure: two branches, six shares, four holders."""

    deal: float
    public_check: float
    holder_check: float
    prove: float
    open: float


def measure() -> Timed:
    """Measure each step."""
    agreement, key = world_escrow.agreement(), suite_key().class_key("C2")
    made = LoggedManifest("0b" * 32, _dealt(agreement, key))
    envelopes = [_released(agreement, made, name) for name in (REGULATOR, "t1")]

    def opened() -> None:
        releases = [open_release(envelope, agreement, made) for envelope in envelopes]
        found = gather(releases, made, own=REGULATOR, key=receive_key(REGULATOR))
        assert recover(found, made, suite_id=key.suite_id).key.secret == key.secret

    return Timed(
        deal=_ms(lambda: _dealt(agreement, key)),
        public_check=_ms(lambda: check_manifest(agreement, made.document)),
        holder_check=_ms(lambda: open_shares(made.document, receive_key("t1"), holder="t1")),
        prove=_ms(lambda: prove_held([made], receive_key("t1"), holder="t1")),
        open=_ms(opened),
    )


def _dealt(agreement: Agreement, key: ClassKey) -> EscrowManifest:
    return put_in_escrow(agreement, key, digest="0a" * 32, made_at="2026-11-04T09:00:00Z", randomness=os.urandom)


def _released(agreement: Agreement, made: LoggedManifest, name: str) -> Envelope:
    to = [world_escrow.holder(REGULATOR).key(KeyUse.RECEIVE)]
    shares = open_shares(made.document, receive_key(name), holder=name)
    document = ShareRelease(
        agreement="0a" * 32,
        manifest=made.digest,
        content_class="C2",
        holder=name,
        recipient="REGULATOR",
        ground="overdue",
        rule="c2-regulator",
        evidence="0c" * 32,
        tree_size="1",
        root="0d" * 32,
        shares=tuple(hand_over(shares, manifest=made.digest, holder=name, to=to)),
        released_at="2026-11-12T09:00:00Z",
    )
    return sign_document(document, p256_signer(name, KeyUse.AGREEMENT))


def _ms(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(_TIMES):
        action()
    return (time.perf_counter() - started) / _TIMES * 1000
