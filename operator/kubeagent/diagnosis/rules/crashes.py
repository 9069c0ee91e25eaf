"""Containers that end when they should run: killed for memory, missing a variable, ended by a command that
changed.

A crash has a thousand causes inside the application. What can be said for certain is what changed between the
revision that ran and the one that does not, and what the last words in the log were; without either it stays
`ApplicationCrash`, with the log quoted and modest confidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kubeagent.diagnosis.findings import Finding, Reason, Weight
from kubeagent.diagnosis.history import Difference, differences
from kubeagent.diagnosis.objects import text
from kubeagent.diagnosis.quantities import parse
from kubeagent.diagnosis.quotes import Quote, sentence
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.diagnosis.workloads import container_named
from kubeagent.resources.verdict import Category

MEMORY_LIMIT_LOWERED = Reason(
    "MemoryLimitLowered",
    Category.RESOURCES,
    Weight.EXACT,
    "OOMKilled, and a revision that lowered limits.memory of that container",
    "Put the memory limit back to what it was.",
)
MEMORY_LIMIT_EXCEEDED = Reason(
    "MemoryLimitExceeded",
    Category.RESOURCES,
    Weight.SPECIFIC,
    "OOMKilled with the container's memory limit",
    "Raise the memory limit, or find out why the process needs more.",
)
ENV_REMOVED = Reason(
    "EnvVariableRemoved",
    Category.CONFIGURATION,
    Weight.EXACT,
    "a crash, a revision that removed an env variable, and a log that names it",
    "Put the variable back into the container's env.",
)
ENV_CHANGED = Reason(
    "EnvVariableChanged",
    Category.CONFIGURATION,
    Weight.SPECIFIC,
    "a crash, and a newest revision that changed nothing but env variables of that container",
    "Put the variable back to its former value.",
)
COMMAND_FAILS = Reason(
    "CommandCannotRun",
    Category.APPLICATION,
    Weight.EXACT,
    "the runtime could not start the command: executable not found, permission denied",
    "Correct command or args, or use an image that has the executable.",
)
COMMAND_CHANGED = Reason(
    "CommandChanged",
    Category.APPLICATION,
    Weight.SPECIFIC,
    "a crash, and a newest revision that changed nothing but command or args of that container",
    "Put command and args back to what they were.",
)
IMAGE_CHANGED = Reason(
    "ImageChanged",
    Category.IMAGE,
    Weight.SPECIFIC,
    "a crash, and a newest revision that changed nothing but the image of that container",
    "Undo the revision, or use an image that runs.",
)
REVISION_CRASHES = Reason(
    "RevisionCrashes",
    Category.ROLLOUT,
    Weight.LIKELY,
    "a crash that began with a new revision, whose differences are quoted",
    "Undo the revision, or correct what it changed.",
)
COMMAND_ENDS = Reason(
    "CommandCompletes",
    Category.APPLICATION,
    Weight.SPECIFIC,
    "exit code 0 over and over under restartPolicy Always",
    "Run a command that keeps running, or use a Job.",
)
APPLICATION_CRASH = Reason(
    "ApplicationCrash",
    Category.APPLICATION,
    Weight.GENERIC,
    "exit code and the last words of the log",
    "Read the quoted log lines; nothing around the workload explains the crash.",
)

_ERROR: Final = re.compile(
    r"panic|fatal|error|exception|not set|missing|required|denied|refused|cannot|could not|failed|no "
    r"such|invalid"
    r"|undefined|unknown|unable|must|unset|unbound|not found|does not exist|traceback",
    re.I,
)
_MAX_TAIL = 60


def out_of_memory(scene: Scene) -> Iterator[Finding]:
    """The kernel killed a container that met its memory limit."""
    for trouble in scene.in_trouble(Kind.OOM, Kind.CRASH):
        workload, path = scene.place(trouble, ".resources.limits.memory")
        limit = text(scene.container(trouble), "resources", "limits", "memory")
        difference = scene.difference(workload, path)
        lowered = difference is not None and _is_lower(difference)
        if trouble.kind is not Kind.OOM and not (lowered and _was_killed(scene, trouble)):
            continue
        alteration = scene.alteration(workload, path)
        yield Finding(
            MEMORY_LIMIT_LOWERED if lowered else MEMORY_LIMIT_EXCEEDED,
            workload,
            f"container {trouble.container} of {workload} is OOMKilled{_limit(difference if lowered else None, limit)}"
            f"{scene.told(alteration)}",
            field=path,
            quotes=(trouble.quote, *scene.field_quotes(workload, path), *scene.change_quotes(workload, path)),
            effects=victim(trouble),
            alteration=alteration,
            since=trouble.since,
            certain=trouble.kind is Kind.OOM and bool(limit),
        )


def _limit(lowered: Difference | None, limit: str) -> str:
    if lowered and lowered.old:
        return f": its memory limit was lowered from {lowered.old} to {limit}"
    if lowered:
        return f": a memory limit of {limit} was set, where there was none"
    return f" at its memory limit of {limit}" if limit else " and has no memory limit of its own"


def _was_killed(scene: Scene, trouble: Trouble) -> bool:
    """SIGKILL that no probe and nobody else asked for: what is left is the kernel, short of memory."""
    return trouble.exit_code == 137 and not scene.view.events(trouble.pod, "Killing", "Unhealthy")


def _is_lower(difference: Difference) -> bool:
    old, new = parse(difference.old), parse(difference.new)
    return new is not None and (old is None or new < old)


def variable_removed(scene: Scene) -> Iterator[Finding]:
    """The newest revision took an env variable away from a container that now ends."""
    for trouble in scene.in_trouble(Kind.CRASH):
        workload, path = scene.place(trouble, ".env")
        gone = [item for item in _env_differences(scene, trouble) if _is_removal(item)]
        for name in dict.fromkeys(_variable(item.path) for item in gone):
            line = _line_naming(scene, trouble, name)
            if line or len(_changed_parts(scene, trouble)) == 1:
                quotes = [
                    quote for item in gone if item.path.endswith(f"[name={name}].name") for quote in item.quotes()
                ]
                alteration = scene.alteration(workload, gone[0].path)
                yield Finding(
                    ENV_REMOVED,
                    workload,
                    f"container {trouble.container} of {workload} ends with exit code "
                    f"{trouble.exit_code} since env "
                    f"variable {name} was removed{scene.told(alteration)}",
                    field=path if name == "envFrom" else f"{path}[name={name}]",
                    quotes=(*([line] if line else []), trouble.quote, *quotes),
                    effects=victim(trouble),
                    alteration=alteration,
                    since=trouble.since,
                    certain=line is not None,
                )


def variable_changed(scene: Scene) -> Iterator[Finding]:
    """The newest revision changed env variables of the container that now ends, and hardly anything else."""
    for trouble in scene.in_trouble(Kind.CRASH):
        workload, path = scene.place(trouble, ".env")
        changed = [item for item in _env_differences(scene, trouble) if not _is_removal(item)]
        named = [item for item in changed if _line_naming(scene, trouble, _variable(item.path))]
        if not changed or (not named and len(_changed_parts(scene, trouble)) > 1):
            continue
        chosen = (named or changed)[0]
        name = _variable(chosen.path)
        line = _line_naming(scene, trouble, name) or last_words(scene, trouble)
        alteration = scene.alteration(workload, chosen.path)
        yield Finding(
            ENV_CHANGED,
            workload,
            f"container {trouble.container} of {workload} ends with exit code {trouble.exit_code} "
            "since env variable "
            f"{name} was changed{scene.told(alteration)}",
            field=f"{path}[name={name}]",
            quotes=(*([line] if line else []), trouble.quote, *chosen.quotes()),
            effects=victim(trouble),
            alteration=alteration,
            since=trouble.since,
            certain=bool(named) or _ran_before(scene, trouble),
        )


def _env_differences(scene: Scene, trouble: Trouble) -> list[Difference]:
    workload, path = scene.place(trouble, ".env")
    return [item for item in differences(scene.view, workload) if item.path.startswith((f"{path}[", f"{path}From"))]


def _is_removal(difference: Difference) -> bool:
    """Whether the variable is wholly gone, not only its value replaced by a reference."""
    name = difference.path.partition("].env[")[2]
    prefix = difference.path[: len(difference.path) - len(name)] + name.partition("]")[0] + "]"
    inner = prefix.partition("template.")[2]
    return difference.new is None and not any(path.startswith(inner) for path in difference.revision.fields)


def _variable(path: str) -> str:
    return path.partition(".env[name=")[2].partition("]")[0] or "envFrom"


def _changed_parts(scene: Scene, trouble: Trouble) -> set[str]:
    """Which parts of the template the newest revision changed: env of a container counts as one."""
    workload = scene.view.workload_of(trouble.pod)
    found = {item.path.partition(".env[")[0] for item in differences(scene.view, workload)}
    return {path for path in found if ".annotations" not in path and "template.metadata.labels" not in path}


def _line_naming(scene: Scene, trouble: Trouble, name: str) -> Quote | None:
    word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    return next((quote for quote in _tail(scene, trouble) if word.search(quote.text)), None)


def _tail(scene: Scene, trouble: Trouble) -> Iterator[Quote]:
    """The last lines that the container said before it ended, newest first."""
    where = f"spec.containers[name={trouble.container}]"
    if trouble.message:
        yield Quote("status", trouble.pod, trouble.message, trouble.since, where)
    for log in scene.view.logs(trouble.pod, trouble.container):
        for line in reversed(log.text.splitlines()[-_MAX_TAIL:]):
            if line.strip():
                yield Quote("log", trouble.pod, line, None, where)


def errors_said(scene: Scene, trouble: Trouble) -> list[Quote]:
    """The last lines that speak of an error, newest first."""
    return [quote for quote in _tail(scene, trouble) if _ERROR.search(quote.text)]


def last_words(scene: Scene, trouble: Trouble) -> Quote | None:
    """The line that most likely says why: the last one that speaks of an error, else the last one."""
    tail = list(_tail(scene, trouble))
    return next((quote for quote in tail if _ERROR.search(quote.text)), tail[0] if tail else None)


def cannot_run(scene: Scene) -> Iterator[Finding]:
    """The runtime could not start the command at all."""
    for trouble in scene.in_trouble(Kind.START):
        workload, path = scene.place(trouble)
        changed = [
            item for field in (".command", ".args", ".image") if (item := scene.difference(workload, path + field))
        ]
        newest = max(changed, key=lambda item: item.revision.number, default=None)
        field = path + (".image" if newest and newest.path == path + ".image" else ".command")
        alteration = scene.alteration(workload, field)
        yield Finding(
            COMMAND_FAILS,
            workload,
            f"container {trouble.container} of {workload} cannot be started: {sentence(trouble.message, 200)}"
            f"{scene.told(alteration)}",
            field=field,
            quotes=(
                trouble.quote,
                *scene.field_quotes(workload, field),
                *(newest.quotes() if newest else ()),
            ),
            effects=victim(trouble),
            alteration=alteration,
            since=trouble.since,
            certain=bool(trouble.message),
        )


def command_completes(scene: Scene) -> Iterator[Finding]:
    """A command that ends well, over and over."""
    for trouble in scene.in_trouble(Kind.CRASH):
        if trouble.exit_code == 0 and trouble.hard and not scene.view.events(trouble.pod, "Killing"):
            workload, path = scene.place(trouble, ".command")
            alteration = scene.alteration(workload, path)
            yield Finding(
                COMMAND_ENDS,
                workload,
                f"the command of container {trouble.container} in {workload} ends with exit code 0 "
                "and is started again"
                f"{scene.told(alteration)}",
                field=path,
                quotes=(
                    trouble.quote,
                    *scene.field_quotes(workload, path),
                    *scene.change_quotes(workload, path),
                ),
                effects=victim(trouble),
                alteration=alteration,
                since=trouble.since,
            )


def crashes_since_revision(scene: Scene) -> Iterator[Finding]:
    """A crash that came with a new revision, when nothing more precise is known."""
    for trouble in scene.in_trouble(Kind.CRASH):
        workload, path = scene.place(trouble)
        changed = [item for item in differences(scene.view, workload) if item.path.startswith(f"{path}.")]
        if not (trouble.hard and changed and _ran_before(scene, trouble)):
            continue
        words = last_words(scene, trouble)
        field = min((item.path for item in changed), key=_importance)
        name = field.removeprefix(path).strip(".")
        alteration = scene.alteration(workload, field)
        reason = _only_change(scene, trouble, path)
        said = f": {sentence(words.text, 200)}" if words else ""
        yield Finding(
            reason,
            workload,
            f"container {trouble.container} of {workload} ends with exit code {trouble.exit_code} "
            f"since {name} was changed{scene.told(alteration)}{said}",
            field=field,
            message=f"container {trouble.container} ends with exit code {trouble.exit_code} since {name} was changed",
            quotes=(
                trouble.quote,
                *([words] if words else []),
                *(q for item in changed[:4] for q in item.quotes()),
            ),
            effects=victim(trouble),
            alteration=alteration,
            since=trouble.since,
            certain=reason is not REVISION_CRASHES,
        )


def _only_change(scene: Scene, trouble: Trouble, path: str) -> Reason:
    """The reason if the newest revision changed one thing, and nothing else in the whole template."""
    parts = _changed_parts(scene, trouble)
    if parts and all(part.startswith((f"{path}.command", f"{path}.args")) for part in parts):
        return COMMAND_CHANGED
    return IMAGE_CHANGED if parts == {f"{path}.image"} else REVISION_CRASHES


def _ran_before(scene: Scene, trouble: Trouble) -> bool:
    """Whether the container existed in the revision before."""
    kept = differences(scene.view, scene.view.workload_of(trouble.pod))
    previous = kept[0].previous.template if kept else {}
    return bool(container_named(previous.get("spec", {}) if isinstance(previous, dict) else {}, trouble.container))


def _importance(path: str) -> tuple[int, str]:
    order = (".image", ".command", ".args", ".env", ".securityContext", ".volumeMounts", ".resources")
    return next((place for place, mark in enumerate(order) if mark in path), len(order)), path


def application_crash(scene: Scene) -> Iterator[Finding]:
    """A container that keeps ending, and what it said last."""
    for trouble in scene.in_trouble(Kind.CRASH):
        if not trouble.hard:
            continue
        workload = scene.view.workload_of(trouble.pod)
        words = last_words(scene, trouble)
        said = f": {sentence(words.text, 300)}" if words else ", and its log says nothing"
        yield Finding(
            APPLICATION_CRASH,
            workload,
            f"container {trouble.container} of {workload} keeps ending with exit code {trouble.exit_code}{said}",
            message=f"container {trouble.container} ends with exit code {trouble.exit_code}",
            quotes=(trouble.quote, *([words] if words else [])),
            shows=victim(trouble),
            effects=victim(trouble),
            since=trouble.since,
        )
