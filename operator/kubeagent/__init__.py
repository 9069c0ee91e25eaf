"""KubeAgent: says why a workload is broken, with evidence, and takes a fix back if it did not help."""

__version__ = "0.1.0"
