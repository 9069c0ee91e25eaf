"""The edge agent: it connects outward only, reads only, and answers typed commands with redacted evidence."""
