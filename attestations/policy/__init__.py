"""The disclosure policy: its words, its reference semantics and the linter both sides run before they sign."""
