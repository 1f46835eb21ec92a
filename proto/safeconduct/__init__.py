"""The generated code of the wire; written by `make proto`, never by hand."""
