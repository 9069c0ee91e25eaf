"""Which cluster, as whom: kubeconfig and context, or the service account of the pod. One clear ConfigError if neither.

The client library is imported here and not at the top, because it costs 0.7 s and 60 MB: `kubeagent --help` and what
only needs the types should not pay for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from kubeagent import __version__
from kubeagent.errors import ConfigError

CONNECTIONS: Final = 16
"""How many requests may be under way at once: an agent is a guest on the API server."""

_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_NAMESPACE: Final = _TOKEN.with_name("namespace")


class Access(NamedTuple):
    """A configured ApiClient, the namespace that is meant where none is named, and where it leads (for messages)."""

    api: Any
    namespace: str
    server: str


async def access(context: str | None) -> Access:
    """Find the cluster. A named context must be in the kubeconfig. Raises ConfigError."""
    files = _kubeconfig_files()
    if files:
        return await _from_kubeconfig(os.pathsep.join(map(str, files)), context)
    if context is not None:
        raise ConfigError(f"there is no kubeconfig that could have context {context!r}")
    if _TOKEN.exists() and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _from_service_account()
    raise ConfigError("no cluster: KUBECONFIG names no file, ~/.kube/config does not exist, and this is no pod")


def _kubeconfig_files() -> list[Path]:
    named = os.environ.get("KUBECONFIG", "")
    paths = [Path(each).expanduser() for each in named.split(os.pathsep) if each] or [
        Path("~/.kube/config").expanduser()
    ]
    return [path for path in paths if path.is_file()]


async def _from_kubeconfig(files: str, context: str | None) -> Access:
    config = _library()
    configuration = _new_configuration()
    try:
        loader: Any = await config.load_kube_config(
            config_file=files, context=context, client_configuration=configuration, persist_config=False
        )
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"the kubeconfig {files} cannot be used: {exc}") from exc
    return _access(configuration, _namespace_of(loader))


def _from_service_account() -> Access:
    config = _library()
    configuration = _new_configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as exc:
        raise ConfigError(f"the service account of this pod cannot be used: {exc}") from exc
    return _access(configuration, _NAMESPACE.read_text().strip() if _NAMESPACE.exists() else "default")


def _library() -> Any:
    """kubernetes.aio.config, which has no types."""
    from kubernetes.aio import config

    return config


def _new_configuration() -> Any:
    from kubernetes.aio.client.configuration import Configuration

    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    return configuration


def _access(configuration: Any, namespace: str) -> Access:
    from kubernetes.aio.client.api_client import ApiClient

    try:
        api = ApiClient(configuration)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(f"the certificates for {configuration.host} cannot be used: {exc}") from exc
    api.user_agent = f"kubeagent/{__version__}"
    return Access(api, namespace, str(configuration.host))


def _namespace_of(loader: Any) -> str:
    """The namespace of the context, as kubectl takes it."""
    current: dict[str, Any] = loader.current_context or {}
    return str(current.get("context", {}).get("namespace") or "default")
