"""Each bad value has its own sentence, and nothing starts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from kubeagent.edge.settings import DEFAULT_YAML, AgentSettings
from kubeagent.errors import ConfigError

NAMES = ("CLUSTER_ID", "CENTRAL_ENDPOINT", "RECONNECT_DELAY", "HEARTBEAT_INTERVAL", "LOG_LEVEL", "KUBE_CONTEXT")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def load(tmp_path: Path, text: str) -> AgentSettings:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return AgentSettings.load(path)


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "central_endpoint: nats://nats:4222")
    assert settings.central_endpoint == ("nats://nats:4222",)
    assert settings.heartbeat_interval == timedelta(seconds=30)
    assert (settings.metrics_interval, settings.reconnect_delay) == (timedelta(seconds=60), timedelta(seconds=5))
    assert (settings.buffer_size, settings.max_retries, settings.log_level) == (1000, 10, "info")


def test_the_default_yaml_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, DEFAULT_YAML) == load(tmp_path, "central_endpoint: nats://nats.kubeagent:4222")
    assert set(yaml.safe_load(DEFAULT_YAML)) <= set(AgentSettings.model_fields)


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRAL_ENDPOINT", "nats://other:4222")
    monkeypatch.setenv("HEARTBEAT_INTERVAL", "1m30s")
    monkeypatch.setenv("LOG_LEVEL", "WARN")
    monkeypatch.setenv("CLUSTER_ID", "")
    settings = load(tmp_path, "central_endpoint: nats://nats:4222\ncluster_id: prod\nlog_level: debug")
    assert settings.central_endpoint == ("nats://other:4222",)
    assert settings.heartbeat_interval == timedelta(seconds=90)
    assert (settings.log_level, settings.cluster_id) == ("warning", "prod")


@pytest.mark.parametrize(
    ("given", "cluster_id"),
    [
        ("prod-eu", "prod-eu"),
        ("Prod_EU.1", "prod-eu-1"),
        ("arn:aws:eks:eu/x", "arn-aws-eks-eu-x"),
        ("a" * 80, "a" * 63),
    ],
)
def test_a_cluster_id_is_made_a_label(tmp_path: Path, given: str, cluster_id: str) -> None:
    assert load(tmp_path, f"central_endpoint: nats://n\ncluster_id: {given}").cluster_id == cluster_id


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "central_endpoint is required"),
        ("central_endpoint: http://nats:4222", "not a NATS URL"),
        ("central_endpoint: nats:4222", "not a NATS URL"),
        ("central_endpoint: 7", "central_endpoint"),
        ("reconnect_delay: 5", "reconnect_delay: 5 is not a duration with a unit"),
        ("reconnect_delay: 0s", "reconnect_delay: 0s is not above 0"),
        ("heartbeat_interval: -30s", "heartbeat_interval: -30s is not above 0"),
        ("heartbeat_interval: soon", "'soon' is not a duration"),
        ("metrics_interval: 2h", "metrics_interval: 7200s is not above 0 and at most 3600s"),
        ("buffer_size: 0", "buffer_size: Input should be greater than or equal to 1"),
        ("buffer_size: many", "buffer_size"),
        ("max_retries: -1", "max_retries: Input should be greater than or equal to 0"),
        ("log_level: loud", "log_level: 'loud' is not one of debug, info, warn, error"),
        ("cluster_id: '***'", "cluster_id: '***' does not make a cluster id"),
        ("health_port: 99999", "health_port"),
        ("colour: blue", "colour is not a setting"),
    ],
)
def test_each_bad_value_has_its_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    endpoint = "" if not line or line.startswith("central_endpoint") else "central_endpoint: nats://n:4222\n"
    with pytest.raises(ConfigError) as error:
        load(tmp_path, endpoint + line)
    assert sentence in error.value.message


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "{", "1: 2"])
def test_a_file_that_holds_no_settings(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="settings file"):
        load(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        AgentSettings.load(tmp_path / "absent.yaml")


def test_how_nats_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRAL_ENDPOINT", "nats://a:4222, nats://b:4222")
    monkeypatch.setenv("NATS_PASSWORD", "hunter2")
    settings = AgentSettings.load()
    assert settings.bus().servers == ("nats://a:4222", "nats://b:4222")
    assert settings.bus().password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)
    monkeypatch.setenv("NATS_INBOX_PREFIX", "a b")
    with pytest.raises(ConfigError, match="inbox_prefix"):
        AgentSettings.load().bus()
