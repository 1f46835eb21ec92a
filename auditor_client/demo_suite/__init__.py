"""The demo's suite, `proxies-demo`, as package data: harmless questions in the place of a real hidden suite."""
