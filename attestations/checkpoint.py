"""Checkpoints of a log: what the lab signs, what auditor and witnesses cosign, and what two of them prove.

Formats: https://c2sp.org/tlog-checkpoint and https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from attestations.errors import (
    CheckpointInvalid,
    ConsistencyProofInvalid,
    LogEquivocation,
    LogRollback,
    MalformedEnvelope,
    SignatureInvalid,
    WitnessQuorumUnmet,
)
from attestations.keys import EnrolledKey, Signer
from attestations.merkle import EMPTY_ROOT, HASH_BYTES, Tree, merkle_root, verify_consistency
from attestations.notes import COSIGNATURE, ED25519, Note, NoteSignature, is_key_name, key_hash

_SIZE = re.compile(r"^(0|[1-9][0-9]{0,18})$")
_TIME_BYTES = 8
_MAX_TIME = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True)
class Checkpoint:
    """The state of a log: its name, its number of leaves and the root over them."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(note: Note) -> Checkpoint:
    """Read a note's text as a checkpoint without believing it; extension lines are not allowed.

    Raises:
        MalformedEnvelope: it is not one.
    """
    lines = note.text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.match(lines[1]):  # noqa: PLR2004 - three lines
        raise MalformedEnvelope("not a checkpoint")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        raise MalformedEnvelope("a checkpoint's root is not base64") from None
    checkpoint = Checkpoint(lines[0], int(lines[1]), root)
    if len(root) != HASH_BYTES or checkpoint.body() != note.text:
        raise MalformedEnvelope("a checkpoint that is not in its one form")
    if checkpoint.size == 0 and root != EMPTY_ROOT:
        raise MalformedEnvelope("an empty log has one root")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> Note:
    """Return the checkpoint signed by the log's own key, under the log's name.

    Raises:
        CheckpointInvalid: no key may have the log's name, so nobody could read the note.
    """
    _check_name(checkpoint.origin)
    body = checkpoint.body()
    hint = key_hash(checkpoint.origin, ED25519, signer.key.raw)
    return Note(body, (NoteSignature(checkpoint.origin, hint, signer.sign(body.encode())),))


def cosign(note: Note, *, name: str, signer: Signer, at: datetime) -> Note:
    """Return the note with a cosignature that also says when it was made, to the second.

    Raises:
        CheckpointInvalid: no key may have this name.
    """
    _check_name(name)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    seconds = int(at.timestamp())
    signature = seconds.to_bytes(_TIME_BYTES, "big") + signer.sign(_cosigned(note.text, seconds))
    return note.with_signature(NoteSignature(name, key_hash(name, COSIGNATURE, signer.key.raw), signature))


def open_checkpoint(note: Note, *, origin: str, log_key: EnrolledKey) -> Checkpoint:
    """Return the checkpoint once the log's own signature holds.

    Raises:
        CheckpointInvalid: it is of another log, or not signed by it.
        SignatureInvalid: the log's signature does not hold.
    """
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != origin:
        raise CheckpointInvalid("a checkpoint of another log")
    hint = key_hash(origin, ED25519, log_key.raw)
    mine = [item for item in note.signatures if (item.name, item.key_hash) == (origin, hint)]
    if not mine:
        raise CheckpointInvalid("a checkpoint that its log has not signed")
    if len(mine) != 1 or not log_key.verify(mine[0].signature, note.text.encode()):
        raise SignatureInvalid("the log's signature under a checkpoint does not hold")
    return checkpoint


def cosignature_time(note: Note, *, name: str, key: EnrolledKey) -> datetime | None:
    """Return when `name` cosigned the note, or None if it has not.

    Raises:
        SignatureInvalid: there is a cosignature that does not hold.
    """
    signature = cosignature(note, name=name, key=key)
    return None if signature is None else datetime.fromtimestamp(int.from_bytes(signature[:_TIME_BYTES], "big"), UTC)


def cosignature(note: Note, *, name: str, key: EnrolledKey) -> bytes | None:
    """Return the verified cosignature of `name`, `u64(seconds) || signature`, or None if there is none.

    Raises:
        SignatureInvalid: there is a cosignature that does not hold.
    """
    hint = key_hash(name, COSIGNATURE, key.raw)
    mine = [item for item in note.signatures if (item.name, item.key_hash) == (name, hint)]
    if not mine:
        return None
    signature = mine[0].signature
    seconds = int.from_bytes(signature[:_TIME_BYTES], "big")
    if len(mine) != 1 or seconds > _MAX_TIME or not key.verify(signature[_TIME_BYTES:], _cosigned(note.text, seconds)):
        raise SignatureInvalid("a cosignature under a checkpoint does not hold", name=name)
    return signature


