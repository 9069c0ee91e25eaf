"""The control plane of the local cluster: how etcd and the three components that use it are run.

The settings are those of an ordinary small cluster (Node and RBAC authorisation, certificates that are
checked, default intervals), and differ where a test cluster has to: no leader election, since nobody stands
by; quick detection of a lost node; an audit log of every request; etcd without fsync, since nothing has to
survive.
"""

from .network import API_SERVICE_ADDRESS, SERVICE_RANGE
from .plan import API_PORT, Plan, write_json
from .processes import Component

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def etcd(plan: Plan) -> Component:
    return plan.component(
        "etcd",
        f"--data-dir={plan.paths.state / 'etcd'}",
        "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
    )


def api_server(plan: Plan) -> Component:
    hosts = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    hosts += ["kubernetes.default.svc.cluster.local"]
    hosts += ["127.0.0.1", API_SERVICE_ADDRESS, plan.link.node_address]
    serving = plan.authority.issue("kube-apiserver", "kube-apiserver", hosts=hosts)
    tokens = plan.authority.key_pair("service-accounts")
    to_kubelet = plan.authority.issue("to-kubelet", "kube-apiserver-kubelet-client", ["system:masters"])
    front_proxy = plan.authority.issue("front-proxy", "front-proxy-client")
    authority = plan.authority.identity.certificate
    return plan.component(
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--secure-port={API_PORT}",
        f"--advertise-address={plan.link.node_address}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--client-ca-file={authority}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={tokens.certificate}",
        f"--service-account-signing-key-file={tokens.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={authority}",
        f"--kubelet-client-certificate={to_kubelet.certificate}",
        f"--kubelet-client-key={to_kubelet.key}",
        f"--requestheader-client-ca-file={authority}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={front_proxy.certificate}",
        f"--proxy-client-key-file={front_proxy.key}",
        f"--audit-policy-file={write_json(plan.paths.state / 'audit-policy.json', AUDIT_POLICY)}",
        f"--audit-log-path={plan.paths.logs / 'audit.jsonl'}",
        "--v=1",
    )


def controller_manager(plan: Plan) -> Component:
    kubeconfig = plan.client("kube-controller-manager", "system:kube-controller-manager")
    authority = plan.authority.identity
    return plan.component(
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={plan.paths.state / 'pki/service-accounts.key'}",
        f"--root-ca-file={authority.certificate}",
        f"--cluster-signing-cert-file={authority.certificate}",
        f"--cluster-signing-key-file={authority.key}",
        "--node-monitor-grace-period=20s",
        "--node-monitor-period=1s",
        "--kube-api-qps=200",  # its controllers start one after the other, a few requests each
        "--kube-api-burst=400",
        "--bind-address=127.0.0.1",
    )


def scheduler(plan: Plan) -> Component:
    kubeconfig = plan.client("kube-scheduler", "system:kube-scheduler")
    return plan.component(
        "kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )
