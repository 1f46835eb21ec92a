"""Escrow of class keys: verifiable sharing, what holders check and sign, and how a quorum opens a class."""
