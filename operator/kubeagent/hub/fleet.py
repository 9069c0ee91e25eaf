"""What the hub has heard of every cluster since it started: registrations, heartbeats, foreign claims.

In memory, because status holds what must survive. A heartbeat's age is measured on one clock: the hub's for those that
arrive now, the server's, shifted by the difference of the two, for one that was replayed from the stream.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from kubeagent.hub.reconcile.cluster import Beat, Claim, Contact, Hearing
from kubeagent.protocol.messages import AgentInfo

_NOTHING = Contact()


class Fleet:
    """The contacts by cluster name."""

    def __init__(self, now: datetime, timeout: timedelta) -> None:
        self._contacts: dict[str, Contact] = {}
        self._hearing = Hearing(connected=False, since=now, timeout=timeout)
        self._skew = timedelta(0)
        self._speaking: set[str] = set()

    @property
    def hearing(self) -> Hearing:
        """Whether anything can be heard at all."""
        return self._hearing

    def contact(self, name: str) -> Contact:
        """What was heard of the cluster."""
        return self._contacts.get(name, _NOTHING)

    def connection(self, *, connected: bool, now: datetime) -> None:
        """The link to NATS changed."""
        if connected != self._hearing.connected:
            self._hearing = replace(self._hearing, connected=connected, since=now)

    def reconnected(self, now: datetime) -> None:
        """There is a new connection, though its loss may never have been noticed."""
        self._hearing = replace(self._hearing, connected=True, since=now)
        self._speaking.clear()

    def registered(self, info: AgentInfo) -> None:
        """An agent registered and was not refused."""
        self._contacts[info.cluster_id] = replace(self.contact(info.cluster_id), registered=info)

    def beat(self, info: AgentInfo, status: str, received: datetime | None, now: datetime) -> Contact:
        """A heartbeat came; returns what was known before."""
        before = self.contact(info.cluster_id)
        heard = self._heard(info.cluster_id, received, now)
        beat = Beat(received or now, heard, info, status)
        self._contacts[info.cluster_id] = replace(before, beat=beat)
        return before

    def claimed(self, name: str, uid: str, now: datetime) -> None:
        """A foreign cluster used the name."""
        self._contacts[name] = replace(self.contact(name), claim=Claim(uid, now))

    def forget(self, name: str) -> None:
        """The ManagedCluster is gone."""
        self._contacts.pop(name, None)
        self._speaking.discard(name)

    def _heard(self, name: str, received: datetime | None, now: datetime) -> datetime:
        """A cluster's first one since the hub listens may be a replay; later ones arrive as they are sent."""
        if received is None:
            return now
        if name not in self._speaking:
            self._speaking.add(name)
            return min(now, received + self._skew)
        self._skew = now - received
        return now
