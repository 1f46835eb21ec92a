"""What lets tools that auditors know already ask a lab's model through the exchange."""
