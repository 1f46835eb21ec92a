"""Checkpoints bind a log's key to one history, and two of them convict it of a second."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attestations.checkpoint import (
    Checkpoint,
    compare_checkpoints,
    cosign,
    cosignature_time,
    find_equivocation,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    witness_times,
)
from attestations.errors import (
    CheckpointInvalid,
    ConsistencyProofInvalid,
    LogEquivocation,
    LogRollback,
    MalformedEnvelope,
    SignatureInvalid,
    WitnessQuorumUnmet,
)
from attestations.keys import KeyUse
from attestations.merkle import EMPTY_ROOT, Tree, leaf_hash
from attestations.notes import Note, NoteSignature, key_hash, parse_note
from tests.support.fixed_keys import ed25519_signer

ORIGIN = "lab.example/safeconduct/1"
LAB = ed25519_signer("lab")
AUDITOR = ed25519_signer("auditor", KeyUse.COSIGN)
LEAVES = [leaf_hash(bytes([number])) for number in range(20)]
TREE = Tree(LEAVES)
OTHER = Tree([*LEAVES[:3], leaf_hash(b"another"), *LEAVES[4:]])
AT = datetime(2026, 1, 31, 12, 0, 5, 700_000, tzinfo=UTC)


def checkpoint(size: int, tree: Tree = TREE, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, tree.root(size))


NOTE = sign_checkpoint(checkpoint(7), LAB)


def test_a_checkpoint_is_three_lines_signed_by_the_logs_key() -> None:
    assert f"{ORIGIN}\n7\n{base64.b64encode(TREE.root(7)).decode()}\n" == NOTE.text
    assert checkpoint(7) == open_checkpoint(parse_note(NOTE.to_text()), origin=ORIGIN, log_key=LAB.key)
    line = NOTE.signatures[0]
    assert (ORIGIN, key_hash(ORIGIN, 1, LAB.key.raw)) == line[:2]
    Ed25519PublicKey.from_public_bytes(LAB.key.raw).verify(line.signature, NOTE.text.encode())


def test_a_checkpoint_of_another_log_or_key_is_refused() -> None:
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(NOTE, origin="lab.example/safeconduct/2", log_key=LAB.key)
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(NOTE, origin=ORIGIN, log_key=ed25519_signer("other").key)


def test_a_changed_size_or_root_breaks_the_signature() -> None:
    for text in (NOTE.text.replace("\n7\n", "\n8\n"), checkpoint(7, OTHER).body()):
        with pytest.raises(SignatureInvalid):
            open_checkpoint(Note(text, NOTE.signatures), origin=ORIGIN, log_key=LAB.key)


def test_two_signatures_by_the_logs_key_are_refused() -> None:
    with pytest.raises(SignatureInvalid):
        open_checkpoint(Note(NOTE.text, NOTE.signatures * 2), origin=ORIGIN, log_key=LAB.key)


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        "a\n01\n" + "A" * 43 + "=\n",
        "a\n-1\n" + "A" * 43 + "=\n",
        "a\n+1\n" + "A" * 43 + "=\n",
        "a\n\u0661\n" + "A" * 43 + "=\n",
        "a\n1\n" + "A" * 42 + "B=\n",
        "a\n1\nAAAA\n",
        "a\n1\n!!\n",
        "\n1\n" + "A" * 43 + "=\n",
        "a\n0\n" + "A" * 43 + "=\n",
        "a\n1\n" + "A" * 43 + "=\nextension\n",
    ],
)
def test_a_text_that_is_not_exactly_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedEnvelope):
        parse_checkpoint(Note(text, NOTE.signatures))


def test_the_empty_log_has_a_checkpoint() -> None:
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert empty == parse_checkpoint(sign_checkpoint(empty, LAB))


def test_a_name_that_no_note_can_carry_is_not_signed() -> None:
    with pytest.raises(CheckpointInvalid):
        sign_checkpoint(checkpoint(7, origin="lab+example"), LAB)
    with pytest.raises(CheckpointInvalid):
        cosign(NOTE, name="a b", signer=AUDITOR, at=AT)
    with pytest.raises(ValueError, match="zone"):
        cosign(NOTE, name="auditor/cosign", signer=AUDITOR, at=AT.replace(tzinfo=None))


def test_a_cosignature_says_when_to_the_second() -> None:
    note = parse_note(cosign(NOTE, name="auditor/cosign", signer=AUDITOR, at=AT).to_text())
    assert AT.replace(microsecond=0) == cosignature_time(note, name="auditor/cosign", key=AUDITOR.key)
    assert checkpoint(7) == open_checkpoint(note, origin=ORIGIN, log_key=LAB.key)
    stamp, signature = note.signatures[1].signature[:8], note.signatures[1].signature[8:]
    assert int(AT.timestamp()) == int.from_bytes(stamp, "big")
    signed = f"cosignature/v1\ntime {int(AT.timestamp())}\n{NOTE.text}".encode()
    Ed25519PublicKey.from_public_bytes(AUDITOR.key.raw).verify(signature, signed)


def test_a_later_cosignature_replaces_the_earlier() -> None:
    once = cosign(NOTE, name="auditor/cosign", signer=AUDITOR, at=AT)
    later = datetime(2026, 2, 1, tzinfo=UTC)
    twice = cosign(once, name="auditor/cosign", signer=AUDITOR, at=later)
    assert len(twice.signatures) == 2
    assert later == cosignature_time(twice, name="auditor/cosign", key=AUDITOR.key)


def test_a_key_that_did_not_cosign_has_no_time() -> None:
    assert cosignature_time(NOTE, name="auditor/cosign", key=AUDITOR.key) is None
    note = cosign(NOTE, name="auditor/cosign", signer=AUDITOR, at=AT)
    assert cosignature_time(note, name="someone/cosign", key=AUDITOR.key) is None


@pytest.mark.parametrize("damage", ["time", "signature", "short", "text", "late"])
def test_a_cosignature_that_does_not_hold_is_refused(damage: str) -> None:
    note = cosign(NOTE, name="auditor/cosign", signer=AUDITOR, at=AT)
    line = note.signatures[1]
    changed = {
        "time": (1).to_bytes(8, "big") + line.signature[8:],
        "signature": line.signature[:8] + bytes(64),
        "short": b"x",
        "text": line.signature,
        "late": b"\xff" * 8 + line.signature[8:],
    }[damage]
    text = checkpoint(8).body() if damage == "text" else note.text
    with pytest.raises(SignatureInvalid):
        cosignature_time(
            Note(text, (NoteSignature(line.name, line.key_hash, changed),)), name="auditor/cosign", key=AUDITOR.key
        )


def test_a_quorum_counts_keys_not_names() -> None:
    first, second = (ed25519_signer(name, KeyUse.WITNESS) for name in ("w1", "w2"))
    twin = ed25519_signer("w3", KeyUse.WITNESS, label="w1 witness")
    note = NOTE
    for signer in (first, twin):
        note = cosign(note, name=signer.key.party, signer=signer, at=AT)
    agreed = [(signer.key.party, signer.key) for signer in (first, second, twin)]
    assert len(witness_times(note, agreed, 1)) == 1
    with pytest.raises(WitnessQuorumUnmet):
        witness_times(note, agreed, 2)
    note = cosign(note, name="w2", signer=second, at=AT)
    assert (AT.replace(microsecond=0),) * 2 == witness_times(note, agreed, 2)


def test_two_roots_of_one_size_convict_the_log() -> None:
    for order in (1, -1):
        pair = [checkpoint(7), checkpoint(7, OTHER)][::order]
        with pytest.raises(LogEquivocation):
            find_equivocation(pair[0], pair[1])


def test_a_split_view_at_two_sizes_is_found_from_the_leaves() -> None:
    with pytest.raises(LogEquivocation):
        find_equivocation(checkpoint(7, OTHER), checkpoint(12), leaf_hashes=LEAVES)
    with pytest.raises(LogEquivocation):
        find_equivocation(checkpoint(12), checkpoint(7, OTHER), leaf_hashes=LEAVES[:12])


def test_a_split_view_at_two_sizes_has_no_proof() -> None:
    for proof in (None, (), TREE.consistency(7, 12), OTHER.consistency(7, 12)):
        with pytest.raises(ConsistencyProofInvalid):
            find_equivocation(checkpoint(7, OTHER), checkpoint(12), proof=proof)


def test_one_history_is_never_accused() -> None:
    for old in range(21):
        for new in range(old, 21):
            find_equivocation(checkpoint(new), checkpoint(old), proof=TREE.consistency(old, new))
            find_equivocation(checkpoint(old), checkpoint(new), leaf_hashes=LEAVES)


def test_leaves_that_are_not_the_logs_accuse_nobody() -> None:
    for leaves in (LEAVES[:11], [*LEAVES[:11], bytes(32)], []):
        with pytest.raises(CheckpointInvalid):
            find_equivocation(checkpoint(7, OTHER), checkpoint(12), leaf_hashes=leaves)


def test_checkpoints_of_two_logs_are_not_compared() -> None:
    other = checkpoint(7, OTHER, "other.example")
    with pytest.raises(CheckpointInvalid):
        find_equivocation(checkpoint(7), other)
    with pytest.raises(CheckpointInvalid):
        compare_checkpoints(checkpoint(7), other, ())


def test_a_shorter_log_is_a_rollback() -> None:
    with pytest.raises(LogRollback):
        compare_checkpoints(checkpoint(12), checkpoint(7), TREE.consistency(7, 12))
    compare_checkpoints(checkpoint(7), checkpoint(12), TREE.consistency(7, 12))
    compare_checkpoints(checkpoint(0), checkpoint(12), ())


def test_a_removed_leaf_is_found() -> None:
    removed = Tree([*LEAVES[:3], *LEAVES[4:]])
    with pytest.raises(ConsistencyProofInvalid):
        compare_checkpoints(checkpoint(7), checkpoint(12, removed), removed.consistency(7, 12))
