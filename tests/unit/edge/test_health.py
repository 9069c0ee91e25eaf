"""The four endpoints."""

from __future__ import annotations

import aiohttp
import pytest

from kubeagent.edge.health import AgentState, HealthServer
from kubeagent.edge.identity import Identity


class Link:
    up = False


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_live_always_ready_once_registered() -> None:
    link = Link()
    state = AgentState(Identity("prod", "uid"), lambda: link.up)
    server = HealthServer(state, "127.0.0.1", 0)
    await server.start()
    try:
        assert await get(server.port, "/health/live") == (200, "ok\n")
        assert await get(server.port, "/health/ready") == (503, "not connected to NATS\n")
        link.up = True
        assert await get(server.port, "/health/ready") == (503, "registration is not answered\n")
        state.registration = "rejected"
        assert await get(server.port, "/health/ready") == (503, "registration is rejected\n")
        state.registration = "pending"
        assert await get(server.port, "/health/ready") == (200, "ok\n")
        status, body = await get(server.port, "/health")
        assert status == 200
        assert '"nats":"connected"' in body
        state.count("success")
        _, metrics = await get(server.port, "/metrics")
        for name in ("running", "connected", "uptime_seconds", "event_queue_size", "metrics_queue_size"):
            assert f'agent_{name}{{cluster_id="prod"}}' in metrics
        assert 'agent_command_queue_size{cluster_id="prod"} 0.0' in metrics
        assert 'agent_result_queue_size{cluster_id="prod"} 0.0' in metrics
        assert 'kubeagent_agent_commands_total{cluster_id="prod",status="success"} 1.0' in metrics
    finally:
        await server.close()


async def test_a_port_that_is_taken() -> None:
    state = AgentState(Identity("prod", "uid"), lambda: True)
    first = HealthServer(state, "127.0.0.1", 0)
    await first.start()
    second = HealthServer(state, "127.0.0.1", first.port)
    with pytest.raises(OSError, match="address"):
        await second.start()
    await second.close()
    await first.close()
