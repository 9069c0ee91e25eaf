"""The client against a small HTTP server: what it sends, what each status means, where the cluster comes from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from kubeagent import __version__
from kubeagent.errors import (
    ClusterError,
    ClusterUnavailable,
    ConfigError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
    UnknownKind,
)
from kubeagent.kube.client import Client, connect
from kubeagent.kube.discovery import Discovery
from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

POD = ObjectKey("v1", "Pod", "shop", "web")


class Server:
    """Answers with `handler` and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[str] = []
        self.handler: Handler = self.nothing

    async def nothing(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "Pod", "apiVersion": "v1", "metadata": {}})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.text())
        return await self.handler(request)


def kubeconfig(path: Path, server: str, **context: str) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "t0ken"}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **context}}],
            }
        )
    )
    return path


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}", namespace="shop")))
    yield found
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with connect() as found:
        yield found


def status(code: int, message: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": message, "code": code}, status=code)

    return answer


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Conflict),
        (418, ClusterError),
        (422, Invalid),
        (429, ClusterUnavailable),
        (500, ClusterUnavailable),
        (503, ClusterUnavailable),
    ],
)
async def test_what_a_status_means(server: Server, client: Client, code: int, error: type[Exception]) -> None:
    server.handler = status(code, "the server's own words")
    with pytest.raises(error, match="the server's own words"):
        await client.get(Get(POD))


async def test_an_error_without_words_names_the_request(server: Server, client: Client) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=404, text="404 page not found")

    server.handler = answer
    with pytest.raises(NotFound, match="/api/v1/namespaces/shop/pods/web: HTTP 404"):
        await client.get(Get(POD))


async def test_requests_carry_token_and_name(server: Server, client: Client) -> None:
    assert client.default_namespace == "shop"
    await client.get(Get(POD))
    headers = server.requests[0].headers
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["User-Agent"] == f"kubeagent/{__version__}"


async def test_names_cannot_leave_their_segment(server: Server, client: Client) -> None:
    await client.get(Get(ObjectKey("v1", "Pod", "shop", "a/../b?watch=true#x")))
    assert server.requests[0].raw_path == "/api/v1/namespaces/shop/pods/a%2F..%2Fb%3Fwatch=true%23x"
    for name in ("", ".", ".."):
        with pytest.raises(Invalid):
            await client.get(Get(ObjectKey("v1", "Pod", "shop", name)))


async def test_lists_go_page_by_page_up_to_the_limit(server: Server, client: Client) -> None:
    async def page(request: web.Request) -> web.Response:
        start = int(request.query.get("continue", "0"))
        end = start + min(int(request.query["limit"]), 2)
        items = [{"metadata": {"name": str(number)}} for number in range(start, end)]
        return web.json_response({"apiVersion": "v1", "items": items, "metadata": {"continue": str(end)}})

    server.handler = page
    cut = await client.list(List("v1", "Pod", "shop", "app=web&watch=true", "spec.nodeName=n", 5))
    assert [each["metadata"]["name"] for each in cut.objects] == ["0", "1", "2", "3", "4"]
    assert (cut.objects[0]["apiVersion"], cut.objects[0]["kind"], cut.complete) == ("v1", "Pod", False)
    query = server.requests[0].query
    assert (query["labelSelector"], query["fieldSelector"]) == ("app=web&watch=true", "spec.nodeName=n")
    assert "watch" not in query


