"""A kubeconfig that holds one ServiceAccount's token and nothing else, so that a process has exactly its own rights."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from kubeagent.cli.kubectl import Kubectl
from kubeagent.resources.policies import SYSTEM_NAMESPACE

_TOKEN_DURATION = "24h"


def write_kubeconfig(kubectl: Kubectl, account: str, path: Path) -> Path:
    """Write the kubeconfig of a ServiceAccount in our namespace; only its owner may read the file."""
    token = kubectl.run("create", "token", account, "-n", SYSTEM_NAMESPACE, f"--duration={_TOKEN_DURATION}").strip()
    cluster = _current_cluster(kubectl)
    path.touch(mode=0o600)
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "cluster", "cluster": cluster}],
                "users": [{"name": account, "user": {"token": token}}],
                "contexts": [{"name": account, "context": {"cluster": "cluster", "user": account}}],
                "current-context": account,
            }
        )
    )
    return path


def _current_cluster(kubectl: Kubectl) -> dict[str, Any]:
    """The server and its CA, with the CA inlined."""
    view = kubectl.json("config", "view", "--minify", "--raw")
    cluster: dict[str, Any] = dict(view["clusters"][0]["cluster"])
    authority = cluster.pop("certificate-authority", None)
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(Path(authority).read_bytes()).decode()
    return cluster
