"""The worker: its own process, the only one that holds HPKE keys and the only place where a prompt is plain."""
