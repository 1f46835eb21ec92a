"""Runs the auditor's commands without the root command."""

from __future__ import annotations

from auditor_client.cli import main

if __name__ == "__main__":
    main()
