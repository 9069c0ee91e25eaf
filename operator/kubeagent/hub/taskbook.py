"""The tasks that the hub knows: by uid, because that is what a reply names; open ones with their last known state.

A finished task is remembered by name only: its status may be large and is never needed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubeagent.resources.base import API_VERSION
from kubeagent.resources.diagnosistask import LOCAL, DiagnosisTask
from kubeagent.resources.refs import ObjectKey


@dataclass(slots=True)
class Entry:
    """One task. `task` is its last known state while it is open; `lock` makes every look at it exclusive.

    `sent` is when this process last sent a command for it: only a metric needs it.
    """

    uid: str
    key: ObjectKey
    cluster: str
    task: DiagnosisTask | None = None
    finished: bool = False
    version: str = ""
    sent: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def remember(self, task: DiagnosisTask) -> None:
        """This is how the task is now."""
        self.version = task.metadata.resource_version
        self.finished = task.finished
        self.task = None if task.finished else task

    def knows_newer(self, version: str) -> bool:
        """Whether what is remembered is at least as new as that version of the object."""
        if self.version == version:
            return True
        return self.version.isdigit() and version.isdigit() and int(self.version) > int(version)


class Taskbook:
    """Entries by uid."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def entry(self, body: Mapping[str, Any]) -> Entry:
        """The entry of the task in a body, new if need be."""
        uid = str(body["metadata"].get("uid", ""))
        if uid not in self._entries:
            self._entries[uid] = Entry(uid, _key(body["metadata"]), _cluster(body))
        return self._entries[uid]

    def get(self, uid: str) -> Entry | None:
        """The entry of that uid."""
        return self._entries.get(uid)

    def forget(self, uid: str) -> None:
        """The task is gone."""
        self._entries.pop(uid, None)

    def open_in(self, cluster: str) -> Iterator[Entry]:
        """The unfinished tasks of a cluster."""
        return (entry for entry in self._entries.values() if entry.cluster == cluster and not entry.finished)

    def all_open(self) -> Iterator[Entry]:
        """Every unfinished task."""
        return (entry for entry in self._entries.values() if not entry.finished)


def is_settled(body: Mapping[str, Any]) -> bool:
    """Whether the task needs nothing any more, told without parsing what may be 200 KiB."""
    spec, status, metadata = body.get("spec") or {}, body.get("status") or {}, body["metadata"]
    current = status.get("observedGeneration") == metadata.get("generation")
    return bool(status.get("completionTime")) and current and spec.get("ttlSecondsAfterFinished") is None


def _key(metadata: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(API_VERSION, "DiagnosisTask", str(metadata.get("namespace", "")), str(metadata["name"]))


def _cluster(body: Mapping[str, Any]) -> str:
    spec = body.get("spec")
    return str(spec.get("cluster") or LOCAL) if isinstance(spec, Mapping) else LOCAL
