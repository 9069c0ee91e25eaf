"""The kinds of Kubernetes that we read by name: where each is served, whether it has a namespace, what people call it.

A closed table instead of discovery keeps the edge's reads a closed set of paths. A kind that is not here is looked up
in the cluster's own discovery by the adapter. Secret is deliberately absent: nothing here ever reads one.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """One row: `path` is the collection's place below the API root, without namespace."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """`/api/v1` or `/apis/apps/v1`."""
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of the collection (in one namespace or in all), or of one object in it."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        return "/".join(parts)


KINDS: Final[tuple[Kind, ...]] = (
    Kind("v1", "Pod", "pods", aliases=("po",)),
    Kind("v1", "Service", "services", aliases=("svc",)),
    Kind("v1", "Endpoints", "endpoints", aliases=("ep",)),
    Kind("v1", "ConfigMap", "configmaps", aliases=("cm",)),
    Kind("v1", "Event", "events", aliases=("ev",)),
    Kind("v1", "ServiceAccount", "serviceaccounts", aliases=("sa",)),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", aliases=("pvc",)),
    Kind("v1", "ReplicationController", "replicationcontrollers", aliases=("rc",)),
    Kind("v1", "ResourceQuota", "resourcequotas", aliases=("quota",)),
    Kind("v1", "LimitRange", "limitranges", aliases=("limits",)),
    Kind("v1", "Node", "nodes", namespaced=False, aliases=("no",)),
    Kind("v1", "Namespace", "namespaces", namespaced=False, aliases=("ns",)),
    Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False, aliases=("pv",)),
    Kind("apps/v1", "Deployment", "deployments", aliases=("deploy",)),
    Kind("apps/v1", "ReplicaSet", "replicasets", aliases=("rs",)),
    Kind("apps/v1", "StatefulSet", "statefulsets", aliases=("sts",)),
    Kind("apps/v1", "DaemonSet", "daemonsets", aliases=("ds",)),
    Kind("apps/v1", "ControllerRevision", "controllerrevisions"),
    Kind("batch/v1", "Job", "jobs"),
    Kind("batch/v1", "CronJob", "cronjobs", aliases=("cj",)),
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", aliases=("hpa",)),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", aliases=("pdb",)),
    Kind("networking.k8s.io/v1", "Ingress", "ingresses", aliases=("ing",)),
    Kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", aliases=("netpol",)),
    Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False, aliases=("sc",)),
    Kind("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", namespaced=False),
    Kind("storage.k8s.io/v1", "CSIDriver", "csidrivers", namespaced=False),
    Kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False, aliases=("pc",)),
    Kind("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", namespaced=False),
    Kind("coordination.k8s.io/v1", "Lease", "leases"),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    Kind(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        namespaced=False,
    ),
    Kind("apiregistration.k8s.io/v1", "APIService", "apiservices", namespaced=False),
    Kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        False,
        aliases=("crd",),
    ),
)

_BY_KIND: Final = {row.kind: row for row in KINDS}
_BY_WORD: Final = {
    word: row for row in KINDS for word in (row.kind.lower(), row.plural, row.kind.lower() + "s", *row.aliases)
}


def by_kind(kind: str, api_version: str = "") -> Kind | None:
    """The row of a kind. An apiVersion of another group finds nothing; another version of the group finds the row."""
    row = _BY_KIND.get(kind)
    if row is None or (api_version and _group(api_version) != _group(row.api_version)):
        return None
    return row


def by_word(word: str) -> Kind | None:
    """The row that people mean by `deploy`, `deployment`, `deployments`, `Deployment`."""
    return _BY_WORD.get(word.lower())


def is_secret(kind: str) -> bool:
    """Whether the word means Secrets, whatever apiVersion it comes with: those are never read."""
    return kind.lower() in ("secret", "secrets", "secretlist")


def _group(api_version: str) -> str:
    group, slash, _ = api_version.rpartition("/")
    return group if slash else ""
