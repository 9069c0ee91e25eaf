"""The hub as a process: settings, adapters, kopf around the Hub, and an end in good order.

kopf brings watching, peering and signals. Neither an API server nor a NATS that is down keeps the process from
starting: it waits for the one and says so, and works without the other as far as that goes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import secrets
import socket
from contextlib import AsyncExitStack
from typing import Final

import kopf
import structlog

from kubeagent.bus.nats import NatsBus
from kubeagent.diagnosis.verdict import judge
from kubeagent.errors import ConfigError, KubeAgentError
from kubeagent.hub import handlers
from kubeagent.hub.clock import utc_now
from kubeagent.hub.guard import Guard, NoGuard, ScopeGuard
from kubeagent.hub.hub import Hub
from kubeagent.hub.judging import Judging
from kubeagent.hub.leadership import PEERING, Leadership
from kubeagent.hub.server import Server
from kubeagent.hub.settings import HubSettings
from kubeagent.hub.store import Kube, read
from kubeagent.kube.client import connect
from kubeagent.protocol.redaction import redact_evidence
from kubeagent.resources.policies import POLICIES, SCOPE_POLICY
from kubeagent.resources.refs import ObjectKey
from kubeagent.telemetry import logs, tracing

log = structlog.get_logger()

COMPONENT: Final = "kubeagent-hub"
_API_PAUSE: Final = 3.0
_EXIT_SECONDS: Final = 25.0
_KUBE_SYSTEM: Final = ObjectKey("v1", "Namespace", "", "kube-system")


class App:
    """What the handlers find in kopf's memo: the hub, once it is started."""

    def __init__(self, settings: HubSettings) -> None:
        self.settings = settings
        self.leadership = Leadership(_identity(), random.randint(1, 32_767), peering=settings.peering)
        self._stack = AsyncExitStack()
        self._hub: Hub | None = None

    @property
    def hub(self) -> Hub:
        """The running hub."""
        if self._hub is None:
            raise KubeAgentError("the hub was not started yet")
        return self._hub

    async def start(self) -> None:
        """Open the adapters and begin to work; waits for the API server and not for NATS."""
        kube = await self._stack.enter_async_context(connect())
        own_uid = await _own_uid(kube)
        bus = await self._stack.enter_async_context(NatsBus(self.settings.bus, COMPONENT, hub=True))
        self._hub = Hub(
            self.settings,
            kube,
            bus,
            own_uid,
            self._guard(kube),
            Judging(judge, redact_evidence),
            self.leadership,
        )
        await self._serve()
        self._hub.start()
        self._stack.push_async_callback(self._hub.stop)
        gc.freeze()
        log.info("the hub has started", cluster_uid=own_uid, peering=self.settings.peering)

    async def stop(self) -> None:
        """End in the reverse order."""
        await self._stack.aclose()
        tracing.shutdown()

    def _guard(self, kube: Kube) -> Guard:
        if not self.settings.scope_guard:
            return NoGuard()
        return ScopeGuard(kube, POLICIES, SCOPE_POLICY, utc_now)

    async def _serve(self) -> None:
        if not self.settings.metrics_port:
            return
        server = Server(self.hub.metrics.registry, lambda: "" if self.hub.bus.connected else "no connection to NATS")
        await server.start(self.settings.health_host, self.settings.metrics_port)
        self._stack.push_async_callback(server.stop)


def run(settings: HubSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    logs.configure("hub", settings.log_level)
    if settings.log_level != "debug":  # one line per event of every object, and per probe
        for name in ("kopf.objects", "kopf.activities"):
            logging.getLogger(name).setLevel(logging.WARNING)
    tracing.configure(COMPONENT)
    try:
        asyncio.run(operate(settings))
    except ConfigError as exc:
        log.error("the hub cannot start", code=exc.code, reason=exc.message)
        return 2
    except asyncio.CancelledError:
        return 0
    except Exception:
        log.exception("the hub ended by itself")
        return 1
    return 0


async def operate(settings: HubSettings, stop: asyncio.Event | None = None) -> None:
    """kopf with our handlers around one hub, until a signal or `stop`."""
    async with connect():
        pass  # a kubeconfig that cannot be used is said here, in one line: kopf would try it again and again
    app = App(settings)
    port = settings.health_port
    await kopf.operator(
        registry=handlers.registry,
        settings=operator_settings(settings, app.leadership.priority),
        memo=kopf.Memo(app=app),
        identity=app.leadership.identity,  # type: ignore[arg-type]
        clusterwide=True,
        liveness_endpoint=f"http://{settings.health_host}:{port}/healthz" if port else None,
        stop_flag=stop,
    )


def operator_settings(settings: HubSettings, priority: int) -> kopf.OperatorSettings:
    """kopf's settings: no finalizer, no annotation, no posted log, and its bookkeeping where only we can write."""
    chosen = kopf.OperatorSettings()
    chosen.persistence.finalizer = "kubeagent.io/hub"
    chosen.persistence.progress_storage = kopf.StatusProgressStorage(name="kubeagent-hub")
    chosen.persistence.diffbase_storage = kopf.StatusDiffBaseStorage(name="kubeagent-hub")
    chosen.peering.name = PEERING
    chosen.peering.mandatory = settings.peering
    chosen.peering.standalone = not settings.peering
    chosen.peering.priority = priority
    chosen.scanning.disabled = True
    chosen.watching.chunk_size = 500
    chosen.networking.connect_timeout = 5
    chosen.networking.request_timeout = 30
    chosen.posting.enabled = False
    chosen.posting.reporting_component = COMPONENT
    chosen.process.ultimate_exiting_timeout = _EXIT_SECONDS
    return chosen


async def _own_uid(kube: Kube) -> str:
    """The UID of our own kube-system: it is what `local` means."""
    while True:
        try:
            return str((await read(kube, _KUBE_SYSTEM))["metadata"]["uid"])
        except KubeAgentError as exc:
            log.warning("waiting for the API server", code=exc.code, reason=exc.message)
            await asyncio.sleep(_API_PAUSE)


def _identity() -> str:
    """A name of this process for kopf's peering."""
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"
