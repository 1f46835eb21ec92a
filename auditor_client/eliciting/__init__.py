"""The auditor's part in elicitation: DEV disclosed, arms asked there, the best one chosen, TEST begun."""
