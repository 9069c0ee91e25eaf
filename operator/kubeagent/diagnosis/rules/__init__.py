"""What the engine knows: the table of rules, in the order in which a person would look.

A rule is a pure function from the scene to findings; it knows no other rule. To add knowledge, write a
function with its reasons and add a row. docs/reference/causes.md is generated from this table.
"""

from __future__ import annotations

from typing import Final

from kubeagent.diagnosis.findings import Reason, Rule
from kubeagent.diagnosis.rules import (
    admission,
    clients,
    config,
    controllers,
    crashes,
    drift,
    images,
    nodes,
    probes,
    routes,
    scheduling,
    storage,
    symptoms,
    traffic,
)
from kubeagent.diagnosis.scene import Scene

RULES: Final[tuple[Rule[Scene], ...]] = (
    # A container cannot be made, because something it refers to is not there
    Rule(
        config.missing_key,
        (config.CONFIG_MAP_KEY_MISSING, config.SECRET_KEY_MISSING, config.REFERENCE_CHANGED),
    ),
    Rule(config.missing_object, (config.CONFIG_MAP_MISSING, config.SECRET_MISSING)),
    Rule(config.runs_as_root, (config.RUNS_AS_ROOT,)),
    # Its image cannot be had
    Rule(images.unpullable, images.REASONS),
    Rule(images.missing_pull_secret, (images.PULL_SECRET_MISSING,)),
    # It starts and ends
    Rule(crashes.out_of_memory, (crashes.MEMORY_LIMIT_LOWERED, crashes.MEMORY_LIMIT_EXCEEDED)),
    Rule(crashes.variable_removed, (crashes.ENV_REMOVED,)),
    Rule(crashes.variable_changed, (crashes.ENV_CHANGED,)),
    Rule(drift.lost_variable, (drift.CONFIG_MAP_VALUE_LOST, drift.SECRET_VALUE_LOST)),
    Rule(drift.edited_config, (drift.CONFIG_MAP_VALUE_CHANGED, drift.CONFIG_MAP_CHANGED)),
    Rule(crashes.cannot_run, (crashes.COMMAND_FAILS,)),
    Rule(crashes.command_completes, (crashes.COMMAND_ENDS,)),
    Rule(
        crashes.crashes_since_revision,
        (crashes.COMMAND_CHANGED, crashes.IMAGE_CHANGED, crashes.REVISION_CRASHES),
    ),
    Rule(crashes.application_crash, (crashes.APPLICATION_CRASH,)),
    # It runs, and a probe says no
    Rule(
        probes.failing_probes,
        (
            probes.LIVENESS_WRONG,
            probes.LIVENESS_FAILS,
            probes.STARTUP_WRONG,
            probes.STARTUP_FAILS,
            probes.READINESS_WRONG,
            probes.READINESS_FAILS,
        ),
    ),
    # No node takes the pod
    Rule(scheduling.unschedulable, scheduling.REASONS),
    Rule(scheduling.wanted_nowhere, (scheduling.NODE_SELECTOR_UNMATCHED, scheduling.NODE_AFFINITY_UNMATCHED)),
    Rule(scheduling.unseen, (scheduling.SCHEDULER_UNKNOWN,)),
    Rule(scheduling.gated, (scheduling.SCHEDULING_GATED,)),
    # Its storage is not there
    Rule(
        storage.pending_claims,
        (storage.STORAGE_CLASS_MISSING, storage.NO_DEFAULT_CLASS, storage.CLAIM_PENDING),
    ),
    Rule(storage.missing_claim, (storage.CLAIM_MISSING,)),
    Rule(storage.mount_failed, (storage.VOLUME_NOT_MOUNTED,)),
    # The API server does not let the pod be made
    Rule(admission.refused_pods, admission.REASONS),
    # Others cannot reach it
    Rule(traffic.wrong_selector, (traffic.SELECTOR_MATCHES_NOTHING, traffic.POD_LABELS_CHANGED)),
    Rule(traffic.wrong_target_port, (traffic.TARGET_PORT_WRONG, traffic.CONTAINER_PORT_CHANGED)),
    Rule(traffic.scaled_to_zero, (traffic.SCALED_TO_ZERO,)),
    Rule(
        clients.complaints,
        (
            clients.DEPENDENCY_UNREACHABLE,
            clients.SERVICE_MISSING,
            clients.HOST_WRONG,
            clients.SERVICE_PORT_WRONG,
            clients.SERVICE_PORT_CHANGED,
        ),
    ),
    Rule(traffic.without_endpoints, (traffic.NO_ENDPOINTS,)),
    Rule(routes.broken_backends, (clients.SERVICE_MISSING, routes.BACKEND_WRONG)),
    # The workload object itself
    Rule(controllers.paused, (controllers.ROLLOUT_PAUSED,)),
    Rule(controllers.failed_jobs, (controllers.JOB_BACKOFF, controllers.JOB_DEADLINE)),
    Rule(controllers.scale_target_missing, (controllers.SCALE_TARGET_MISSING,)),
    # The node
    Rule(nodes.not_ready, (nodes.NODE_NOT_READY,)),
    Rule(nodes.under_pressure, (nodes.NODE_PRESSURE,)),
    Rule(nodes.rejected_pods, (controllers.POD_REJECTED,)),
    Rule(nodes.sandboxes, (nodes.SANDBOX_FAILED,)),
    # What is left to say if nothing above explains it
    Rule(symptoms.pods, tuple(reason for reason in symptoms.REASONS if reason is not symptoms.NOT_CREATED)),
    Rule(symptoms.refused, (symptoms.NOT_CREATED,)),
)

CATALOGUE: Final[tuple[Reason, ...]] = tuple(dict.fromkeys(reason for rule in RULES for reason in rule.reasons))
