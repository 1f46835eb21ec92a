"""The lab's commands beside the gateway: arguments in, one decision, a few lines out."""
