"""When a release was made: between two cosigned checkpoints, never by one party's own clock.

The checkpoint a release embeds was cosigned before it, so its time is the lower bound; the first cosigned
checkpoint that holds the release gives the upper bound. Where witnesses are agreed their times count, else the
auditor's cosignature, which the lab's own time of the leaf must not contradict by more than the agreed skew.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attestations.checkpoint import cosignature_time
from attestations.documents.agreement import Agreement
from attestations.documents.base import decode, parse_time
from attestations.errors import EvidenceMissing, SafeconductError
from attestations.keys import KeyUse, enrol
from attestations.notes import Note, parse_note
from attestations.policy.evaluate import Bounds

_WHOLE_SECONDS = timedelta(seconds=1)  # cosignatures tell no less


def cosigned_time(note: Note, agreement: Agreement) -> datetime:
    """Return the time of a cosigned checkpoint: what a quorum of the agreed witnesses says, or else the auditor.

    Raises:
        EvidenceMissing: it is not cosigned by those who must.
        SignatureInvalid: a cosignature does not hold.
    """
    quorum = agreement.witnesses.quorum
    if quorum:
        times = [
            moment
            for witness in agreement.witnesses.keys
            if (moment := _witness_time(note, witness.name, witness.public)) is not None
        ]
        if len(times) < quorum:
            raise EvidenceMissing("a checkpoint that gives a time lacks the agreed witnesses", quorum=str(quorum))
        return sorted(times, reverse=True)[quorum - 1]
    name = f"{agreement.party('auditor').id}/cosign"
    own = cosignature_time(note, name=name, key=agreement.auditor_key(KeyUse.COSIGN))
    if own is None:
        raise EvidenceMissing("a checkpoint that gives a time is not cosigned")
    return own


def made_at(after: str, logged_at: str, agreement: Agreement) -> Bounds:
    """Return the bounds of a release's time as its `after` gives them.

    A checkpoint that claims to be of later than the lab logged the release proves nothing: then the lab's time counts.

    Raises:
        EvidenceMissing, SignatureInvalid, MalformedEnvelope: `after` gives no time.
    """
    skew, logged = timedelta(seconds=agreement.timing.skew_seconds), parse_time(logged_at)
    moment = cosigned_time(parse_note(after.encode()), agreement)
    if moment > logged + skew + _WHOLE_SECONDS:
        moment = logged
    return Bounds(moment - skew, moment + skew)


def made_at_or_never(after: str, logged_at: str, agreement: Agreement) -> Bounds:
    """Return `made_at`, or the beginning of the engagement where `after` gives no time: too early for everything."""
    try:
        return made_at(after, logged_at, agreement)
    except SafeconductError:
        begin = parse_time(agreement.created_at)
        return Bounds(begin, begin)


def _witness_time(note: Note, name: str, public: str) -> datetime | None:
    return cosignature_time(note, name=name, key=enrol(name, KeyUse.WITNESS, decode(public)))
