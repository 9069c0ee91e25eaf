"""Whether this hub is the one that works: kopf decides by its peering object, and this reads the same object.

kopf pauses its watches in a hub that is not the first; results, too, must then be left to the other one, and kopf
tells nobody. Two hubs that both believe to lead for some seconds do no harm: every step is idempotent and every
write conditional. This only saves work and detours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from kubeagent.errors import KubeAgentError
from kubeagent.hub.clock import Clock
from kubeagent.hub.store import Kube, read
from kubeagent.resources.refs import ObjectKey

log = structlog.get_logger()

PEERING: Final = "kubeagent-hub"
LOOK_EVERY: Final = 1.0
_KEY: Final = ObjectKey("kopf.dev/v1", "ClusterKopfPeering", "", PEERING)
_LIFETIME: Final = 60


class Leadership:
    """A flag with two sides to wait for; without peering it is up from the start."""

    def __init__(self, identity: str, priority: int, *, peering: bool) -> None:
        self.identity = identity
        self.priority = priority
        self._peering = peering
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._set(not peering)

    @property
    def leads(self) -> bool:
        """Whether this hub works."""
        return self._up.is_set()

    async def gained(self) -> None:
        """Wait until this hub leads."""
        await self._up.wait()

    async def lost(self) -> None:
        """Wait until another one leads."""
        await self._down.wait()

    async def follow(self, kube: Kube, clock: Clock) -> None:
        """Look at the peering object, for ever."""
        while self._peering:
            await self.look(kube, clock())
            await asyncio.sleep(LOOK_EVERY)
        await asyncio.Event().wait()

    async def look(self, kube: Kube, now: datetime) -> None:
        """Look once; what cannot be read changes nothing."""
        try:
            peers = (await read(kube, _KEY)).get("status") or {}
        except KubeAgentError as exc:
            log.debug("the peering object cannot be read", code=exc.code, reason=exc.message)
            return
        leads = is_first(peers, self.identity, self.priority, now)
        if leads != self.leads:
            log.info("this hub leads" if leads else "another hub leads; this one stands by", identity=self.identity)
            self._set(leads)

    def _set(self, leads: bool) -> None:
        self._up.set() if leads else self._up.clear()
        self._down.clear() if leads else self._down.set()


def is_first(peers: Mapping[str, Any], identity: str, priority: int, now: datetime) -> bool:
    """Whether no living peer has as high a priority, as kopf itself would judge."""
    others = (peer for name, peer in peers.items() if name != identity and isinstance(peer, Mapping))
    return not any(int(peer.get("priority") or 0) >= priority and _is_alive(peer, now) for peer in others)


def _is_alive(peer: Mapping[str, Any], now: datetime) -> bool:
    try:
        seen = datetime.fromisoformat(str(peer.get("lastseen", "")).replace("Z", "+00:00"))
    except ValueError:
        return False
    seen = seen if seen.tzinfo else seen.replace(tzinfo=now.tzinfo)
    return seen + timedelta(seconds=int(peer.get("lifetime") or _LIFETIME)) > now
