"""How NATS is reached: one frozen record that hub and agent fill from their own settings.

TLS and credentials have their place here already; what a deployment leaves out is simply not used.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from kubeagent.errors import ConfigError

SCHEMES: Final = ("nats", "tls", "ws", "wss")


def check_url(url: str) -> str:
    """The URL, if NATS can be reached by it. Raises ValueError with a sentence that names no password."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"{shown(url)!r} is not a NATS URL such as nats://nats.kubeagent:4222")
    try:
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as exc:
        raise ValueError(f"{shown(url)!r} has a port that is no port") from exc
    return url


def shown(url: str) -> str:
    """The URL as it may be logged: without user and password."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


class BusSettings(BaseModel):
    """Where NATS is and who we are to it. At most one of user, token, creds_file and nkey_file is used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: Annotated[tuple[Annotated[str, AfterValidator(check_url)], ...], Field(min_length=1)]
    user: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    creds_file: Path | None = None
    nkey_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    inbox_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")] = "_INBOX"
    connect_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    publish_timeout_seconds: Annotated[float, Field(gt=0)] = 15.0
    probe_seconds: Annotated[float, Field(gt=0)] = 15.0
    backoff_seconds: Annotated[float, Field(gt=0)] = 0.5
    max_backoff_seconds: Annotated[float, Field(gt=0)] = 30.0
    replicas: Annotated[int, Field(ge=1, le=5)] = 1

    @property
    def uses_tls(self) -> bool:
        """Whether files for TLS were given."""
        return self.tls_ca_file is not None or self.tls_cert_file is not None

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, if files are given (without them a tls:// URL is checked against the system's CAs)."""
        if not self.uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.tls_ca_file) if self.tls_ca_file else None)
            if self.tls_cert_file is not None:
                context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"the TLS files for NATS cannot be used: {exc}") from exc
        return context
