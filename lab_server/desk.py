"""The lab's folder opened for a person's decision, as every command beside the gateway opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lab_server.clock import SystemClock
from lab_server.deciding import Desk
from lab_server.home import Home
from lab_server.reading import reading_store
from lab_server.settings import load_settings


@asynccontextmanager
async def opened_desk(path: Path) -> AsyncIterator[Desk]:
    """Open a lab's folder for a while.

    Raises:
        FileUnusable, ConfigurationInvalid, KeyUnacceptable: it is not one, or nothing has been served from it yet.
    """
    home = Home(path)
    settings, keys = load_settings(home.settings), home.read_keys()
    async with reading_store(home) as store:
        yield Desk(home, settings, keys, store, SystemClock())
