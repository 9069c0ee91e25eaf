"""What every component of one cluster is made from: its files, addresses and certificates."""

import base64
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .network import Link
from .paths import ClusterPaths
from .pki import Authority, Identity
from .processes import Component

API_PORT = 6443


@dataclass(frozen=True)
class Plan:
    """Everything the components of one cluster are made from."""

    paths: ClusterPaths
    link: Link
    binary: Path
    cni_plugins: Path
    containerd: str
    snapshotter: str

    @cached_property
    def authority(self) -> Authority:
        return Authority(self.paths.state / "pki")

    @cached_property
    def admin(self) -> Identity:
        return self.authority.issue("admin", "kubeagent-test-admin", ["system:masters"])

    @property
    def server(self) -> str:
        return f"https://{self.link.node_address}:{API_PORT}"

    def component(self, name: str, *flags: str) -> Component:
        return Component(self.paths, name, (str(self.binary), name, *flags))

    def client(self, name: str, user: str, *groups: str) -> Path:
        """A kubeconfig file for a component."""
        identity = self.authority.issue(name, user, groups)
        return write_json(self.paths.state / f"{name}.kubeconfig", self.kubeconfig(name, identity))

    def kubeconfig(self, user: str, identity: Identity) -> dict[str, Any]:
        """A kubeconfig that needs no other file."""
        name = self.paths.name
        cluster = {
            "server": self.server,
            "certificate-authority-data": encoded(self.authority.identity.certificate),
        }
        credentials = {
            "client-certificate-data": encoded(identity.certificate),
            "client-key-data": encoded(identity.key),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }


def encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a configuration that only root reads; JSON is YAML too."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
    return path
