"""Logs, metrics and traces: a leaf that everything may use and that knows nothing of the rest."""
