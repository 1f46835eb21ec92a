"""Any bytes into any parser of the kernel: a value or one of our errors, never another exception."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, strategies as st

from attestations.bundle import parse_bundle
from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import parse_task_leaf
from attestations.container import Container
from attestations.documents import agreement, dialogue, engagement, exchange
from attestations.documents.base import Document
from attestations.envelope import parse_envelope
from attestations.errors import SafeconductError
from attestations.identity import parse_identity
from attestations.keys import KeyUse, enrol
from attestations.log_entries import parse_entry
from attestations.notes import parse_note
from attestations.packages import iter_package
from attestations.statement import parse_statement
from attestations.trust import parse_trust
from attestations.views import parse_line


def documents() -> list[type[Document]]:
    modules = (agreement, dialogue, engagement, exchange)
    found = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return sorted(
        (kind for kind in found if issubclass(kind, Document) and kind is not Document), key=lambda k: k.__name__
    )


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "canonical": parse_canonical,
    "envelope": parse_envelope,
    "bundle": parse_bundle,
    "statement": parse_statement,
    "note": parse_note,
    "entry": parse_entry,
    "leaf": parse_task_leaf,
    "trust": parse_trust,
    "identity": parse_identity,
    "view": parse_line,
    "container": lambda data: Container(io.BytesIO(data)),
    "package": lambda data: list(iter_package([data])),
    **{f"enrol-{use.value}": partial(enrol, "someone", use) for use in KeyUse},
    **{kind.__name__: kind.parse for kind in documents()},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["payload", "payloadType", "signatures", "keyid", "sig", "v", "docs", "kind", "i", "fields", "agreement", "session",
     "seq", "_type", "subject", "predicate", "predicateType", "mediaType", "dsseEnvelope", "parties", "keys",
     "class", "path", "salt", "value", "by", "commitment", "reason"]
)  # fmt: skip
SHAPED = st.dictionaries(FIELDS, JSON, max_size=8).map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("name", sorted(PARSERS))
@given(
    data=st.binary(max_size=400)
    | SHAPED
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
)
def test_foreign_bytes_give_a_value_or_our_error(name: str, data: bytes) -> None:
    try:
        PARSERS[name](data)
    except SafeconductError as error:
        assert error.reason.isupper()  # noqa: PT017 - either outcome is right


@given(JSON)
def test_what_can_be_written_is_read_back(value: Any) -> None:
    try:
        data = canonical_bytes(value)
    except SafeconductError:
        return

    assert value == parse_canonical(data)
    assert data == canonical_bytes(parse_canonical(data))


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"a":' * 50_000, b"[" * 34 + b"]" * 34])
def test_a_depth_bomb_is_refused(bomb: bytes) -> None:
    with pytest.raises(SafeconductError):
        parse_canonical(bomb)
