"""The auditor's own agents, run beside the model in a sandbox at the lab."""
