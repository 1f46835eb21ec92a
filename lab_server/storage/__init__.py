"""Stores: one folder for each, sharing a contract suite and no code."""
