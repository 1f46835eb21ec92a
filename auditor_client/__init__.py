"""The auditor's side: hidden suites, campaigns, grading, sealed packages, staged release."""
