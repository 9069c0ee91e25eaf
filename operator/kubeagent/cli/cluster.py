"""`kubeagent cluster accept NAME`: the one thing that a person does before a cluster gets commands."""

from __future__ import annotations

from kubeagent.cli.kubectl import Kubectl
from kubeagent.errors import NotFound

RESOURCE = "managedclusters.kubeagent.io"


def accept(name: str, context: str | None, kubeconfig: str | None = None) -> str:
    """Accept a registered cluster; what to tell the person. Raises NotFound with the names that are registered."""
    kubectl = Kubectl(context, kubeconfig)
    clusters = {each["metadata"]["name"]: each for each in kubectl.json("get", RESOURCE)["items"]}
    if name not in clusters:
        known = ", ".join(sorted(clusters)) or "none yet"
        raise NotFound(f"no agent has registered as {name!r} (registered: {known})")
    uid = clusters[name].get("status", {}).get("clusterUID", "not known yet")
    if clusters[name].get("spec", {}).get("accepted"):
        return f"cluster {name} was accepted already (uid {uid})"
    kubectl.run("patch", RESOURCE, name, "--type=merge", "-p", '{"spec":{"accepted":true}}')
    return f"cluster {name} is accepted (uid {uid})"