def witness_times(note: Note, witnesses: Sequence[tuple[str, EnrolledKey]], quorum: int) -> tuple[datetime, ...]:
    """Return when each witness cosigned; one key counts once, whatever names it uses.

    Raises:
        WitnessQuorumUnmet: fewer than `quorum` distinct keys.
        SignatureInvalid: a cosignature does not hold.
    """
    times: dict[bytes, datetime] = {}
    for name, key in witnesses:
        moment = cosignature_time(note, name=name, key=key)
        if moment is not None:
            times.setdefault(key.public, moment)
    if len(times) < quorum:
        raise WitnessQuorumUnmet(
            f"{len(times)} of {quorum} witnesses cosigned", found=str(len(times)), quorum=str(quorum)
        )
    return tuple(times.values())


def compare_checkpoints(first: Checkpoint, second: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that two checkpoints, both already verified, are of one history.

    Args:
        first: the one seen earlier.
        second: the one seen later.
        proof: the consistency proof between them, smaller to larger; empty for equal sizes or an empty first.

    Raises:
        LogEquivocation: two roots of one size: proof that the log's key signed two histories.
        LogRollback: the later one is smaller.
        ConsistencyProofInvalid: the proof does not show that one extends the other.
    """
    if first.origin != second.origin:
        raise CheckpointInvalid("checkpoints of two different logs")
    if first.size == second.size and first.root != second.root:
        raise LogEquivocation("the log signed two different roots of one size", size=str(first.size))
    if second.size < first.size:
        raise LogRollback("the log is smaller than before", before=str(first.size), now=str(second.size))
    if first.size:
        verify_consistency(
            old_size=first.size, old_root=first.root, new_size=second.size, new_root=second.root, proof=proof
        )


def find_equivocation(
    a: Checkpoint,
    b: Checkpoint,
    *,
    proof: Sequence[bytes] | None = None,
    leaf_hashes: Sequence[bytes] | None = None,
) -> None:
    """Compare two verified checkpoints of one log, in any order; return when both can be true.

    At one size the two roots alone convict the log's key. At two sizes the evidence is the consistency
    `proof` that the log gave, or the hashes of the larger tree's leaves as someone mirrored them.

    Raises:
        LogEquivocation: no log can have had both.
        ConsistencyProofInvalid: nothing shows that the larger extends the smaller; the log still owes a proof.
        CheckpointInvalid: they are of two logs, or the leaves are not those of the larger one.
    """
    if a.origin != b.origin:
        raise CheckpointInvalid("checkpoints of two different logs")
    old, new = sorted((a, b), key=lambda item: item.size)
    facts = {"old_size": str(old.size), "new_size": str(new.size)}
    if leaf_hashes is not None:
        if len(leaf_hashes) < new.size or merkle_root(leaf_hashes[: new.size]) != new.root:
            raise CheckpointInvalid("these leaves are not those of the larger checkpoint", **facts)
        if merkle_root(leaf_hashes[: old.size]) != old.root:
            raise LogEquivocation("the log's larger tree does not begin with its smaller one", **facts)
        return
    if proof is None and old.size not in {0, new.size}:
        raise ConsistencyProofInvalid("two sizes of a log and nothing that joins them", **facts)
    compare_checkpoints(old, new, proof or ())


def prove_fork(tree: Tree, older: Checkpoint, newer: Checkpoint) -> tuple[bytes, tuple[bytes, ...]] | None:
    """Return what shows everyone that the larger of two verified checkpoints does not begin with the smaller one.

    Args:
        tree: the larger tree, as someone mirrored it.
        older: the smaller checkpoint.
        newer: the larger one.

    Returns:
        The root that the larger tree had at the smaller size, and its consistency proof; None if all is well.

    Raises:
        CheckpointInvalid: they are of two logs or sizes that do not order them, or the tree is not the larger one.
    """
    _check_order(older, newer)
    if tree.size < newer.size or tree.root(newer.size) != newer.root:
        raise CheckpointInvalid("this tree is not the one of the larger checkpoint", size=str(newer.size))
    prefix = tree.root(older.size)
    return None if prefix == older.root else (prefix, tree.consistency(older.size, newer.size))


def is_fork(older: Checkpoint, newer: Checkpoint, *, prefix_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether two verified checkpoints of one log contradict each other, as `prove_fork` showed.

    A tree has one root at each of its sizes. A consistency proof from another root than the one that was signed
    therefore convicts: a proof that merely fails does not, anyone can write one.

    Raises:
        ConsistencyProofInvalid: the larger tree did not have `prefix_root` at the smaller size, as far as this shows.
        CheckpointInvalid: they are of two logs, or of sizes that do not order them.
    """
    _check_order(older, newer)
    verify_consistency(old_size=older.size, old_root=prefix_root, new_size=newer.size, new_root=newer.root, proof=proof)
    return prefix_root != older.root


def _check_order(older: Checkpoint, newer: Checkpoint) -> None:
    if older.origin != newer.origin or not 0 < older.size < newer.size:
        raise CheckpointInvalid("not a smaller and a larger checkpoint of one log")


def _check_name(name: str) -> None:
    if not is_key_name(name):
        raise CheckpointInvalid("a name that no key of a signed note may have")


def _cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
