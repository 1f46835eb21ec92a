"""Inspect: a model provider, tasks as hidden suites, and released transcripts as its logs."""
