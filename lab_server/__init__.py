"""The lab: serves a model to auditors inside agreed limits and signs what happens."""
