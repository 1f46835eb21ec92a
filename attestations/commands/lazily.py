"""Command groups whose commands are imported when they are used: one command pays for no other's imports."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup


class LazyGroup(TyperGroup):
    """A group whose `places` say where each command lives: name -> "module:function", or ":app" for a group."""

    places: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in their order."""
        del ctx
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a command, or None if there is none of this name."""
        del ctx
        if cmd_name not in self.commands and cmd_name in self.places:
            self.commands[cmd_name] = _made(cmd_name, self.places[cmd_name])
        return self.commands.get(cmd_name)


def _made(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        group.rich_markup_mode = None  # helps look alike, whichever file they come from
        for command in group.commands.values():
            if isinstance(command, TyperCommand | TyperGroup):
                command.rich_markup_mode = None
        return group
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name)(found)
    return typer.main.get_command(alone)
