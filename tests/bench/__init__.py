"""`make bench`: speed and memory beside a baseline of the same run; measured, never asserted."""
