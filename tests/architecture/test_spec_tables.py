"""The tables of the specification are those of the code, and every link in the documents leads somewhere.

`python -m tests.architecture.test_spec_tables` writes the two generated pages again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attestations import errors
from attestations.errors import EvidenceError, PeerError, RefusedError, SafeconductError, SetupError, reason_of
from attestations.states import DISCLOSURE, EXCHANGES, HOLDING, NEGOTIATION, PHASES

ROOT = Path(__file__).resolve().parents[2]
FAULTS: tuple[tuple[type[SafeconductError], str], ...] = (
    (PeerError, "peer"),
    (EvidenceError, "evidence"),
    (RefusedError, "refused"),
    (SetupError, "setup"),
)
_STATES_HEAD = """\
# States

Generated from `attestations/states.py`; a test compares them. What is not in a table is refused.
"""
_ERRORS_HEAD = """\
# Errors

Generated from `attestations/errors`; a test compares them. A failed call carries `google.rpc.ErrorInfo` with the
reason, the domain `safeconduct`, the fault (`peer`: the caller broke the protocol; `evidence`: what it sent does not
hold; `refused`: it may ask but not have; `setup`: the server cannot) and facts. Messages may change; reasons may not.
Neither ever holds content.

| Reason | Fault | Exit code | Meaning |
|---|---|---|---|
"""
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def states_page() -> str:
    parts = [_STATES_HEAD]
    tables: tuple[tuple[str, Mapping[Any, Mapping[Any, Any]]], ...] = (
        ("Negotiation", NEGOTIATION),
        ("Engagement", PHASES),
        ("Exchange", EXCHANGES),
        ("Disclosure of one class to one recipient", DISCLOSURE),
        ("Holds", HOLDING),
    )
    for title, table in tables:
        parts.append(f"\n## {title}\n\n| From | Event | To |\n|---|---|---|\n{_rows(table)}")
    return "".join(parts)


def _rows(table: Mapping[Any, Mapping[Any, Any]]) -> str:
    lines = []
    for state, moves in table.items():
        lines += [f"| {state.value} | {event.value} | {following.value} |\n" for event, following in moves.items()]
        if not moves:
            lines.append(f"| {state.value} | | (last) |\n")
    return "".join(lines)


def errors_page() -> str:
    lines = [_ERRORS_HEAD]
    kinds = [getattr(errors, name) for name in sorted(errors.__all__)]
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, SafeconductError):
            continue
        if kind in (SafeconductError, *(base for base, _ in FAULTS)):
            continue
        fault = next(name for base, name in FAULTS if issubclass(kind, base))
        meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| `{reason_of(kind)}` | {fault} | {int(kind.exit_code)} | {meaning} |\n")
    return "".join(lines)


def test_the_states_page_is_the_table_of_the_code() -> None:
    assert states_page() == (ROOT / "docs/spec/states.md").read_text()


def test_the_errors_page_is_the_tree_of_the_code() -> None:
    assert errors_page() == (ROOT / "docs/spec/errors.md").read_text()


def test_every_link_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in _LINK.findall(page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []
    assert len(pages) > 20


def test_every_page_the_code_names_exists() -> None:
    named = set()
    for folder in ("attestations", "lab_server", "auditor_client", "proto"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".proto"):
                named |= set(re.findall(r"docs/(?:spec|guides)/[a-z_-]+\.md", path.read_text()))

    assert sorted(page for page in named if not (ROOT / page).exists()) == []
    assert len(named) > 10


if __name__ == "__main__":
    (ROOT / "docs/spec/states.md").write_text(states_page())
    (ROOT / "docs/spec/errors.md").write_text(errors_page())
