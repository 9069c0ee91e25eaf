"""Cluster DNS: CoreDNS as a process of the node, and what it needs in the API.

The node itself asks it too. Names outside the cluster do not exist, so a pull from a registry that is not
there fails at once and with the message of a real one.
"""

from typing import Any

from .network import DNS_SERVICE_ADDRESS
from .plan import Plan
from .processes import Component


def coredns(plan: Plan) -> Component:
    """CoreDNS, which answers on every address of the node."""
    (plan.paths.state / "resolv.conf").write_text(f"nameserver {plan.link.node_address}\n")
    config = plan.paths.state / "Corefile"
    config.write_text(
        f"""\
.:53 {{
    errors
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {plan.client("coredns", "system:coredns")}
        pods insecure
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    )
    return plan.component("coredns", "-conf", str(config))


def api_objects(node_address: str) -> dict[str, dict[str, Any]]:
    """What cluster DNS needs in the API, by the path it is created at."""
    meta = {"name": "system:coredns"}
    reading = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    in_system = {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    slice_labels = {"kubernetes.io/service-name": "kube-dns"}
    return {
        f"/apis/{rbac}/v1/clusterroles": {"metadata": meta, "rules": reading},
        f"/apis/{rbac}/v1/clusterrolebindings": {
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "system:coredns"}],
        },
        "/api/v1/namespaces/kube-system/services": {
            "metadata": in_system,
            "spec": {"clusterIP": DNS_SERVICE_ADDRESS, "ports": ports},
        },
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices": {
            "metadata": {**in_system, "name": "kube-dns-node", "labels": slice_labels},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [node_address], "conditions": {"ready": True}}],
        },
    }
