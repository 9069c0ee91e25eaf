"""/metrics, /healthz and /readyz over HTTP; kopf's own liveness endpoint beside it proves that kopf's loop runs."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from kubeagent.telemetry.metrics import CollectorRegistry, exposition

READ = "text/plain; version=0.0.4"


class Server:
    """A small HTTP server on one port."""

    def __init__(self, registry: CollectorRegistry, ready: Callable[[], str]) -> None:
        """`ready` says what is missing, "" for nothing."""
        self._registry = registry
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=exposition(self._registry), headers={"Content-Type": READ})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = self._ready()
        return web.Response(text=f"{missing or 'ok'}\n", status=503 if missing else 200)
