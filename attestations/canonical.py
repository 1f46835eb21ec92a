"""The one way a document becomes bytes (RFC 8785) and the only bytes that are read back.

Beyond RFC 8785 a document holds no floats and no integer of 2^53 or more: both are decimal strings
(`docs/spec/encoding.md`).
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from attestations.errors import DuplicateKey, MalformedEnvelope, NonCanonicalDocument, SizeLimitExceeded

MAX_DOCUMENT_BYTES = 1 << 20
MAX_DEPTH = 32
_MAX_INTEGER = 2**53 - 1
# Built once: making an encoder for each document costs as much as encoding it.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_PLAIN = frozenset({str, bool, type(None)})
_HOLDING = frozenset({dict, list, tuple})


def canonical_bytes(value: object) -> bytes:
    """Return `value` (plain JSON types) as its only bytes.

    Raises:
        NonCanonicalDocument: it holds a float, an integer beyond 2^53 - 1, a lone surrogate or a key that is no string.
        SizeLimitExceeded: it is nested deeper than 32.
    """
    if value is None:  # most fields of most tasks
        return b"null"
    fast = _check(value, 0)
    try:
        if fast:
            return _ENCODER.encode(value).encode()
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError, ValueError):
        raise NonCanonicalDocument("a document that has no canonical form") from None


def parse_canonical(data: bytes, *, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """Read bytes that must be their own canonical form.

    Raises:
        SizeLimitExceeded: more than `limit` bytes, or nested deeper than 32.
        MalformedEnvelope: not JSON in UTF-8.
        DuplicateKey: an object names a key twice.
        NonCanonicalDocument: any other form than the canonical one.
    """
    if len(data) > limit:
        raise SizeLimitExceeded(f"a document is larger than {limit} bytes", limit=str(limit))
    try:
        text = data.decode("utf-8")
        value = _DECODER.decode(text)
    except RecursionError:
        raise SizeLimitExceeded("a document is nested too deeply", limit=str(MAX_DEPTH)) from None
    except ValueError:
        raise MalformedEnvelope("not JSON in UTF-8") from None
    if _encoded(value, text) != data:
        _refuse_duplicates(data)
        raise NonCanonicalDocument("a document that is not in its canonical form")
    return value


def _encoded(value: Any, text: str) -> bytes:
    # The decoder has refused floats and large integers. With ASCII keys and no more brackets than levels allowed,
    # nothing is left for `_check` to find, and it costs more than all the rest.
    if not text.isascii() or text.count("{") + text.count("[") > MAX_DEPTH:
        return canonical_bytes(value)
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        raise NonCanonicalDocument("a document with half a character") from None


def _no_float(_: str) -> Any:
    raise NonCanonicalDocument("a fraction in a document: write it as a string")


def _small_integer(text: str) -> int:
    if len(text) > 17 or not -_MAX_INTEGER <= int(text) <= _MAX_INTEGER:  # noqa: PLR2004 - digits of 2^53, and a sign
        raise NonCanonicalDocument("an integer beyond 2^53 - 1: write it as a string")
    return int(text)


_DECODER = json.JSONDecoder(parse_float=_no_float, parse_int=_small_integer, parse_constant=_no_float)


def _check(value: Any, depth: int) -> bool:
    """Refuse what no document may hold; return whether sorting by code point is sorting as RFC 8785 does."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is int:
        if not -_MAX_INTEGER <= value <= _MAX_INTEGER:
            raise NonCanonicalDocument("an integer beyond 2^53 - 1: write it as a string")
        return True
    if kind not in _HOLDING:
        raise NonCanonicalDocument(f"a {kind.__name__} in a document")
    if value and depth == MAX_DEPTH:  # what stands in it is a level too deep, whatever it is
        raise SizeLimitExceeded("a document is nested too deeply", limit=str(MAX_DEPTH))
    fast, items = True, value
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise NonCanonicalDocument("a key that is not a string")
            fast = key.isascii() and fast
        items = value.values()
    for item in items:
        if type(item) not in _PLAIN:  # most are, and need no call
            fast = _check(item, depth + 1) and fast
    return fast


def _refuse_duplicates(data: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise DuplicateKey("an object names one key twice")
        return dict(pairs)

    json.loads(data.decode("utf-8"), object_pairs_hook=unique)
