"""Waiting for a condition, with an end: no wait in the test cluster is without a time limit."""

import time
from collections.abc import Callable

from .errors import ClusterError


def wait_for(condition: Callable[[], bool], seconds: float, otherwise: Callable[[], str], every: float = 0.05) -> None:
    """Return once the condition holds; after so many seconds raise the error that `otherwise` words."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            raise ClusterError(otherwise())
        time.sleep(every)
