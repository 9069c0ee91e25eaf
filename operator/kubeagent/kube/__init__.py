"""The Kubernetes API: a port of typed reads and few writes, and its adapter over the official client."""
