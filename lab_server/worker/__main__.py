"""Runs the worker process."""

from __future__ import annotations

from lab_server.worker.app import main

main()
