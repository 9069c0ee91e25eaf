"""The command loop: from a delivery to its acknowledgement, which comes only after the result is stored.

A command is delivered at least once and run at most once by this process: what is delivered again while it runs is put
off, and what was run already is answered with the stored result. Reads may be repeated after a restart; they only read.

Commands are taken once the hub has answered our registration and for as long as it does not reject us: an agent that
runs under another cluster's name would otherwise take that cluster's commands away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from kubeagent.bus import streams
from kubeagent.bus.port import Bus, Delivery, Incoming
from kubeagent.edge.collectors.evidence import shortened
from kubeagent.edge.executor.executor import Executor
from kubeagent.edge.executor.memory import Memory, Packed
from kubeagent.edge.health import AgentState
from kubeagent.errors import BadMessage, BusError, MessageTooLarge
from kubeagent.protocol import messages
from kubeagent.protocol.commands import is_command_id
from kubeagent.protocol.encoding import pack, unpack
from kubeagent.protocol.messages import Command, CommandResult
from kubeagent.protocol.subjects import subject
from kubeagent.telemetry.logs import may_say
from kubeagent.telemetry.tracing import span

log = structlog.get_logger()

AT_ONCE: Final = 4
FINISH: Final = 8.0
STILL_WORKING: Final = streams.ACK_WAIT.total_seconds() / 3
LATER: Final = timedelta(seconds=5)
_LOG_LENGTHS: Final = (8192, 1024, 0)


class CommandLoop:
    """Takes commands off the cluster's queue until it is cancelled."""

    def __init__(self, bus: Bus, executor: Executor, state: AgentState) -> None:
        self._bus = bus
        self._executor = executor
        self._state = state
        self._memory = Memory()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Commands run side by side; when cancelled, those under way are finished first, within FINISH seconds."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            await self._state.admitted.wait()
            deliveries = self._bus.consume(streams.COMMANDS, self._state.identity.cluster_id)
            while True:
                await self._slots.acquire()  # first a free hand, then a command: one that waits here is nobody's
                delivery = await anext(deliveries)
                task = asyncio.get_running_loop().create_task(self._take(delivery))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await self._state.admitted.wait()
        finally:
            if under_way:
                await asyncio.wait(under_way, timeout=FINISH)
            for task in under_way:
                task.cancel()

    async def _take(self, delivery: Delivery) -> None:
        self._state.commands_running += 1
        try:
            if self._state.admitted.is_set():
                await self.handle(delivery)
            else:  # rejected since we asked for it
                await delivery.retry(timedelta(0))
        except BusError as exc:  # not acknowledged: it comes again
            log.warning("a command's result waits for NATS", reason=exc.message)
        except Exception:
            log.exception("a command could not be handled", subject=delivery.message.subject)
        finally:
            self._state.commands_running -= 1
            self._slots.release()

    async def handle(self, delivery: Delivery) -> None:
        """Answer one delivery. Raises BusError if the answer could not be stored."""
        try:
            command = _decoded(delivery.message)
        except BadMessage as exc:
            if may_say("garbage"):
                log.warning("a message that is no command was dropped", reason=exc.message)
            self._state.count("garbage")
            await delivery.drop()
            return
        if command.id in self._memory.running:
            await delivery.retry(LATER)
            return
        result = self._memory.get(command.id) or await self._run(command, delivery)
        await self._publish(command.id, result)
        await delivery.ack()

    async def _run(self, command: Command, delivery: Delivery) -> Packed:
        headers = delivery.message.headers
        self._memory.running.add(command.id)
        try:
            async with _kept(delivery):
                with span("agent.command", parent=headers.get(messages.HEADER_TRACE), command=command.id) as trace:
                    uid = headers.get(messages.HEADER_CLUSTER_UID, "")
                    result = await self._executor.execute(command, uid, trace.traceparent)
                    trace.set(status=result.status)
                    packed = await asyncio.to_thread(_packed, result, headers.get(messages.HEADER_TRACE, ""))
            self._state.count(result.status)
            self._memory.put(command.id, packed)
            return packed
        finally:
            self._memory.running.discard(command.id)

    async def _publish(self, command_id: str, result: Packed) -> None:
        identity = self._state.identity
        headers = {
            messages.HEADER_PROTOCOL: str(messages.PROTOCOL),
            messages.HEADER_CLUSTER_UID: identity.cluster_uid,
            messages.HEADER_ENCODING: result.encoding,
            messages.HEADER_TRACE: result.traceparent,
        }
        with span("agent.publish", parent=result.traceparent, bytes=len(result.body)):
            await self._bus.publish(
                subject("result", identity.cluster_id),
                result.body,
                headers={name: value for name, value in headers.items() if value},
                message_id=messages.result_id(command_id),
            )


def _decoded(message: Incoming) -> Command:
    command = messages.decode(unpack(message.data, message.headers.get(messages.HEADER_ENCODING, "")), Command)
    if not is_command_id(command.id):  # nobody could tell what an answer to it answers
        raise BadMessage(f"{command.id[:80]!r} is not a command id")
    return command


def _packed(result: CommandResult, traceparent: str) -> Packed:
    """The result as it goes out: with shorter logs if it is too large, and as an error if it still is."""
    problem = ""
    for each in _ever_smaller(result):
        try:
            return Packed(*pack(messages.encode(each)), traceparent)
        except MessageTooLarge as exc:
            problem = exc.message
    failed = msgspec.structs.replace(
        result, status="error", error=problem, code=MessageTooLarge.code, output="", evidence=None
    )
    return Packed(messages.encode(failed), "", traceparent)


def _ever_smaller(result: CommandResult) -> Iterator[CommandResult]:
    yield result
    if result.evidence is not None and result.evidence.logs:
        for length in _LOG_LENGTHS:
            yield msgspec.structs.replace(result, evidence=shortened(result.evidence, length))


@asynccontextmanager
async def _kept(delivery: Delivery) -> AsyncIterator[None]:
    """Tell the bus every few seconds that the command is being worked on."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(STILL_WORKING)
            with contextlib.suppress(BusError):
                await delivery.working()

    telling = asyncio.get_running_loop().create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
