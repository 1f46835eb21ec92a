"""Verification: numbered steps from an evidence file and a trust file to a report; no network, no clock, no I/O."""
