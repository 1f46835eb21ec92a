"""Where the auditor's own memory is kept."""
