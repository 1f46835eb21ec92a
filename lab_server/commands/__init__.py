"""The lab's commands that are more than a few lines, one file an idea."""
