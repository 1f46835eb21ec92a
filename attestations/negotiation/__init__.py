"""How two sides come to one agreement: rules over verified messages, with time and keys as arguments."""
