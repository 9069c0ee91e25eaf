"""The hub's decisions, pure: from what was observed, and the time, to the next step and the next status."""
