"""What every table of `lab.toml` is."""

from __future__ import annotations

from pydantic import ConfigDict

from attestations.documents.base import Part


class Snake(Part):
    """A table of `lab.toml`; its keys are snake_case, as TOML files write them."""

    model_config = ConfigDict(**{**Part.model_config, "alias_generator": None})
