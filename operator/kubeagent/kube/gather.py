"""The I/O loop around the sans-io planner: it asks what to read, we read it, round by round, until it wants no more.

The reads of a round run side by side, within bounds. Whatever happens to one read is a fact that the planner is told;
nothing stops the whole but its own time limit, and then there is still evidence: all that was read until then.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from kubeagent.diagnosis.gathering import Gathering
from kubeagent.errors import ClusterError, Forbidden, NotFound, Unauthorized, UnknownKind
from kubeagent.kube.port import Reader
from kubeagent.protocol.evidence import Evidence
from kubeagent.protocol.reads import Get, List, Log, Read

CONCURRENCY: Final = 12
TIMEOUT: Final = timedelta(seconds=20)
READ_TIMEOUT: Final = 10.0


async def gather(
    reader: Reader,
    gathering: Gathering,
    *,
    now: datetime,
    concurrency: int = CONCURRENCY,
    timeout: timedelta = TIMEOUT,
    cluster_id: str = "",
    cluster_uid: str = "",
    kubernetes_version: str = "",
) -> Evidence:
    """The evidence for one target."""
    slots = asyncio.Semaphore(concurrency)
    waiting: set[Read] = set()
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            await _rounds(reader, gathering, slots, waiting)
    except TimeoutError:
        for read in waiting:
            gathering.refused(read, "Timeout", f"not read within {timeout.total_seconds():g} s")
    return await asyncio.to_thread(
        gathering.evidence,
        now,
        cluster_id=cluster_id,
        cluster_uid=cluster_uid,
        kubernetes_version=kubernetes_version,
    )


async def _rounds(reader: Reader, gathering: Gathering, slots: asyncio.Semaphore, waiting: set[Read]) -> None:
    while wanted := gathering.wanted():
        waiting.update(wanted)
        async with asyncio.TaskGroup() as group:
            for read in wanted:
                group.create_task(_answer(reader, gathering, read, slots, waiting))


async def _answer(
    reader: Reader, gathering: Gathering, read: Read, slots: asyncio.Semaphore, waiting: set[Read]
) -> None:
    async with slots:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                await _perform(reader, gathering, read)
        except TimeoutError:
            gathering.refused(read, "Timeout", f"no answer within {READ_TIMEOUT:g} s")
        except NotFound:
            gathering.missing(read)
        except (ClusterError, UnknownKind) as exc:
            gathering.refused(read, _reason(exc), exc.message)
    waiting.discard(read)


async def _perform(reader: Reader, gathering: Gathering, read: Read) -> None:
    match read:
        case Get():
            gathering.found(read, await reader.get(read))
        case List():
            page = await reader.list(read)
            gathering.found(read, page.objects, page.complete)
        case Log():
            gathering.found(read, await reader.log(read))


def _reason(exc: Exception) -> str:
    """The word of `Refusal` for an error."""
    match exc:
        case Forbidden() | Unauthorized():
            return "Forbidden"
        case UnknownKind():
            return "NotSupported"
        case _:
            return "Unavailable"
