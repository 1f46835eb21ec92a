"""Suites people already have: readers of public formats, and what becomes of their items."""
