"""Exploratory statistics on scipy and statsmodels: computed by the auditor, recomputed by nobody, marked as such.

What is attested is computed in `attestations` as exact decimals; nothing here is signed as a figure
(`docs/decisions/0032-figures-are-exact-and-exploration-is-not.md`).
"""
