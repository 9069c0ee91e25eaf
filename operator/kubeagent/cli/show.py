"""`kubeagent show TASK`: the verdict that the hub wrote, as the same tree that `diagnose` prints."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError
from rich.console import Console

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.render import render
from kubeagent.errors import ClusterError
from kubeagent.resources.conditions import find
from kubeagent.resources.diagnosistask import DiagnosisTask
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome, Verdict

EXIT_NOT_ENDED = 2
EXIT_CODES = {Outcome.NO_FAULT_FOUND: 0, Outcome.ROOT_CAUSE_FOUND: 1, Outcome.UNDETERMINED: 2}


def run(name: str, namespace: str | None, context: str | None, kubeconfig: str | None = None) -> int:
    """Print the task; the exit code is that of `diagnose`."""
    where = ["-n", namespace] if namespace else []
    body = Kubectl(context, kubeconfig).json("get", "diagnosistasks.kubeagent.io", name, *where)
    try:
        task = DiagnosisTask.parse(body)
    except ValidationError as exc:
        raise ClusterError(f"DiagnosisTask {name} is not of the form that this version knows: {exc}") from exc
    console = Console(highlight=False)
    verdict = verdict_of(task)
    if verdict is None:
        state = find(task.status.conditions, "Succeeded")
        console.print(f"{task.key}: {task.status.phase or 'not seen by a hub yet'}. {state.message if state else ''}")
        return EXIT_NOT_ENDED
    render(verdict, target_of(task), task.status.completion_time or datetime.now(UTC), console)
    return EXIT_CODES[verdict.outcome]


def target_of(task: DiagnosisTask) -> ObjectKey:
    """What the task asked about."""
    target = task.spec.target
    return ObjectKey(target.api_version or "", target.kind, task.target_namespace, target.name or "")


def verdict_of(task: DiagnosisTask) -> Verdict | None:
    """The verdict in a task's status, once there is one."""
    status = task.status
    if status.outcome is None:
        return None
    ended = find(status.conditions, "Succeeded")
    causes = (*((status.root_cause,) if status.root_cause else ()), *(status.other_root_causes or ()))
    return Verdict(
        outcome=status.outcome,
        reason=ended.reason if ended else status.outcome.value,
        message=ended.message[:1024] if ended else "",
        root_causes=causes,
        alternatives=status.alternatives or (),
        unreadable=status.unreadable or (),
    )
