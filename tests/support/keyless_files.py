"""What the tests of identity-based signatures share: a statement, an instance's files, and bundles with one change."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from attestations.keyless import Instance, Published
from attestations.predicate import PREDICATE_TYPE
from attestations.statement import STATEMENT_TYPE
from tests.support.private_sigstore import PrivateSigstore

WHO = "auditor@auditor.example"


def statement(note: str = "a") -> bytes:
    """Return a statement in a form of its own: not canonical, and with digests sigstore knows nothing of."""
    value = {
        "predicateType": PREDICATE_TYPE,
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model/m", "digest": {"safeconductModelManifestV1": "ab" * 32}}],
        "predicate": {"note": note},
    }
    return json.dumps(value, indent=1).encode() + b"\n"


def signed(sigstore: PrivateSigstore, payload: bytes, *, identity: str = WHO) -> Published:
    """Return a statement signed by an instance in good order."""
    return Instance(sigstore.config()).sign(payload, token=sigstore.token(identity), within=20)


def changed(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return a bundle with one change."""
    value = json.loads(bundle)
    change(value)
    return json.dumps(value).encode()


def b64(data: bytes) -> str:
    """Return bytes as standard base64."""
    return base64.b64encode(data).decode()
