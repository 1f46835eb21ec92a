"""The OpenAI-compatible server that a scaffold in a sandbox finds at 127.0.0.1:8080."""
