"""Version 1 of the wire; written by `make proto`, never by hand."""
