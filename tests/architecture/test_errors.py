"""Every error of the tree can be shown to a person, sent over the wire and turned into an exit code."""

from __future__ import annotations

import re

import pytest

import attestations.errors as published
from attestations.errors import PRECEDENCE, ExitCode, SafeconductError
from tests.architecture.tree import python_files, relative


def descendants(base: type[SafeconductError]) -> list[type[SafeconductError]]:
    """Every class below one, at any depth."""
    return [found for child in base.__subclasses__() for found in (child, *descendants(child))]


ERRORS = [cls for cls in descendants(SafeconductError) if cls.__module__.startswith("attestations.errors")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
class TestError:
    def test_has_an_exit_code_with_a_place_in_the_order(self, error: type[SafeconductError]) -> None:
        assert isinstance(error.exit_code, ExitCode)
        assert error.exit_code in PRECEDENCE

    def test_is_explained_in_one_sentence(self, error: type[SafeconductError]) -> None:
        sentence = error.__dict__.get("__doc__") or ""
        assert re.fullmatch(r"\S[^\n]*(?:\n[^\n]+)?[.!]\s*", sentence), f"{error.__name__}: {sentence!r}"

    def test_is_imported_from_the_package(self, error: type[SafeconductError]) -> None:
        assert error.__name__ in published.__all__
        assert error is getattr(published, error.__name__)


def test_no_exit_code_appears_twice_in_the_order() -> None:
    assert len(set(PRECEDENCE)) == len(PRECEDENCE)


def test_success_is_no_failure() -> None:
    assert ExitCode.OK not in PRECEDENCE


def test_errors_are_defined_in_one_place() -> None:
    bases = {"SafeconductError", "PeerError", "EvidenceError", "RefusedError", "SetupError"}
    definition = re.compile(rf"^class \w+\((?:{'|'.join(bases)})\)", re.MULTILINE)
    elsewhere = [
        relative(path)
        for path in python_files()
        if definition.search(path.read_text("utf-8")) and not relative(path).startswith("attestations/errors/")
    ]
    assert elsewhere == []
