"""The embedded store: one SQLite file and a folder of sealed packages."""

from __future__ import annotations

from lab_server.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
