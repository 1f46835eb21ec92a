"""Elicitation as far as it is judged: what the log says of DEV and packs, paired figures, and what may be claimed."""
