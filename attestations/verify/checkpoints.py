"""Step 5: whether every signed state of the log is a state of the log that is shown."""

from __future__ import annotations

from datetime import datetime, timedelta

from attestations.checkpoint import Checkpoint, cosignature_time, open_checkpoint, witness_times
from attestations.documents.base import decode, parse_time
from attestations.errors import (
    AttributionFailed,
    CheckpointInvalid,
    CosignOverdue,
    EvidenceMissing,
    LogEquivocation,
    LogRollback,
    TimeOrderViolation,
)
from attestations.keys import KeyUse, enrol
from attestations.notes import parse_note
from attestations.trust import Trust
from attestations.verify.parties import Parties
from attestations.verify.transcript import LoggedRelease, Transcript


def check_checkpoint(text: bytes, parties: Parties, transcript: Transcript, trust: Trust) -> list[datetime]:
    """Check the checkpoint over the whole log: the lab's signature, the auditor's cosignature, any agreed witnesses.

    Returns:
        The times at which witnesses saw it, oldest first.

    Raises:
        CheckpointInvalid, SignatureInvalid, LogEquivocation, LogRollback, CosignOverdue, WitnessQuorumUnmet.
        TimeOrderViolation: the lab dated a leaf later than the auditor saw it, beyond the tolerated skew.
    """
    note = parse_note(text)
    agreement = parties.agreement
    compare_with_log(open_checkpoint(note, origin=agreement.origin, log_key=parties.lab_log), transcript)
    name = f"{agreement.party('auditor').id}/cosign"
    cosigned = cosignature_time(note, name=name, key=parties.auditor_cosign)
    if cosigned is None:
        raise CosignOverdue("the auditor has not cosigned the log")
    # Cosignatures tell whole seconds only.
    tolerated = timedelta(seconds=agreement.timing.skew_seconds + 1)
    if transcript.last_time is not None and cosigned + tolerated < parse_time(transcript.last_time):
        raise TimeOrderViolation("the log's last leaf is dated after the auditor cosigned it")
    if not agreement.witnesses.quorum:
        return []
    trusted = {(witness.name, witness.public) for witness in trust.witnesses}
    witnesses = [
        (witness.name, enrol(witness.name, KeyUse.WITNESS, decode(witness.public)))
        for witness in agreement.witnesses.keys
        if (witness.name, witness.public) in trusted
    ]
    return sorted(witness_times(note, witnesses, agreement.witnesses.quorum))


def compare_with_log(checkpoint: Checkpoint, transcript: Transcript) -> None:
    """Check that a checkpoint is of exactly this log.

    Raises:
        LogRollback: the log is shorter.
        CheckpointInvalid: it is longer, or another.
    """
    facts = {"size": str(checkpoint.size), "leaves": str(transcript.size)}
    if checkpoint.size < transcript.size:
        raise CheckpointInvalid("the log holds more leaves than its checkpoint", **facts)
    if checkpoint.size > transcript.size:
        raise LogRollback("leaves are missing from the log's end", **facts)
    if checkpoint.root != transcript.root:
        raise CheckpointInvalid("the log is not the one the checkpoint speaks of", **facts)


def check_release_checkpoint(release: LoggedRelease, parties: Parties, transcript: Transcript) -> None:
    """Check the checkpoint a release says it came after.

    Raises:
        LogEquivocation: the lab signed another log of that size.
        AttributionFailed: it is of a later state than the release's own place.
        EvidenceMissing: it is older than the close statement, so nothing here decides.
    """
    checkpoint = open_checkpoint(
        parse_note(release.document.after), origin=parties.agreement.origin, log_key=parties.lab_log
    )
    if checkpoint.size > release.index:
        raise AttributionFailed("a release says it came after a later state of the log", leaf=str(release.index))
    root = release.root if checkpoint.size == release.index else transcript.roots.get(checkpoint.size)
    if root is None:
        raise EvidenceMissing("a release rests on a checkpoint from before the close", leaf=str(release.index))
    if root != checkpoint.root:
        raise LogEquivocation("the lab signed two different logs of one size", size=str(checkpoint.size))
