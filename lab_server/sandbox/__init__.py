"""Where foreign programs run beside a model: what a sandbox promises, and the providers that keep it."""
