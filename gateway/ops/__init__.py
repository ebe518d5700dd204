"""What the people who run the gateway see of it: its log."""
