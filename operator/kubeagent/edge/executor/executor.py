"""One command to one result: parse, check that it is for us and still wanted, read, answer.

Whatever happens, there is an answer with a code of the error tree; nothing that a command says can raise out of here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import structlog

from kubeagent.edge.collectors.evidence import collect
from kubeagent.edge.executor.render import render
from kubeagent.edge.identity import Identity
from kubeagent.errors import BusError, CommandDenied, IdentityConflict, KubeAgentError, NotFound
from kubeagent.kube.port import Object, Reader
from kubeagent.protocol.commands import GatherEvidence, Operation, PerformReads, parse
from kubeagent.protocol.durations import format_duration
from kubeagent.protocol.messages import Command, CommandResult
from kubeagent.protocol.reads import Get, List, Log, Read

log = structlog.get_logger()

Clock = Callable[[], datetime]

GRACE: Final = timedelta(seconds=2)
"""Gathering stops by itself at the command's timeout with what it has; only a hang is cut, this much later."""


class Told(NamedTuple):
    """What the executor needs to know besides the command."""

    identity: Identity
    kubernetes_version: str
    hub_ahead: timedelta = timedelta(0)


class Executor:
    """Executes commands against one cluster."""

    def __init__(self, reader: Reader, told: Callable[[], Told], now: Clock) -> None:
        self._reader = reader
        self._told = told
        self._now = now

    async def execute(self, command: Command, cluster_uid: str, parent: str) -> CommandResult:
        """The result of a command. `cluster_uid` is the one that the command is meant for, "" if it does not say."""
        started = self._now()
        try:
            self._check(command, cluster_uid)
            operation = parse(command)
            async with asyncio.timeout((operation.timeout + GRACE).total_seconds()):
                result = await self._perform(command, operation, parent)
        except _Expired as exc:
            result = self._failure(command, "expired", exc.message, exc.code)
        except (CommandDenied, IdentityConflict) as exc:
            layer = f"{exc.layer}: " if isinstance(exc, CommandDenied) else ""
            log.warning("a command was denied", command=command.id, reason=layer + exc.message)
            result = self._failure(command, "denied", layer + exc.message, exc.code)
        except KubeAgentError as exc:
            result = self._failure(command, "error", exc.message, exc.code)
        except TimeoutError:
            result = self._failure(command, "error", f"not done within {command.timeout}", "KA-TIMEOUT")
        except Exception as exc:
            log.exception("a command failed", command=command.id)
            result = self._failure(command, "error", f"{type(exc).__name__} in the agent", KubeAgentError.code)
        return msgspec.structs.replace(result, duration=format_duration(self._now() - started), timestamp=self._now())

    def _check(self, command: Command, cluster_uid: str) -> None:
        told = self._told()
        own = told.identity.cluster_uid
        wanted = command.cluster_uid or cluster_uid
        if wanted and own and wanted != own:
            raise IdentityConflict(f"this is cluster {own}, the command is for {wanted[:64]}")
        if command.expires_at is not None and command.expires_at <= self._now() + told.hub_ahead:  # by the hub's clock
            raise _Expired(f"expired at {command.expires_at.isoformat()}")

    async def _perform(self, command: Command, operation: Operation, parent: str) -> CommandResult:
        result = self._result(command, "success")
        match operation:
            case GatherEvidence(request=request, timeout=timeout):
                told = self._told()
                evidence = await collect(
                    self._reader,
                    request,
                    identity=told.identity,
                    kubernetes_version=told.kubernetes_version,
                    now=self._now(),
                    timeout=timeout,
                    parent=parent,
                )
                return msgspec.structs.replace(result, evidence=evidence)
            case PerformReads():
                answers = await asyncio.gather(*(self._read(read, operation.missing_ok) for read in operation.reads))
                return msgspec.structs.replace(
                    result, output=await asyncio.to_thread(render, answers, operation.output)
                )

    async def _read(self, read: Read, missing_ok: bool) -> list[Object] | str:
        try:
            match read:
                case Get():
                    return [await self._reader.get(read)]
                case List():
                    return (await self._reader.list(read)).objects
                case Log():
                    return await self._reader.log(read)
        except NotFound:
            if missing_ok:
                return []
            raise

    def _failure(self, command: Command, status: str, error: str, code: str) -> CommandResult:
        return msgspec.structs.replace(self._result(command, status), error=error, code=code)

    def _result(self, command: Command, status: str) -> CommandResult:
        identity = self._told().identity
        return CommandResult(
            command_id=command.id, cluster_id=identity.cluster_id, status=status, cluster_uid=identity.cluster_uid
        )


class _Expired(BusError):
    """The command came too late."""

    code = "KA-EXPIRED"
