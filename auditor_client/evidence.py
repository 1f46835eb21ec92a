"""Writes an evidence file: everything a reader needs for one stage, every member bound by the signed index."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from attestations.container import MEMBER_NAMES, Source, write_container
from attestations.documents.base import format_time
from attestations.documents.engagement import EvidenceIndex, EvidenceMember, Stage, Tlp
from attestations.errors import FileUnusable
from attestations.files import because
from auditor_client.attesting import Attested
from auditor_client.engagement import Engagement, signed

INDEX = "index.dsse.json"


@dataclass(frozen=True)
class Members:
    """Where each member's bytes come from, by its name in the file."""

    sources: dict[str, bytes | Path]

    def ordered(self) -> list[Source]:
        """Return the members in their one order."""
        return [Source(name, _opener(self.sources[name])) for name in MEMBER_NAMES if name in self.sources]


@dataclass(frozen=True)
class Shown:
    """What the file is: a stage for a recipient, of some classes `only`, under a label."""

    stage: Stage
    recipient: str
    only: tuple[str, ...] | None = None
    tlp: Tlp | None = None


def write_evidence(
    path: Path,
    members: Members,
    *,
    attested: Attested,
    engagement: Engagement,
    shown: Shown,
    now: datetime,
) -> None:
    """Write the evidence file at `path`; it appears whole or not at all.

    Raises:
        FileUnusable: it cannot be written.
        SizeLimitExceeded: it would pass 4 GiB.
    """
    try:
        index = EvidenceIndex(
            agreement=engagement.digest,
            stage=shown.stage,
            recipient=shown.recipient,
            classes=shown.only,  # type: ignore[arg-type]
            tlp=shown.tlp,
            attestation=attested.digest,
            members=tuple(_measured(source) for source in members.ordered()),
            issued_at=format_time(now),
        )
        envelope = signed(index, engagement.keys.publication)
        whole = Members({**members.sources, INDEX: envelope.to_bytes()})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as out:
                write_container(out, whole.ordered())
                out.flush()
                os.fsync(out.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # on a full disk it would take the room that is missing
    except OSError as error:
        raise FileUnusable(f"the evidence file cannot be written: {because(error)}", file=path.name) from None


def _measured(source: Source) -> EvidenceMember:
    digest, size = hashlib.sha256(), 0
    with source.open() as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            size += len(block)
    return EvidenceMember(name=source.name, bytes=str(size), digest=digest.hexdigest())


def _opener(source: bytes | Path) -> Callable[[], BinaryIO]:
    if isinstance(source, bytes):
        return lambda: BytesIO(source)
    return lambda: source.open("rb")
