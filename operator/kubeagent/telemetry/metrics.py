"""Prometheus metrics: the seeds' names beside our own, with labels that stay few."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

DURATION_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

__all__ = ["DURATION_BUCKETS", "REGISTRY", "CollectorRegistry", "Counter", "Gauge", "Histogram", "exposition"]


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    """What /metrics answers."""
    return generate_latest(registry)
