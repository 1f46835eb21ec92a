"""The lab over gRPC: the channel, the calls and the errors."""
