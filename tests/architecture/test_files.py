"""Every file is small, says what lives in it, and would mean the same on another machine."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.tree import files, python_files, relative

MAX_LINES = 400

# Where this repository happens to be checked out or built is nobody's business; each pattern is one way it leaks.
MACHINE = {
    "a home folder": re.compile(r"(?<![\w.])/(?:home|Users)/[a-z][\w.-]*/"),
    "root's home folder": re.compile(r"(?<![\w.])/root/[\w.]"),
    "a Windows home folder": re.compile(r"[A-Z]:\\+Users\\+\w"),
    "a package index": re.compile(r"\bhttps?://[^\s\"'<>]*/simple(?:/|\b)"),
    "an index option": re.compile(r"^\s*--(?:extra-)?index-url|^\s*--find-links|^\s*--trusted-host", re.MULTILINE),
    "a local package folder": re.compile(r"\bfile:///\w"),
    "a private address": re.compile(r"\bhttps?://(?:10\.\d+|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+"),
}


def leaks(text: str) -> list[str]:
    """The ways in which a text names one machine."""
    return [name for name, pattern in MACHINE.items() if pattern.search(text)]


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("see " + "/ho" + "me/someone/notes", "a home folder"),
        ("see " + "/ro" + "ot/.cache", "root's home folder"),
        ("C:" + "\\Users\\someone", "a Windows home folder"),
        ("https://mirror.example" + "/simple/", "a package index"),
        ("--index" + "-url somewhere", "an index option"),
        ("fil" + "e:///opt/wheels", "a local package folder"),
        ("http://10" + ".0.0.1/", "a private address"),
    ],
)
def test_each_way_of_naming_a_machine_is_recognised(text: str, leak: str) -> None:
    assert leak in leaks(text)


def test_no_file_names_one_machine() -> None:
    found: dict[str, list[str]] = {}
    for path in files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # binary: generated from text that is looked at
        if names := leaks(text):
            found[relative(path)] = names
    assert found == {}


def test_every_python_file_is_short_enough_to_hold_one_idea() -> None:
    lengths = {relative(path): len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines >= MAX_LINES} == {}


def test_every_module_says_what_lives_there() -> None:
    silent = [
        relative(path)
        for path in python_files()
        if (text := path.read_text("utf-8")).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_no_test_replaces_our_own_parts_with_mocks() -> None:
    mocking = [relative(path) for path in python_files() if imports_mock(ast.parse(path.read_text("utf-8")))]
    assert mocking == []


def imports_mock(tree: ast.Module) -> bool:
    """Whether a module imports `unittest.mock` or `mock`, in any spelling."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(name.name in {"unittest.mock", "mock"} for name in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (
            node.module in {"unittest.mock", "mock"}
            or (node.module == "unittest" and any(name.name == "mock" for name in node.names))
        ):
            return True
    return False


@pytest.mark.parametrize(
    "line", ["import unittest.mock", "from unittest import mock", "from unittest.mock import patch"]
)
def test_each_spelling_of_a_mock_is_recognised(line: str) -> None:
    assert imports_mock(ast.parse(line))
