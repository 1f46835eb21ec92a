"""`safeconduct render`: a page of an agreement, of an offer, or of the release log of an evidence file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from attestations.commands.given import read, read_given
from attestations.container import Container
from attestations.documents.agreement import Agreement, Terms
from attestations.errors import ConfigurationInvalid, SafeconductError
from attestations.escrow.released import parse_escrow_release
from attestations.files import open_file, shown, write_file
from attestations.rendering.advisory import advisory
from attestations.rendering.agreement_view import agreement_view
from attestations.rendering.offer_view import offer_file_view
from attestations.rendering.pages import page
from attestations.rendering.release_view import release_view
from attestations.trust import Trust, parse_trust
from attestations.verify import disclosure, parties, transcript
from attestations.verify.engine import Request, examine
from attestations.verify.report import Report
from attestations.verify.sightings import MEMBER, Sightings

_ZIP = b"PK"


@dataclass(frozen=True)
class Wanted:
    """What a page is to be made of, and what its reader has beside it."""

    file: Path
    trust: Path | None = None
    at: datetime | None = None
    against: Path | None = None
    escrow: Sequence[Path] = ()


def render_file(wanted: Wanted, out: Path) -> str:
    """Write the page and return one line about it.

    Raises:
        FileUnusable, ConfigurationInvalid, MalformedEnvelope: the file is none of those that have a page.
    """
    trusted = None if wanted.trust is None else parse_trust(read(wanted.trust))
    if _begins(wanted.file) == _ZIP:
        if trusted is None:
            raise ConfigurationInvalid("a release log is shown only after it is checked: give --trust", field="trust")
        text, said = _release_page(wanted, trusted)
    else:
        text, said = _document_page(wanted, trusted)
    write_file(out, [text.encode()])
    return f"{shown(out)}: {said}"


def _document_page(wanted: Wanted, trust: Trust | None) -> tuple[str, str]:
    given = read_given(wanted.file)
    if given.offer is not None and given.envelope is not None:
        view = offer_file_view(given.offer, given.envelope.digest, _against(wanted.against))
        return page("offer.html", view=view), "an offer, which binds nobody yet"
    if given.agreement is None or given.envelope is None:
        raise ConfigurationInvalid(
            f"{shown(wanted.file)} is no signed agreement; `safeconduct policy explain` reads it", field="file"
        )
    agreed = agreement_view(given.envelope, given.agreement, trust)
    return page("agreement.html", view=agreed), agreed.signatures.summary


def _against(path: Path | None) -> Agreement | Terms | None:
    if path is None:
        return None
    given = read_given(path)
    other = given.agreement or given.terms
    if other is None:
        raise ConfigurationInvalid(f"{shown(path)} is neither an offer nor an agreement nor signed terms", field="file")
    return other


def _release_page(wanted: Wanted, trust: Trust) -> tuple[str, str]:
    with open_file(wanted.file) as stream:
        found = _read(Container(stream), wanted, trust)
        now = disclosure.present(found.log, wanted.at, found.agreed.agreement.timing.skew_seconds)
        sightings = _sightings(found.container, found.agreed, found.log)
        view = release_view(found.log, found.report, now, sightings)
    said = "the evidence holds" if view.good else "THE EVIDENCE DOES NOT HOLD; the page says so"
    return page("releases.html", view=view), said


def export_advisory(wanted: Wanted, out: Path, namespace: str | None) -> str:
    """Write the release log of an evidence file as a CSAF 2.1 document and return one line about it.

    Raises:
        ConfigurationInvalid: no trust file is given, or no URL names the auditor.
        CommitmentMismatch: the evidence does not hold.
    """
    if wanted.trust is None:
        raise ConfigurationInvalid("a release log is exported only after it is checked: give --trust", field="trust")
    if namespace is None or not namespace.startswith("https://"):
        raise ConfigurationInvalid("CSAF names a publisher by a URL of its own: give --namespace", field="namespace")
    with open_file(wanted.file) as stream:
        found = _read(Container(stream), wanted, parse_trust(read(wanted.trust)))
        index = parties.open_index(found.container, found.agreed).document
        value = advisory(found.log, found.report, index, namespace=namespace)
    write_file(out, [json.dumps(value, indent=2, ensure_ascii=False).encode(), b"\n"])
    return f"{shown(out)}: CSAF 2.1, TLP:{value['document']['distribution']['tlp']['label']}; an export, not evidence"


class _Read(NamedTuple):
    container: Container
    report: Report
    agreed: parties.Parties
    log: transcript.Transcript


def _read(container: Container, wanted: Wanted, trust: Trust) -> _Read:
    opened = tuple(parse_escrow_release(read(path)) for path in wanted.escrow)
    found = examine(container, trust, Request(at=wanted.at, escrow=opened))
    return _Read(container, found.report, *found.ground())


def _sightings(container: Container, agreed: parties.Parties, log: transcript.Transcript) -> Sightings:
    """Return the cosigned checkpoints of a file; what is wrong with one, the report on the same file says."""
    found = Sightings(agreed, log)
    with suppress(SafeconductError):
        found.last(container.read("checkpoint.txt", limit=parties.MAX_DOCUMENT_MEMBER_BYTES))
    if MEMBER in container.names:
        with suppress(SafeconductError):
            found.read(container.lines(MEMBER))
    return found


def _begins(file: Path) -> bytes:
    with open_file(file) as stream:
        return stream.read(len(_ZIP))
