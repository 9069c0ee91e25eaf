"""Carries out commands: parse, check, read, answer. Only the agent's loop may call it."""
