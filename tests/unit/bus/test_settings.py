"""What is refused before a connection is tried, and what never reaches a log."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from kubeagent.bus.settings import BusSettings, shown
from kubeagent.errors import ConfigError


@pytest.mark.parametrize("url", ["nats://n:4222", "tls://n", "ws://n:80", "wss://n", "nats://u:p@n:4222"])
def test_urls_of_nats(url: str) -> None:
    assert BusSettings(servers=(url,)).servers == (url,)


@pytest.mark.parametrize("url", ["http://n:4222", "n:4222", "", "nats://", "nats://n:port", "nats://n:99999"])
def test_urls_of_something_else(url: str) -> None:
    with pytest.raises(ValidationError, match=r"NATS URL|no port"):
        BusSettings(servers=(url,))


def test_a_password_is_not_shown() -> None:
    assert shown("nats://user:hunter2@nats:4222") == "nats://nats:4222"
    assert "hunter2" not in repr(BusSettings(servers=("nats://n",), password="hunter2"))


def test_tls_is_off_without_files_and_bad_files_are_a_config_error(tmp_path: Path) -> None:
    assert BusSettings(servers=("nats://n",)).tls() is None
    with pytest.raises(ConfigError, match="TLS files"):
        BusSettings(servers=("tls://n",), tls_ca_file=tmp_path / "absent.pem").tls()


@pytest.mark.parametrize("prefix", ["", "a b", "_INBOX.*", ">", ".x"])
def test_an_inbox_prefix_without_wildcards(prefix: str) -> None:
    with pytest.raises(ValidationError):
        BusSettings(servers=("nats://n",), inbox_prefix=prefix)
