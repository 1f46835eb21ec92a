"""Who, if anyone, broke the protocol: decided offline from signed bytes alone (`docs/spec/adjudication.md`)."""
