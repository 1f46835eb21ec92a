"""Whole terms to begin from: a policy, clauses with their wording, and hints for the scope, for usual engagements."""
