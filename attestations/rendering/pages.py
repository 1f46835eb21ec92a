"""Fills the packaged templates. Everything is escaped, and what cannot be seen in a text is made visible."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from attestations.rendering.plots import short

_HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")


def page(template: str, **values: Any) -> str:
    """Return one whole HTML page."""
    return _environment().get_template(template).render(**values)


def visible(value: Any) -> Any:
    """Return text in which control and direction characters are named: the other side may have written it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(_named(letter) if unicodedata.category(letter) in _HIDDEN else letter for letter in value)


def _named(letter: str) -> str:
    return letter if letter == "\n" else f"[U+{ord(letter):04X}]"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    return environment


def _source(name: str) -> str:
    return (files("attestations.rendering") / "templates" / name).read_text("utf-8")
