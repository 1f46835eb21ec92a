"""What happens around every call, outermost first: errors, logs, identity."""
