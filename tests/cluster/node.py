"""The node of the local cluster: how containerd, the kubelet and kube-proxy are run.

Pods get addresses of their own and reach each other, the Services and, in the node's name, the host.
"""

from typing import Any

from . import cgroups, images
from .network import DNS_SERVICE_ADDRESS, POD_RANGE
from .plan import Plan, write_json
from .processes import Component


def containerd(plan: Plan) -> Component:
    state = plan.paths.state
    networks = state / "cni"
    networks.mkdir()
    write_json(networks / "10-pods.conflist", _pod_network(plan))
    config = state / "containerd.toml"
    config.write_text(
        f"""\
version = 2
root = "{state}/containerd"
state = "/run/containerd"
[grpc]
address = "{plan.paths.containerd}"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.PAUSE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plan.cni_plugins}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{plan.snapshotter}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""
    )
    return Component(plan.paths, "containerd", (plan.containerd, "--config", str(config)))


def _pod_network(plan: Plan) -> dict[str, Any]:
    """Every pod has a link of its own to the node, so that all its traffic passes through the Services."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "dataDir": str(plan.paths.state / "pod-addresses"),
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": True, "ipam": {**addresses, "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(plan: Plan) -> Component:
    node, address = plan.paths.name, plan.link.node_address
    serving = plan.authority.issue("kubelet-serving", f"system:node:{node}", hosts=[node, address])
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "x509": {"clientCAFile": str(plan.authority.identity.certificate)},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{plan.paths.containerd}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.group(node),
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "nodeStatusUpdateFrequency": "4s",
        "volumePluginDir": str(plan.paths.state / "volume-plugins"),
    }
    return plan.component(
        "kubelet",
        f"--config={write_json(plan.paths.state / 'kubelet.json', config)}",
        f"--kubeconfig={plan.client('kubelet', f'system:node:{node}', 'system:nodes')}",
        f"--root-dir={plan.paths.state / 'kubelet'}",
        f"--hostname-override={node}",
        f"--node-ip={address}",
        "--v=2",
    )


def proxy(plan: Plan) -> Component:
    return plan.component(
        "kube-proxy",
        f"--kubeconfig={plan.client('kube-proxy', 'system:kube-proxy')}",
        f"--hostname-override={plan.paths.name}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={POD_RANGE}",
        "--conntrack-max-per-core=0",
        "--healthz-bind-address=0.0.0.0:10256",
    )
