"""The negotiable part of an agreement as a TOML file: what a lawyer can read and an engineer can diff.

The file holds scope, budget, access, deadlines, clauses and policy; parties, keys, models and the log's name are not in
it, because they follow from identities and from what the lab serves. A field that is left out stays as it was.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel, to_snake

from attestations.documents.agreement import Agreement
from attestations.documents.base import validated
from attestations.errors import ConfigurationInvalid, SafeconductError

PARTS = {
    "scope": "What may be asked.",
    "budget": "How much may be asked in all; counts that may be large are written as text.",
    "access": "When it may be asked (UTC), and how many business days of access are owed.",
    "timing": "Deadlines in seconds. skew_seconds never changes once an agreement is in force.",
    "clauses": "Promises that software cannot enforce.",
    "policy": (
        "Who may learn what, and when. permit: may be released; oblige: must be released.\n"
        "# Rules named in `protected` change only with their beneficiary's signature."
    ),
}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def write_draft(agreement: Agreement) -> str:
    """Return the negotiable part of an agreement as a TOML file to edit."""
    value = agreement.json_value()
    text = [f"# Draft for the engagement {agreement.engagement}. Change what you want changed; delete nothing you mean"]
    text.append("# to keep as it is: a field that is left out stays as it was.")
    for part, comment in PARTS.items():
        text += ["", f"# {comment}", *_table(part, _snake(value[part]))]
    return "\n".join(text) + "\n"


def read_draft(data: bytes, base: Agreement, *, name: str = "the draft") -> dict[str, Any]:
    """Return the parts of `base` that a draft replaces, as values for `Agreement.model_copy`.

    TOML, or JSON if the first character is a brace; names may be written in snake_case or in camelCase.

    Raises:
        ConfigurationInvalid: it cannot be read, or holds something that cannot be negotiated; the message says what.
    """
    given = _read(data, name)
    for part in given:
        if part not in PARTS:
            raise ConfigurationInvalid(f"{name}: {part} cannot be negotiated", field=str(part)[:64])
    value = base.json_value()
    merged = value | {part: _merged(value[part], to_camel_names(content)) for part, content in given.items()}
    try:
        agreement = validated(Agreement, merged)
    except SafeconductError as error:
        raise ConfigurationInvalid(f"{name}: {error.message}", **error.facts) from None
    except (ValidationError, ValueError) as error:
        raise ConfigurationInvalid(f"{name}: {error}", field="draft") from None
    return {part: getattr(agreement, part) for part in given}


def _read(data: bytes, name: str) -> dict[str, Any]:
    try:
        text = data.decode()
        value = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(f"{name} is neither TOML nor JSON: {error}", field="draft") from None
    if not isinstance(value, dict):
        raise ConfigurationInvalid(f"{name} holds no tables", field="draft")
    return value


def _merged(before: Any, given: Any) -> Any:
    if isinstance(before, dict) and isinstance(given, dict):
        return before | {name: _merged(before.get(name), item) for name, item in given.items()}
    return given


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_snake(name): _snake(item) for name, item in value.items()}
    return [_snake(item) for item in value] if isinstance(value, list) else value


def to_camel_names(value: Any) -> Any:
    """Return a value whose names are written in camelCase all through, as documents have them."""
    if isinstance(value, dict):
        return {to_camel(name) if "_" in name else name: to_camel_names(item) for name, item in value.items()}
    return [to_camel_names(item) for item in value] if isinstance(value, list) else value


def _table(path: str, value: dict[str, Any]) -> Iterator[str]:
    yield f"[{path}]"
    tables = {name: item for name, item in value.items() if isinstance(item, dict) and not _is_formula(item)}
    arrays = {name: item for name, item in value.items() if _is_tables(item)}
    for name, item in value.items():
        if name not in tables and name not in arrays and item is not None:
            yield f"{name} = {_inline(item)}"
    for name, item in tables.items():
        yield ""
        yield from _table(f"{path}.{name}", item)
    for name, items in arrays.items():
        for item in items:
            yield ""
            yield f"[[{path}.{name}]]"
            yield from (f"{key} = {_inline(inner)}" for key, inner in item.items() if inner is not None)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_formula(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in ("and", "or")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_inline(item)}" for name, item in value.items() if item is not None)
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(_inline(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=True).replace("\\/", "/")


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else json.dumps(name)
