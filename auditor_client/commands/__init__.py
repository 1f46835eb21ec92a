"""The auditor's commands: arguments in, one call, a few lines out."""
