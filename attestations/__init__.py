"""The evidence kernel: what both sides and every verifier agree is evidence; pure values, no I/O."""