async def test_a_list_that_moves_on_is_incomplete(server: Server, client: Client) -> None:
    async def page(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return web.json_response({"message": "expired"}, status=410)
        return web.json_response({"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "x"}})

    server.handler = page
    found = await client.list(List("v1", "Pod"))
    assert (len(found.objects), found.complete) == (1, False)


async def test_a_list_of_nothing(server: Server, client: Client) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.json_response({"items": None, "metadata": {}})

    server.handler = page
    assert await client.list(List("v1", "Pod")) == ([], True)


async def test_counting_costs_one_object(server: Server, client: Client) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.json_response({"items": [{}], "metadata": {"remainingItemCount": 4999}})

    server.handler = page
    assert await client.count("v1", "Pod") == 5000
    assert server.requests[0].query["limit"] == "1"


async def test_logs_are_bounded_and_bad_bytes_do_no_harm(server: Server, client: Client) -> None:
    async def log(_: web.Request) -> web.Response:
        return web.Response(body=b"caf\xc3\xa9 \xff end")

    server.handler = log
    assert await client.log(Log("shop", "web", "app", True, 10, 1000)) == "caf\u00e9 \ufffd end"
    request = server.requests[0]
    assert request.path == "/api/v1/namespaces/shop/pods/web/log"
    assert dict(request.query) == {"container": "app", "previous": "true", "tailLines": "10", "limitBytes": "4000"}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ('previous terminated container "app" in pod "web" not found', NotFound),
        ('container "app" in pod "web" is waiting to start: ContainerCreating', NotFound),
        ("a container name must be specified for pod web", Invalid),
    ],
)
async def test_no_log_is_no_error_of_the_request(
    server: Server, client: Client, message: str, error: type[Exception]
) -> None:
    server.handler = status(400, message)
    with pytest.raises(error):
        await client.log(Log("shop", "web"))


async def test_writes(server: Server, client: Client) -> None:
    await client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop"}})
    await client.patch(ObjectKey("v1", "ConfigMap", "shop", "c"), {"status": {}}, subresource="status")
    await client.delete(ObjectKey("v1", "ConfigMap", "shop", "c"), uid="u-1")
    create, patch, delete = server.requests
    assert (create.method, create.path, create.query["fieldManager"]) == (
        "POST",
        "/api/v1/namespaces/shop/configmaps",
        "kubeagent",
    )
    assert (patch.method, patch.path) == ("PATCH", "/api/v1/namespaces/shop/configmaps/c/status")
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert (delete.method, '"uid": "u-1"' in server.bodies[2]) == ("DELETE", True)


async def test_an_answer_that_is_no_json(server: Server, client: Client) -> None:
    async def html(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    server.handler = html
    with pytest.raises(ClusterError, match="not understood"):
        await client.get(Get(POD))


async def test_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "c", "http://127.0.0.1:1")))
    async with connect("here") as client:
        assert client.default_namespace == "default"
        with pytest.raises(ClusterUnavailable, match=r"127\.0\.0\.1:1"):
            await client.version()


DISCOVERY = (
    b'{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"example.com"},"versions":[{"version":"v2",'
    b'"resources":[{"resource":"widgets","responseKind":{"group":"example.com","version":"v2","kind":"Widget"},'
    b'"scope":"Cluster","singularResource":"widget","shortNames":["wi"],"subresources":[]},{"resource":"odd"}]}]}]}'
)


async def test_other_kinds_come_from_discovery_once(server: Server, client: Client) -> None:
    async def discover(request: web.Request) -> web.Response:
        return web.Response(body=DISCOVERY if request.path == "/apis" else b'{"items":[]}')

    server.handler = discover
    for word in ("Widget", "widgets", "wi", "widget"):
        assert await client.resolve(word) == ("example.com/v2", False)
    assert len(server.requests) == 2
    assert "APIGroupDiscoveryList" in server.requests[0].headers["Accept"]
    with pytest.raises(UnknownKind):
        await client.resolve("Widget", "example.com/v1")


async def test_discovery_looks_again_after_a_while_and_keeps_what_it_knew() -> None:
    clock = [0.0]
    asked: list[str] = []
    down = [False]

    async def fetch(path: str) -> bytes:
        asked.append(path)
        if down[0]:
            raise ClusterUnavailable("down")
        return DISCOVERY if path == "/apis" else b"{}"

    discovery = Discovery(fetch, lambda: clock[0])
    assert await discovery.find("Gadget") is None
    assert await discovery.find("Gadget") is None
    assert len(asked) == 2
    clock[0], down[0] = 1000.0, True
    assert (await discovery.find("Widget")) is not None
    assert len(asked) == 4


async def test_discovery_that_is_no_json() -> None:
    async def fetch(_: str) -> bytes:
        return b"<html>"

    with pytest.raises(ClusterUnavailable, match="discovery"):
        await Discovery(fetch).find("Widget")


