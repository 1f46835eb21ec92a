"""The `safeconduct` command: what a reader of evidence needs, and the groups other installed parts add.

The two sides' groups are found through the entry-point group `safeconduct.commands`, so a reader never
needs their dependencies.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import typer
import typer.exceptions

from attestations.commands import documents, evidence
from attestations.errors import (
    ConfigurationInvalid,
    ExitCode,
    SafeconductError,
)
from attestations.files import FULL, is_full, shown

GROUP = "safeconduct.commands"
_INTERRUPTED = "interrupted; run the same command again to continue"

app = typer.Typer(
    name="safeconduct",
    help="Third-party audits of AI models with evidence that anyone can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


for _name, _command in (
    ("verify", evidence.verify),
    ("consent", documents.consent),
    ("trust", documents.trust),
    ("open", evidence.open_),
    ("provenance", evidence.provenance),
    ("finding", evidence.finding),
    ("adjudicate", evidence.adjudicate),
    ("render", documents.render),
    ("report", evidence.report),
    ("version", documents.version_),
):
    app.command(_name)(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every failure is one sentence and a documented exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it was closed
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a sign still gets the sentence
    code = _run(given)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # Python would try again at its end, and fail loudly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        code = code or _say(_os_error(error), ExitCode.SETUP)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(given: list[str]) -> int:
    try:
        if given and given[0] in _OWN_GROUPS:
            app.add_typer(_own_group(given[0]), name=given[0])
        else:
            for name, summary in _OWN_GROUPS.items():
                app.add_typer(_listed_only(), name=name, help=summary)
        for entry in entry_points(group=GROUP):
            wanted = bool(given) and given[0] == entry.name
            app.add_typer(_load(entry) if wanted else _listed_only(), name=entry.name, help=_SUMMARIES.get(entry.name))
        asked = ["version"] if given == ["--version"] else given  # what many type first
        result = app(args=asked, prog_name="safeconduct", standalone_mode=False)
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without a command: its help is the answer
            typer.echo(message, err=True)
            return int(ExitCode.USAGE)
        return _say(f"{message} Add --help for the options.", ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return _say(_INTERRUPTED, ExitCode.INTERRUPTED)
    except SafeconductError as error:
        return _say(f"{error.message} [{error.reason}]", error.exit_code)
    except BrokenPipeError:
        return int(ExitCode.OK)
    except OSError as error:
        return _say(_os_error(error), ExitCode.SETUP)
    except Exception as error:
        if os.environ.get("SAFECONDUCT_TRACEBACK"):
            raise
        # The message could hold content; its type cannot.
        return _say(
            f"internal error ({type(error).__name__}); set SAFECONDUCT_TRACEBACK=1 to see where", ExitCode.INTERNAL
        )
    return _ended(result)


def _ended(result: object) -> int:
    if result == ExitCode.INTERRUPTED:  # Typer makes an exit code of a Ctrl-C, and says nothing
        return _say(_INTERRUPTED, ExitCode.INTERRUPTED)
    return result if isinstance(result, int) else 0


# Groups that need neither side's software, in attestations/commands; imported when used.
_OWN_GROUPS = {
    "policy": "Lint, explain and simulate a disclosure policy, and begin from one.",
    "regulator": "Order, hold, countersign and confirm, as signed files.",
    "escrow": "Hold shares of class keys, and open what an auditor owes.",
    "identity": "Keys and identity files for parties that run no service.",
}
_SUMMARIES = {
    "lab": "Serve a model to auditors.",
    "auditor": "Audit a model with a hidden suite.",
    "demo": "Run a whole audit of a real language model on this machine.",
}


def _own_group(name: str) -> typer.Typer:
    loaded = import_module(f"attestations.commands.{name}").app
    assert isinstance(loaded, typer.Typer)  # noqa: S101 - our own module
    return loaded


def _load(entry: EntryPoint) -> typer.Typer:
    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        raise ConfigurationInvalid(
            f"`safeconduct {entry.name}` needs {error.name}: pip install 'safeconduct[{entry.name}]'"
        ) from None
    if not isinstance(loaded, typer.Typer):
        raise ConfigurationInvalid(f"the installed command group {entry.name} is not one of ours")
    return loaded


def _listed_only() -> typer.Typer:
    """Stand in the list of commands for a group that is not being used, without importing it."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(lambda: None)
    return group


def _say(message: str, code: ExitCode) -> int:
    typer.echo(f"safeconduct: {message}", err=True)
    return int(code)


def _os_error(error: OSError) -> str:
    if is_full(error):
        return FULL
    named = f": {shown(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    return f"{error.strerror or type(error).__name__}{named}"


if __name__ == "__main__":
    main()
