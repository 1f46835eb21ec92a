"""lm-evaluation-harness: its tasks through the exchange."""