async def config_error(context: str | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        async with connect(context):
            pass
    return error.value.message


async def test_neither_kubeconfig_nor_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert "no cluster" in await config_error()
    assert "'other'" in await config_error("other")


@pytest.mark.parametrize("text", ["", "{", "[]", "current-context: x", "a: b"])
async def test_a_kubeconfig_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert "cannot be used" in await config_error()


async def test_a_context_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "c", "http://127.0.0.1:1")))
    assert "cannot be used" in await config_error("other")


def test_importing_it_does_not_import_the_library() -> None:
    code = "import sys, kubeagent.kube.client, kubeagent.kube.gather; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_using_it_does_not_import_the_models(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "c", "http://127.0.0.1:1")
    code = (
        "import asyncio, sys\nfrom kubeagent.kube.client import connect\n"
        "async def main():\n    async with connect(): pass\nasyncio.run(main())\n"
        "sys.exit(any('core_v1_api' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env={"KUBECONFIG": str(path)}).returncode == 0


async def test_in_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("token", "pod-t0ken"), ("namespace", "kubeagent-system"), ("ca.crt", "unused")):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr("kubeagent.kube.where._TOKEN", tmp_path / "token")
    monkeypatch.setattr("kubeagent.kube.where._NAMESPACE", tmp_path / "namespace")
    library = "kubernetes.aio.config.incluster_config"
    monkeypatch.setattr(f"{library}.InClusterConfigLoader.load_and_set", lambda self, configuration: None)
    async with connect() as client:
        assert client.default_namespace == "kubeagent-system"


async def test_in_a_pod_without_a_usable_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("kubeagent.kube.where._TOKEN", tmp_path / "token")
    assert "service account of this pod" in await config_error()


async def test_of_a_long_log_the_newest_lines_are_kept(server: Server, client: Client) -> None:
    """The API server's limitBytes keeps the oldest of the tail."""
    lines = [b"%05d %s" % (number, b"x" * 90) for number in range(500)]

    async def log(request: web.Request) -> web.Response:
        tail = lines[-int(request.query["tailLines"]) :]
        return web.Response(body=b"\n".join(tail)[: int(request.query["limitBytes"])])

    server.handler = log
    text = await client.log(Log("shop", "web", "app", tail_lines=500, limit_bytes=1000))
    assert text.splitlines()[-1].startswith("00499 ")
    assert text.splitlines()[0][:5].isdigit()
    assert len(text) <= 1000


async def test_one_endless_line_is_cut_and_not_asked_for_ever(server: Server, client: Client) -> None:
    async def log(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["limitBytes"]))

    server.handler = log
    assert len(await client.log(Log("shop", "web", tail_lines=5000, limit_bytes=100))) == 100
    assert len(server.requests) <= 6


async def test_a_list_that_is_too_large_is_read_in_smaller_pages(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeagent.kube.client.MAX_ANSWER", 10_000)

    async def page(request: web.Request) -> web.Response:
        items = [{"metadata": {"name": "x" * 500}}] * int(request.query["limit"])
        return web.json_response({"items": items, "metadata": {"continue": "more"}})

    server.handler = page
    found = await client.list(List("v1", "Pod", "shop"))
    assert (0 < len(found.objects) < 40, found.complete) == (True, False)


async def test_one_object_beyond_measure_is_an_error(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeagent.kube.client.MAX_ANSWER", 10)
    with pytest.raises(ClusterError, match="larger than"):
        await client.get(Get(POD))


@pytest.mark.parametrize(
    ("kind", "api_version"), [("Secret", "vault.example/v1"), ("secrets", "core/v1"), ("SECRET", "")]
)
async def test_a_secret_is_refused_under_any_api_version(
    server: Server, client: Client, kind: str, api_version: str
) -> None:
    with pytest.raises(Forbidden):
        await client.get(Get(ObjectKey(api_version, kind, "shop", "x")))
    assert server.requests == []


async def test_an_answer_that_is_no_version_is_an_error_of_ours(server: Server, client: Client) -> None:
    async def html(_: web.Request) -> web.Response:
        return web.Response(body=b"<html>")

    server.handler = html
    with pytest.raises(ClusterError):
        await client.version()
