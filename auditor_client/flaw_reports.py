"""Flaw reports the auditor writes: from a TOML file to a signed document that is kept before anybody hears of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from attestations.documents.base import encode
from attestations.documents.finding import MAX_REPORT_BYTES, MAX_WRITTEN_BYTES, SALT_BYTES, FlawReport
from attestations.envelope import Envelope, parse_envelope, sign_document
from attestations.errors import ConfigurationInvalid, FileUnusable
from attestations.files import read_file, shown
from attestations.keys import Signer
from auditor_client.home import Home, write_private

_OURS = {"v", "agreement", "id", "salt"}


def read_flaw(path: Path, *, agreement: str, name: str, found_at: str, salt: bytes) -> FlawReport:
    """Return the report that a TOML file describes; `found_at` is when, unless the file says so.

    Raises:
        ConfigurationInvalid: it is no TOML, or a field is missing, unknown or not what it must be; the field is named.
    """
    assert len(salt) == SALT_BYTES  # noqa: S101 - made by our own program
    try:
        given = tomllib.loads(read_file(path, MAX_WRITTEN_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigurationInvalid(f"{shown(path)} is no TOML file", field="report") from None
    for field in sorted(_OURS & given.keys()):
        raise ConfigurationInvalid(f"{field} is not written by hand in {shown(path)}", field=field)
    value = {"foundAt": found_at} | given | {"agreement": agreement, "id": name, "salt": encode(salt)}
    try:
        return FlawReport.model_validate(value | {"tasks": tuple(value.get("tasks", ()))})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "report"
        raise ConfigurationInvalid(f"{shown(path)}: {field}: {first['msg']}", field=field) from None
    except TypeError:
        raise ConfigurationInvalid(f"{shown(path)}: tasks is a list of numbers", field="tasks") from None


def report_file(home: Home, name: str) -> Path:
    """Return where the report of this name is kept."""
    return home.path / "findings" / f"{name}.json"


def kept_report(home: Home, name: str) -> Envelope | None:
    """Return the signed report of this name, or None if there is none yet."""
    path = report_file(home, name)
    return parse_envelope(read_file(path, MAX_REPORT_BYTES)) if path.exists() else None


def keep_report(home: Home, report: FlawReport, signer: Signer) -> Envelope:
    """Sign a report and write it, whole or not at all.

    Raises:
        FileUnusable: there is one of this name already.
    """
    path = report_file(home, report.id)
    if path.exists():
        raise FileUnusable(f"{shown(path)} is there already", path=shown(path))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    envelope = sign_document(report, signer)
    write_private(path, envelope.to_bytes())
    return envelope
