"""`safeconduct render`: a page of an agreement, or of the release log of an evidence file."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from attestations.commands.given import read, read_given
from attestations.container import Container
from attestations.errors import ConfigurationInvalid, SafeconductError
from attestations.files import open_file, write_file
from attestations.rendering.agreement_view import agreement_view
from attestations.rendering.pages import page
from attestations.rendering.release_view import release_view
from attestations.trust import Trust, parse_trust
from attestations.verify import disclosure, parties, transcript
from attestations.verify.engine import Request, verify_evidence
from attestations.verify.sightings import MEMBER, Sightings

_ZIP = b"PK"


def render_file(file: Path, trust: Path | None, out: Path, at: datetime | None) -> str:
    """Write the page and return one line about it.

    Raises:
        FileUnusable, ConfigurationInvalid, MalformedEnvelope: the file is none of those that have a page.
    """
    trusted = None if trust is None else parse_trust(read(trust))
    if _begins(file) == _ZIP:
        if trusted is None:
            raise ConfigurationInvalid("a release log is shown only after it is checked: give --trust", field="trust")
        text, said = _release_page(file, trusted, at)
    else:
        text, said = _agreement_page(file, trusted)
    write_file(out, [text.encode()])
    return f"{out}: {said}"


def _agreement_page(file: Path, trust: Trust | None) -> tuple[str, str]:
    given = read_given(file)
    if given.agreement is None or given.envelope is None:
        raise ConfigurationInvalid(
            f"{file} is no signed agreement; `safeconduct policy explain` reads it", field="file"
        )
    view = agreement_view(given.envelope, given.agreement, trust)
    return page("agreement.html", view=view), view.signatures.summary


def _release_page(file: Path, trust: Trust, at: datetime | None) -> tuple[str, str]:
    with open_file(file) as stream:
        container = Container(stream)
        report = verify_evidence(container, trust, Request(at=at))
        agreed = parties.open_agreement(container, trust)
        log = transcript.read_log(container.lines("log.jsonl"), agreed)
        now = disclosure.present(log, at, agreed.agreement.timing.skew_seconds)
        view = release_view(log, report, now, _sightings(container, agreed, log))
    said = "the evidence holds" if view.good else "THE EVIDENCE DOES NOT HOLD; the page says so"
    return page("releases.html", view=view), said


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
