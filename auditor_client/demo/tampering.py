"""A forger's attempt for the demo: the best-looking figure is made better, everything else is left alone."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.container import Container, Source, write_container

_ATTESTATION = "attestation.sigstore.json"
_LIMIT = 64 << 20


class Forgery(NamedTuple):
    """What was changed."""

    metric: str
    before: str
    after: str


def forge(source: Path, target: Path) -> Forgery:
    """Write a copy of an evidence file in which one published figure is another."""
    with source.open("rb") as stream:
        container = Container(stream)
        members = {name: container.read(name, limit=_LIMIT) for name in container.names}
    bundle = parse_canonical(members[_ATTESTATION])
    envelope = bundle["dsseEnvelope"]
    statement: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    result = statement["predicate"]["results"][0]
    forgery = Forgery(result["id"], result["value"], "0.0001" if result["value"] != "0.0001" else "0.0002")
    result["value"] = forgery.after
    envelope["payload"] = base64.b64encode(canonical_bytes(statement)).decode()
    members[_ATTESTATION] = canonical_bytes(bundle)
    with target.open("wb") as out:
        write_container(out, [Source(name, _opener(data)) for name, data in members.items()])
    return forgery


def _opener(data: bytes) -> Any:
    return lambda: io.BytesIO(data)
