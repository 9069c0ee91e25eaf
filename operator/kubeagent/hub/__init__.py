"""The operator: watches the four kinds, asks agents over the bus, judges what they send, and writes it into status."""
