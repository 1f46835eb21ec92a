"""Every document of the protocol, each in the one file that says what it is for."""
