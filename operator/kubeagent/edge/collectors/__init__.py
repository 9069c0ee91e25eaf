"""What the agent reads of its cluster."""
