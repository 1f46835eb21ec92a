"""What tests of boxes share: the image they run on and a folder their users can reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_server.sandbox.images import Images
from tests.support import sandboxes
from tests.support.sandboxes import folder_for, remove


@pytest.fixture
def box_folder() -> Iterator[Path]:
    made = folder_for(os.geteuid())
    yield made
    remove(made)


@pytest.fixture(scope="session")
def box_image() -> tuple[Images, str]:
    return sandboxes.image()[:2]
