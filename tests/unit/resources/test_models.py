"""The models read what the API server holds, the seeds' own examples included, and write what it takes."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from kubeagent.resources.base import ObjectReference
from kubeagent.resources.diagnosistask import Agent, DiagnosisTask
from kubeagent.resources.managedcluster import ManagedCluster
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.runbook import Runbook

SEED_TASK = """
apiVersion: kubeagent.io/v1
kind: DiagnosisTask
metadata: {name: t1, namespace: web, uid: u1, generation: 1}
spec:
  target:
    kind: Pod
    name: nginx-pod
  agents: [diagnostician, remediator]
  autoRemediate: true
  approvalRequired: true
"""

SEED_RUNBOOK = """
apiVersion: kubeagent.io/v1
kind: Runbook
metadata: {name: oom, namespace: kubeagent-system}
spec:
  trigger: {errorType: OOMKilled, severity: high}
  steps:
    - name: usage
      action: query_metrics
      params: {query: container_memory_usage_bytes, window: 1h}
    - name: fix
      action: patch_resource
      params: {patch: '{"limits":{"memory":"{{.NewMemoryLimit}}"}}'}
"""


def test_the_seeds_task_loads_as_it_is() -> None:
    task = DiagnosisTask.parse(yaml.safe_load(SEED_TASK))
    assert (task.spec.cluster, task.target_namespace, task.spec.target.name) == ("local", "web", "nginx-pod")
    assert task.spec.agents == (Agent.DIAGNOSTICIAN, Agent.REMEDIATOR)
    assert not task.finished


def test_the_seeds_runbook_loads_with_its_free_parameters() -> None:
    runbook = Runbook.parse(yaml.safe_load(SEED_RUNBOOK))
    assert runbook.spec.steps[0].params == {"query": "container_memory_usage_bytes", "window": "1h"}
    assert runbook.spec.trigger.error_type == "OOMKilled"


def test_a_cluster_without_a_spec_is_not_accepted_and_never_remediated() -> None:
    cluster = ManagedCluster.parse({"metadata": {"name": "prod-eu"}})
    assert not cluster.spec.accepted
    assert (cluster.spec.remediation, cluster.spec.auto_remediation, cluster.spec.approvers.high) == (
        "Disabled",
        "Never",
        2,
    )


def test_the_uid_of_a_cluster_keeps_its_capitals() -> None:
    cluster = ManagedCluster.parse(
        {"metadata": {"name": "a"}, "spec": {"clusterUID": "u"}, "status": {"clusterUID": "u"}}
    )
    assert cluster.status.to_json() == {"clusterUID": "u", "conditions": []}


@pytest.mark.parametrize("spec", [{}, {"target": {"kind": "pod"}}, {"target": {"kind": "Pod", "namespace": "A_b"}}])
def test_a_wrong_spec_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DiagnosisTask.parse({"metadata": {"name": "t"}, "spec": spec})


def test_a_reference_reads_like_the_object_it_names() -> None:
    reference = ObjectReference.of(ObjectKey("v1", "ConfigMap", "shop", "env"), "data.DB_HOST")
    assert str(reference) == "ConfigMap shop/env data.DB_HOST"
    assert reference.key == ObjectKey("v1", "ConfigMap", "shop", "env")
    assert str(ObjectReference.of(ObjectKey("v1", "Node", "", "n1"))) == "Node n1"
