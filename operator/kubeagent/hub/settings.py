"""The hub's settings: a YAML file named by KUBEAGENT_CONFIG, overridden by KUBEAGENT_* in the environment.

`KUBEAGENT_NATS_URL` is enough for a plain NATS; the rest of its settings are a group, reached by two underscores
(`KUBEAGENT_NATS__CREDS_FILE`).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from kubeagent.bus.settings import BusSettings
from kubeagent.errors import ConfigError
from kubeagent.hub.reconcile.observed import Timing
from kubeagent.hub.reconcile.runbook import explain
from kubeagent.resources.policies import SYSTEM_NAMESPACE
from kubeagent.telemetry.logs import Level

CONFIG: Final = "KUBEAGENT_CONFIG"

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[int, Field(ge=1, le=3600)]


class HubSettings(BaseSettings):
    """Everything that can be set; a port of 0 switches its server off."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEAGENT_", env_nested_delimiter="__", extra="ignore", frozen=True, env_ignore_empty=True
    )

    nats_url: str = ""
    nats: BusSettings = BusSettings(servers=("nats://127.0.0.1:4222",))
    namespace: Annotated[str, Field(min_length=1, max_length=63)] = SYSTEM_NAMESPACE
    heartbeat_timeout_seconds: Seconds = 90
    command_timeout_seconds: Seconds = 30
    health_host: str = "0.0.0.0"
    health_port: Port = 8080
    metrics_port: Port = 9090
    log_level: Level = "info"
    peering: bool = True
    scope_guard: bool = True

    @property
    def bus(self) -> BusSettings:
        """How NATS is reached: `nats_url` (several by commas) is the short form of `nats.servers`."""
        urls = tuple(url.strip() for url in self.nats_url.split(",") if url.strip())
        return BusSettings(**{**dict(self.nats), "servers": urls}) if urls else self.nats

    @property
    def heartbeat_timeout(self) -> timedelta:
        """After how much silence a cluster counts as offline."""
        return timedelta(seconds=self.heartbeat_timeout_seconds)

    @property
    def timing(self) -> Timing:
        """How long tasks wait, for what."""
        return Timing(command_timeout=timedelta(seconds=self.command_timeout_seconds))

    @classmethod
    def load(cls, **given: Any) -> Self:
        """The settings of this process. Raises ConfigError naming what is wrong."""
        path = os.environ.get(CONFIG, "")
        if path and not Path(path).is_file():
            raise ConfigError(f"{CONFIG} names {path}, which is no file")
        try:
            settings = cls(**given)
            _ = settings.bus
            return settings
        except ValidationError as exc:
            raise ConfigError(f"the hub's settings are wrong: {explain(exc)}") from exc
        except (OSError, ValueError, YAMLError) as exc:
            raise ConfigError(f"the file in {CONFIG} cannot be read: {exc}") from exc

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given wins over the environment, and that over the file."""
        path = os.environ.get(CONFIG, "")
        file = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, env_settings, *file)
