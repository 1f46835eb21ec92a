"""Hidden suites: a folder of YAML and JSON lines that people write, and what becomes of it."""
