"""How the demo speaks: one heading a step, the command that was run, and what it proved to whom."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from attestations.errors import SetupError


class Teller:
    """Runs commands in the demo's folder and says what they mean."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._console = Console(highlight=False, stderr=False)
        self._started = time.monotonic()
        self._step = 0

    def title(self, text: str) -> None:
        """Begin a step."""
        self._step += 1
        seconds = int(time.monotonic() - self._started)
        self._console.print()
        self._indented(
            f"[bold cyan]{self._step}. {text}[/bold cyan] [dim]({seconds // 60}:{seconds % 60:02})[/dim]", indent=0
        )

    def say(self, text: str) -> None:
        """Explain in a sentence or two."""
        self._indented(escape(text))

    def proved(self, to: str, text: str) -> None:
        """Say what the step proved and to whom."""
        self._indented(f"[green]Proved to {to}:[/green] {escape(text)}")

    def _indented(self, markup: str, indent: int = 3) -> None:
        self._console.print(Padding(Text.from_markup(markup), (0, 0, 0, indent), expand=False))

    def run(self, *arguments: str, expect: int = 0, quiet: bool = False) -> str:
        """Run a `safeconduct` command; its progress goes to the terminal, its output is shown and returned.

        Raises:
            SetupError: it ended with another code than expected.
        """
        self._console.print(f"   [dim]$ safeconduct {shlex.join(arguments)}[/dim]", soft_wrap=True)
        ran = self.ran(arguments, progress=not expect)
        said = ran.stdout + (ran.stderr or "")
        if ran.returncode != expect:
            self._console.print(said, markup=False)
            raise SetupError(
                f"`safeconduct {arguments[0]} {arguments[1]}` ended with code {ran.returncode}, not {expect}"
            )
        if not quiet:
            for line in said.splitlines():
                self._console.print(f"     {line}", markup=False, soft_wrap=True)
        return said

    def ran(self, arguments: Sequence[str], *, progress: bool) -> subprocess.CompletedProcess[str]:
        """Run a command in the demo's folder; with `progress` what it says of that goes to the terminal."""
        return subprocess.run(  # noqa: S603 - our own command
            command(*arguments),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=None if progress else subprocess.PIPE,
            check=False,
            text=True,
            env={**os.environ, "COLUMNS": str(max(60, self._console.width - 5))},
        )

    def wait(self, seconds: float, why: str) -> None:
        """Wait, visibly."""
        with self._console.status(why):
            time.sleep(max(0.0, seconds))


def command(*arguments: Sequence[str] | str) -> list[str]:
    """Return the command line of a `safeconduct` command in this interpreter."""
    return [sys.executable, "-m", "attestations.cli", *map(str, arguments)]
