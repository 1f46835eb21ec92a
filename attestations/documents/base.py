"""What every signed document is: a frozen, strict, closed value with exactly one form as bytes.

A document becomes bytes once, when it is signed; afterwards the bytes are passed along. Names are
camelCase in JSON and snake_case here. `docs/spec/encoding.md` holds the rules.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from attestations.canonical import MAX_DOCUMENT_BYTES, canonical_bytes, parse_canonical
from attestations.errors import MalformedEnvelope, UnknownCriticalField, UnsupportedVersion

VERSION = "safeconduct/v1"
# What `format_time` writes. 24:00 is left out: some readers take it for the next day's 00:00.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.(?!000)\d{3})?Z", re.ASCII)
_YEARS = range(2000, 3000)  # so that adding any span an agreement can name stays within the calendar

_NESTED = frozenset({list, dict})  # most values are not: they need no call

M = TypeVar("M", bound=BaseModel)


def _one_form_of_time(text: str) -> str:
    if _TIME.fullmatch(text) is None:
        raise ValueError("not a UTC time in its one form, milliseconds only when they are not zero")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a UTC time as 2026-01-31T23:59:59Z") from None
    if moment.year not in _YEARS:
        raise ValueError("a year no audit can be in")
    return text


def _base64(text: str) -> str:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not standard base64") from None
    if base64.b64encode(decoded).decode() != text:
        raise ValueError("not base64 in its one form")
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]
"""An identifier: ASCII, 1 to 128 characters, so that equality of bytes is equality of names."""

Time = Annotated[str, AfterValidator(_one_form_of_time)]
"""A UTC instant, RFC 3339 with `Z`, milliseconds only when they are not zero."""

Count = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,18})$")]
"""A count that may pass 2^53: decimal digits in a string."""

Decimal = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?$")]
"""A decimal number in a string; signed documents hold no floats."""

Base64 = Annotated[str, AfterValidator(_base64)]
"""Bytes in standard base64 with padding, in its one form."""


def is_none(value: object) -> bool:
    """Tell whether a field is left out: a field a later draft added must not change the bytes of those without it."""
    return value is None


def is_empty(value: tuple[object, ...]) -> bool:
    """Tell whether a list is left out, for the same reason."""
    return not value


class Hidden:
    """First among the bases of what holds hidden content: shown anywhere, it says its kind and nothing else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class Part(BaseModel):
    """A value inside a document."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    def json_value(self) -> dict[str, Any]:
        """Return this value as plain JSON types, with the names that go into the signed bytes."""
        return self.model_dump(mode="json", by_alias=True)


class Document(Part):
    """A value that is signed, logged or committed to on its own."""

    payload_type: ClassVar[str]

    v: str = VERSION

    def to_bytes(self) -> bytes:
        """Return the document's only form as bytes (RFC 8785)."""
        return canonical_bytes(self.json_value())

    @classmethod
    def parse(cls, data: bytes, *, limit: int = MAX_DOCUMENT_BYTES) -> Self:
        """Read exactly the bytes that were signed.

        Raises:
            NonCanonicalDocument: the bytes are not the document's only form.
            UnsupportedVersion: `v` is not `safeconduct/v1`.
            UnknownCriticalField: a field this version does not know.
            MalformedEnvelope: a field is missing or not what its type requires.
        """
        return cls.read(data, parse_canonical(data, limit=limit))

    @classmethod
    def read(cls, data: bytes, value: object) -> Self:
        """Read bytes of which `parse_canonical` gave `value`.

        Raises:
            UnsupportedVersion, UnknownCriticalField, MalformedEnvelope: as `parse` says.
        """
        _check_version(cls, value)
        # The bytes are canonical JSON by now: the model's own reader takes lists for tuples and is the faster one.
        return validated_json(cls, data)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a document from plain JSON types that came from `parse_canonical`."""
        _check_version(cls, value)
        return validated(cls, value)


def _check_version(kind: type[Document], value: object) -> None:
    if isinstance(value, dict) and value.get("v", VERSION) != VERSION:
        raise UnsupportedVersion(f"{kind.__name__} is not of version {VERSION}", document=kind.__name__)


def validated(kind: type[M], value: object) -> M:
    """Return `value` as a model of `kind`, or raise an error that names the field but never its content.

    Raises:
        UnknownCriticalField: a field this version does not know.
        MalformedEnvelope: a field is missing or not what its type requires.
    """
    return _explained(kind, lambda: kind.model_validate(_tuples(value), by_alias=True, by_name=False))


def validated_json(kind: type[M], data: bytes) -> M:
    """Do the same with JSON, without building its values first; `data` has been read by `parse_canonical`."""
    return _explained(kind, lambda: kind.model_validate_json(data, by_alias=True, by_name=False))


def _explained(kind: type[M], validate: Callable[[], M]) -> M:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # The location may hold keys the sender chose: only the model's own words are repeated.
        field = ".".join(str(step) for step in first["loc"] if isinstance(step, int) or str(step).isidentifier())[:120]
        if first["type"] == "extra_forbidden":
            raise UnknownCriticalField(
                f"{kind.__name__} holds an unknown field", document=kind.__name__, field=field
            ) from None
        raise MalformedEnvelope(
            f"{kind.__name__}: {field or 'document'}: {first['type']}", document=kind.__name__, field=field
        ) from None


def _tuples(value: object) -> object:
    # Models hold tuples, JSON holds lists; strict mode would refuse one for the other.
    if isinstance(value, list):
        return tuple([_tuples(item) if type(item) in _NESTED else item for item in value])
    if isinstance(value, dict):
        return {key: _tuples(item) if type(item) in _NESTED else item for key, item in value.items()}
    return value


def format_time(moment: datetime) -> str:
    """Return a UTC instant in its one form as text; anything below a millisecond is cut off."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    moment = moment.astimezone(UTC)
    milliseconds = moment.microsecond // 1000
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{milliseconds:03d}Z" if milliseconds else "Z")


def parse_time(text: str) -> datetime:
    """Return the instant that `format_time` wrote."""
    return datetime.fromisoformat(text)


def parse_moment(text: str) -> datetime:
    """Read a time as a person writes it, `2026-12-01T00:00:00Z`.

    Raises:
        ValueError: it is in another form.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("a time is written as 2026-12-01T00:00:00Z") from None


def encode(data: bytes) -> str:
    """Return bytes as standard base64 text."""
    return base64.b64encode(data).decode()


def decode(text: str) -> bytes:
    """Return the bytes behind base64 text that a model has already checked."""
    return base64.b64decode(text, validate=True)
