"""gRPC in, use case, gRPC out; one servicer a file, and nothing decided here."""
