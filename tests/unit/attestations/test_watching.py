"""The bar for work that takes a while: on a terminal only, and gone when the work is done."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from attestations.commands.watching import watched


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_is_shown_a_bar_that_looks_at_a_file_or_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    with watched() as watch:
        assert watch is None
    assert said.getvalue() == ""


def test_a_bar_says_what_is_done_on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = _Terminal()
    monkeypatch.setattr(sys, "stderr", said)
    small, large = tmp_path / "small.zip", tmp_path / "large.zip"
    small.write_bytes(bytes(9))
    with large.open("wb") as file:
        file.truncate(9 << 20)  # a hole, which takes no room
    with watched(small) as watch:
        assert watch is None
    with watched(large) as watch:
        assert watch is not None
        watch("log.jsonl", 3, 4)
    assert "log.jsonl" in said.getvalue()
    assert "75%" in said.getvalue()
