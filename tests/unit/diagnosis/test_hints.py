"""What texts say about others, as many programs say it."""

from __future__ import annotations

import pytest

from kubeagent.diagnosis.hints import Failure, complaints, service_of


@pytest.mark.parametrize(
    ("line", "failure", "host", "port"),
    [
        ("connection refused orders-db:5432", Failure.REFUSED, "orders-db", 5432),
        ("dial tcp 10.96.3.4:80: connect: connection refused", Failure.REFUSED, "10.96.3.4", 80),
        ("dial tcp: lookup orders-db on 10.96.0.10:53: no such host", Failure.UNRESOLVED, "orders-db", 0),
        ("Could not connect to redis://cache:6379", Failure.REFUSED, "cache", 6379),
        ("Error: connect ECONNREFUSED 10.96.3.4:6379", Failure.REFUSED, "10.96.3.4", 6379),
        ("Error: getaddrinfo ENOTFOUND orders-db", Failure.UNRESOLVED, "orders-db", 0),
        (
            "wget: can't connect to remote host (10.96.3.4): Connection refused",
            Failure.REFUSED,
            "10.96.3.4",
            0,
        ),
        ("wget: bad address 'orders-db:80'", Failure.UNRESOLVED, "orders-db", 80),
        (
            "curl: (7) Failed to connect to orders-db port 80 after 2 ms: Couldn't connect to server",
            Failure.REFUSED,
            "orders-db",
            80,
        ),
        ("curl: (6) Could not resolve host: orders-db", Failure.UNRESOLVED, "orders-db", 0),
        (
            'connection to server at "db" (10.96.3.4), port 5432 failed: Connection refused',
            Failure.REFUSED,
            "db",
            5432,
        ),
        (
            "HTTPConnectionPool(host='orders', port=8080): Max retries exceeded: [Errno 111] Connection refused",
            Failure.REFUSED,
            "orders",
            8080,
        ),
        (
            "java.net.ConnectException: Connection refused: orders/10.96.3.4:8080",
            Failure.REFUSED,
            "orders",
            8080,
        ),
        ("java.net.UnknownHostException: orders", Failure.UNRESOLVED, "orders", 0),
        (
            "Get http://orders.shop.svc.cluster.local:80/x: i/o timeout",
            Failure.TIMEOUT,
            "orders.shop.svc.cluster.local",
            80,
        ),
        ("error: calling http://xyz:80/ failed", Failure.FAILED, "xyz", 80),
        ("amqp://user:pw@mq.shop:5672 is unreachable", Failure.REFUSED, "mq.shop", 5672),
        (
            "\x1b[31mERROR\x1b[0m nc: orders (10.96.3.4:80): Connection refused",
            Failure.REFUSED,
            "10.96.3.4",
            80,
        ),
    ],
)
def test_complaints(line: str, failure: Failure, host: str, port: int) -> None:
    found = complaints(line)

    assert [item.failure for item in found] == [failure]
    assert (host, port) in [tuple(address) for address in found[0].addresses], found


@pytest.mark.parametrize("line", ["listening on orders-db:5432", "connected to http://cache:6379", "", "GET / 200"])
def test_no_complaint(line: str) -> None:
    assert complaints(line) == ()


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("db", ("shop", "db")),
        ("db.data", ("data", "db")),
        ("db.data.svc", ("data", "db")),
        ("db.data.svc.cluster.local.", ("data", "db")),
        ("db-0.db.data.svc.cluster.local", ("data", "db")),
        ("10.96.0.1", None),
        ("api.example.com", None),
        ("example.com", None),
        ("a..b", None),
    ],
)
def test_names_of_services(host: str, service: tuple[str, str] | None) -> None:
    assert service_of(host, "shop") == service
