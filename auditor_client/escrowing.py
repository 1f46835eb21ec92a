"""Puts class keys in escrow before anything is delivered, and hands each holder a file of its shares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from attestations.commitments import ContentClass, SuiteKey
from attestations.documents.base import format_time, validated
from attestations.documents.engagement import LogReceipt
from attestations.documents.escrow import EscrowManifest
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import ConfigurationInvalid, FileUnusable, LogEquivocation, PhaseViolation
from attestations.escrow.dealing import escrowed_classes, put_in_escrow, structure_of
from attestations.escrow.share_file import ShareFile
from attestations.escrow.sharing import Randomness
from attestations.escrow.structure import Escrow
from attestations.files import because
from attestations.verify.escrow_log import open_verified
from auditor_client.engagement import Engagement, signed
from auditor_client.home import Home
from auditor_client.leaf_checks import sent_name
from auditor_client.ports import Clock, Journal, Lab

_DEALT = "escrow/"  # journal: escrow/C2 -> the manifest in force


def read_structure(home: Home, name: str | None) -> Escrow | None:
    """Return the access structure that the settings name.

    Raises:
        FileUnusable: the file is missing.
        ConfigurationInvalid, MalformedEnvelope: it is not one.
    """
    if name is None:
        return None
    path = home.path / name
    try:
        value = json.loads(home.read(path))
    except (ValueError, RecursionError):
        raise ConfigurationInvalid(f"{path} is not JSON", field="escrow") from None
    return validated(Escrow, value)


async def put(
    key: SuiteKey, *, engagement: Engagement, lab: Lab, journal: Journal, clock: Clock, randomness: Randomness
) -> tuple[str, ...]:
    """Put every class key that is owed in escrow and log it; safe to repeat, the same dealing is sent again.

    Returns:
        The classes that are in escrow.
    """
    classes = escrowed_classes(engagement.agreement)
    for name in classes:
        kept = journal.recall(_DEALT + name)
        if kept is None:
            document = put_in_escrow(
                engagement.agreement,
                key.class_key(cast("ContentClass", name)),
                digest=engagement.digest,
                made_at=format_time(clock.now()),
                randomness=randomness,
            )
            envelope = await _remembered(name, document, engagement, journal)
        else:
            envelope = parse_envelope(kept)
        await _log("escrow", envelope, engagement=engagement, lab=lab)
    return classes


async def reshare(
    key: SuiteKey,
    without: Sequence[str],
    *,
    engagement: Engagement,
    lab: Lab,
    journal: Journal,
    clock: Clock,
    randomness: Randomness,
) -> tuple[str, ...]:
    """Deal every class key anew to the holders less some that are lost; safe to repeat.

    Raises:
        PhaseViolation: nothing is in escrow yet.
        EscrowQuorumUnmet: without them nobody could open.
    """
    classes = escrowed_classes(engagement.agreement)
    for name in classes:
        kept = journal.recall(_DEALT + name)
        if kept is None:
            raise PhaseViolation("nothing is in escrow yet: run `safeconduct auditor seal`")
        envelope = parse_envelope(kept)
        if EscrowManifest.parse(envelope.payload).without != tuple(without):
            document = put_in_escrow(
                engagement.agreement,
                key.class_key(cast("ContentClass", name)),
                digest=engagement.digest,
                made_at=format_time(clock.now()),
                randomness=randomness,
                without=without,
                supersedes=envelope.digest,
            )
            envelope = await _remembered(name, document, engagement, journal)
        await _log("escrow", envelope, engagement=engagement, lab=lab)
    return classes


def write_share_files(folder: Path, *, engagement: Engagement, journal: Journal) -> list[Path]:
    """Write one file for each holder into `folder` and return their paths.

    Raises:
        FileUnusable: they cannot be written.
    """
    manifests = [parse_envelope(journal.recall(name) or b"") for name in journal.names(_DEALT)]
    if not manifests:
        return []
    without = EscrowManifest.parse(manifests[0].payload).without
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, holder in enumerate(structure_of(engagement.agreement, without).holders(), start=1):
            plain = "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in holder)
            path = folder / f"{number:02d}-{plain}.json"
            path.write_bytes(ShareFile(holder, engagement.envelope, tuple(manifests)).to_bytes())
            written.append(path)
    except OSError as error:
        raise FileUnusable(f"files of shares cannot be written: {because(error)}", path=str(folder)) from None
    return written


async def log_receipt(envelope: Envelope, *, engagement: Engagement, lab: Lab) -> str:
    """Put a holder's receipt into the log and return whose it is.

    Raises:
        SignatureInvalid, AttributionFailed, EscrowShareInvalid: it does not hold.
    """
    document = open_verified(envelope, engagement.agreement, engagement.digest)
    await _log("escrow_verified", envelope, engagement=engagement, lab=lab)
    return document.holder


async def _remembered(name: str, document: EscrowManifest, engagement: Engagement, journal: Journal) -> Envelope:
    envelope = signed(document, engagement.keys.publication)
    await journal.remember(sent_name(envelope), envelope.to_bytes())
    await journal.remember(_DEALT + name, envelope.to_bytes())
    return envelope


async def _log(kind: str, envelope: Envelope, *, engagement: Engagement, lab: Lab) -> None:
    receipt = engagement.opened(await lab.escrow(envelope), LogReceipt)
    if (receipt.kind, receipt.document) != (kind, envelope.digest):
        raise LogEquivocation("the lab's receipt is for another document", kind=receipt.kind)
