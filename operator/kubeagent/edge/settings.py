"""The agent's settings: a YAML file, overridden by the environment, with the names of the seed documents.

Each bad value is one ConfigError with its own sentence, and nothing is started. Durations are written with a unit
(`5s`): in Go, in which the seeds think, a bare 5 is five nanoseconds, and for people it is five seconds.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from kubeagent.bus.settings import BusSettings, check_url
from kubeagent.errors import ConfigError
from kubeagent.protocol.durations import format_duration, parse_duration
from kubeagent.protocol.subjects import is_cluster_id

LogLevel = Literal["debug", "info", "warning", "error"]

_LEVELS: Final = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error"}
MAX_INTERVAL: Final = timedelta(hours=1)


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or value.lstrip("-").isdigit():
        raise ValueError(f"{value!r} is not a duration with a unit, such as 30s or 1m30s")
    return parse_duration(value)


def _level(value: Any) -> str:
    level = _LEVELS.get(str(value).lower())
    if level is None:
        raise ValueError(f"{value!r} is not one of debug, info, warn, error")
    return level


def _endpoints(value: Any) -> tuple[str, ...]:
    urls = value.split(",") if isinstance(value, str) else value
    if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
        raise ValueError(f"{value!r} is not a NATS URL, or several with commas between them")
    return tuple(check_url(url.strip()) for url in urls)


def normalised(name: str) -> str:
    """A cluster id out of a name as clouds give them: lower case, `-` for what a label may not hold."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    if not is_cluster_id(label):
        raise ValueError(f"{name!r} does not make a cluster id: it needs a letter or a digit")
    return label


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class AgentSettings(BaseSettings):
    """Everything that can be set. Use `load`, which says what is wrong in words."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_ignore_empty=True, nested_model_default_partial_update=False
    )

    cluster_id: str = ""
    central_endpoint: Annotated[Any, BeforeValidator(_endpoints)]
    reconnect_delay: Duration = timedelta(seconds=5)
    heartbeat_interval: Duration = timedelta(seconds=30)
    metrics_interval: Duration = timedelta(seconds=60)
    register_interval: Duration = timedelta(minutes=5)
    buffer_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    max_retries: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    log_level: Annotated[LogLevel, BeforeValidator(_level)] = "info"
    health_host: str = "0.0.0.0"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    kube_context: str | None = None
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    nats_token: SecretStr = SecretStr("")
    nats_creds_file: Path | None = None
    nats_nkey_file: Path | None = None
    nats_ca_file: Path | None = None
    nats_cert_file: Path | None = None
    nats_key_file: Path | None = None
    nats_inbox_prefix: str = "_INBOX"

    @field_validator("cluster_id")
    @classmethod
    def _check_cluster_id(cls, value: str) -> str:
        return normalised(value) if value else ""

    @field_validator("reconnect_delay", "heartbeat_interval", "metrics_interval", "register_interval")
    @classmethod
    def _check_interval(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= MAX_INTERVAL:
            raise ValueError(f"{format_duration(value)} is not above 0 and at most {format_duration(MAX_INTERVAL)}")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file (whose values come as init)."""
        return env_settings, init_settings

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The settings of a file and the environment. Raises ConfigError."""
        values = _read(path) if path is not None else {}
        try:
            return cls(**values)
        except ValidationError as exc:
            raise ConfigError("; ".join(_sentence(error) for error in exc.errors())) from exc

    def bus(self) -> BusSettings:
        """How NATS is reached. Raises ConfigError."""
        try:
            return BusSettings(
                servers=self.central_endpoint,
                user=self.nats_user,
                password=self.nats_password,
                token=self.nats_token,
                creds_file=self.nats_creds_file,
                nkey_file=self.nats_nkey_file,
                tls_ca_file=self.nats_ca_file,
                tls_cert_file=self.nats_cert_file,
                tls_key_file=self.nats_key_file,
                inbox_prefix=self.nats_inbox_prefix,
                backoff_seconds=self.reconnect_delay.total_seconds(),
            )
        except ValidationError as exc:
            raise ConfigError("; ".join(_sentence(error) for error in exc.errors())) from exc


DEFAULT_YAML: Final = """\
# The settings of a KubeAgent edge agent. The environment overrides each: CLUSTER_ID, CENTRAL_ENDPOINT, ...
cluster_id: ""                 # empty: the UID of namespace kube-system
central_endpoint: nats://nats.kubeagent:4222
reconnect_delay: 5s            # the first bound of the pause between attempts; it doubles up to 30s
heartbeat_interval: 30s
metrics_interval: 60s
buffer_size: 1000
max_retries: 10                # failed attempts in a row until the agent exits; 0: never
log_level: info
"""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the settings file {path} cannot be read: {exc}") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"the settings file {path} is not YAML: {exc}") from exc
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"the settings file {path} is not a list of `name: value`")
    return content


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"]) or "settings"
    match error["type"]:
        case "missing":
            return f"{name} is required (for example {name.upper()}=nats://nats.kubeagent:4222)"
        case "extra_forbidden":
            return f"{name} is not a setting of the agent"
        case _:
            return f"{name}: {error['msg'].removeprefix('Value error, ')}"
