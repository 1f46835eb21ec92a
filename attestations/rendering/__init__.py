"""Pages for people: agreements, policies and release logs as self-contained HTML, from documents already read."""
