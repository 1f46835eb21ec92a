"""What every test may rely on: repeatable property tests, and where the repository and its shared data are."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# Some children have no room on their disk: a module compiled there would be cut short, for all who come after.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# Two busy cores make any per-example deadline a lottery; a hung example is caught by the timeout of the test.
settings.register_profile("repository", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repository")


def pytest_collection_finish() -> None:
    """Look for cycles among what tests make, and not again and again among 4,000 tests and all they import."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _asyncio_stays_as_it_is() -> Iterator[None]:
    """No test may make Inspect patch asyncio: every later `asyncio.run` of the process would leave its loop open."""
    yield
    assert not hasattr(asyncio, "_nest_patched"), "a synchronous function of Inspect was called in an event loop"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout that holds the public vectors and data; skips where it is absent."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared folder beside the checkout")
    return folder
