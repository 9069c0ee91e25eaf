"""Claims that are not bound, and what they keep from starting."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubeagent.diagnosis.findings import Finding, Reason, Weight, states
from kubeagent.diagnosis.history import differences, has_run
from kubeagent.diagnosis.objects import dig, mapping, objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.troubles import Kind
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

STORAGE_CLASS_MISSING = Reason(
    "StorageClassNotFound",
    Category.STORAGE,
    Weight.EXACT,
    "a pending claim, ProvisioningFailed, and the list of StorageClasses",
    "Make a claim with a class that exists (the field cannot be changed), or create the class.",
)
NO_DEFAULT_CLASS = Reason(
    "NoDefaultStorageClass",
    Category.STORAGE,
    Weight.SPECIFIC,
    "a pending claim without a class, and no StorageClass marked as default",
    "Mark a StorageClass as default, or name one in the claim.",
)
CLAIM_MISSING = Reason(
    "PersistentVolumeClaimNotFound",
    Category.STORAGE,
    Weight.EXACT,
    "FailedScheduling naming a claim that does not exist",
    "Create the claim, or correct the claimName.",
)
CLAIM_PENDING = Reason(
    "ClaimPending",
    Category.STORAGE,
    Weight.SYMPTOM,
    "a claim in phase Pending or Lost",
    "",
)
VOLUME_NOT_MOUNTED = Reason(
    "VolumeMountFailed",
    Category.STORAGE,
    Weight.LIKELY,
    "FailedMount and FailedAttachVolume with a cause that is neither ConfigMap nor Secret",
    "Read the kubelet's message: driver, path or attachment.",
)

_CLAIM_NOT_FOUND = re.compile(r"persistentvolumeclaim \"([^\"]+)\" not found", re.I)
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_OBJECT = re.compile(r"(configmap|secret)s? |non-existent (config|secret) key", re.I)


def pending_claims(scene: Scene) -> Iterator[Finding]:
    """A claim that is not bound, and the class that it asks for."""
    for key in scene.view.kind("PersistentVolumeClaim"):
        claim = scene.view.get(key)
        if text(claim, "status", "phase") not in ("Pending", "Lost"):
            continue
        name = dig(claim, "spec", "storageClassName")
        if isinstance(name, str) and name and scene.view.is_absent("StorageClass", "", name):
            yield _class_missing(scene, key, name)
        elif name is None and not text(claim, "spec", "volumeName") and _no_default(scene):
            yield _no_default_class(scene, key)
        yield from _pending(scene, key)


def _class_missing(scene: Scene, key: ObjectKey, name: str) -> Finding:
    place, field = _where_class_is_set(scene, key, name)
    alteration = scene.alteration(place, field)
    known = ", ".join(item.name for item in scene.view.kind("StorageClass")) or "none"
    events = scene.view.events(key, "ProvisioningFailed")
    return Finding(
        STORAGE_CLASS_MISSING,
        place,
        f"{place} asks for StorageClass {name}, which does not exist (there is {known}); {key} stays Pending"
        f"{scene.told(alteration)}",
        field=field,
        message=f"StorageClass {name} does not exist",
        quotes=(
            *(event.quote for event in events[-1:]),
            *scene.field_quotes(key, "spec.storageClassName"),
            *scene.field_quotes(place, field),
            Quote(
                "absent",
                ObjectKey("storage.k8s.io/v1", "StorageClass", "", name),
                f"StorageClass {name} not found",
            ),
        ),
        effects=states(key),
        alteration=alteration,
        since=events[0].time if events else None,
        certain=True,
    )


def _where_class_is_set(scene: Scene, key: ObjectKey, name: str) -> tuple[ObjectKey, str]:
    """The StatefulSet's claim template if it made this claim, else the claim."""
    for workload in scene.view.kind("StatefulSet", key.namespace):
        for template in objects(scene.view.get(workload), "spec", "volumeClaimTemplates"):
            volume = text(template, "metadata", "name")
            made = re.fullmatch(rf"{re.escape(volume)}-{re.escape(workload.name)}-\d+", key.name)
            if made and text(template, "spec", "storageClassName") == name:
                return workload, f"spec.volumeClaimTemplates[name={volume}].spec.storageClassName"
    return key, "spec.storageClassName"


def _no_default(scene: Scene) -> bool:
    classes = [scene.view.get(key) for key in scene.view.kind("StorageClass")]
    marked = [item for item in classes if "true" in (text(item, "metadata", "annotations", name) for name in _DEFAULT)]
    return scene.view.listed("StorageClass") and not marked


def _no_default_class(scene: Scene, key: ObjectKey) -> Finding:
    events = scene.view.events(key, "FailedBinding")
    return Finding(
        NO_DEFAULT_CLASS,
        key,
        f"{key} names no StorageClass, and the cluster has no default one",
        field="spec.storageClassName",
        quotes=(*(event.quote for event in events[-1:]), *scene.field_quotes(key, "status.phase")),
        effects=states(key),
        certain=bool(events),
    )


def _pending(scene: Scene, key: ObjectKey) -> Iterator[Finding]:
    """The symptom itself; a claim that waits for its first consumer is no symptom."""
    events = scene.view.events(key)
    waiting = events and events[-1].reason in ("WaitForFirstConsumer", "WaitForPodScheduled")
    failing = scene.view.events(key, "ProvisioningFailed", "FailedBinding", "VolumeMismatch")
    if failing and not waiting:
        yield Finding(
            CLAIM_PENDING,
            key,
            f"{key} is not bound: {failing[-1].message}",
            quotes=(failing[-1].quote,),
            shows=states(key),
            effects=states(key),
            since=failing[0].time,
        )


def missing_claim(scene: Scene) -> Iterator[Finding]:
    """A pod names a claim that does not exist."""
    for trouble in scene.in_trouble(Kind.UNSCHEDULABLE):
        match = _CLAIM_NOT_FOUND.search(trouble.message)
        key = ObjectKey("v1", "PersistentVolumeClaim", trouble.pod.namespace, match.group(1)) if match else None
        if key and not scene.view.get(key):
            workload = scene.view.workload_of(trouble.pod)
            named = [] if has_run(scene.view, workload) else differences(scene.view, workload)
            new = next((item for item in named if item.path.endswith(".claimName") and item.new == key.name), None)
            alteration = scene.alteration(workload, new.path) if new else None
            what = f"{workload} now mounts {key}, which does not exist" if new else f"{key} does not exist"
            yield Finding(
                CLAIM_MISSING,
                workload if new else key,
                f"{what}{scene.told(alteration)}" if new else f"{what}, and pods of {workload} mount it",
                field=new.path if new else "",
                message=what,
                quotes=(trouble.quote, *(new.quotes() if new else ())),
                effects=victim(trouble),
                alteration=alteration,
                since=trouble.since,
                certain=True,
            )


def mount_failed(scene: Scene) -> Iterator[Finding]:
    """A volume that cannot be mounted for another reason than a missing ConfigMap or Secret."""
    for trouble in scene.in_trouble(Kind.MOUNT):
        if _OBJECT.search(trouble.message):
            continue
        workload = scene.view.workload_of(trouble.pod)
        volume = re.search(r"volume \"([^\"]+)\"", trouble.message)
        path = f"spec.template.spec.volumes[name={volume.group(1)}]" if volume else ""
        obj = scene.view.get(workload)
        yield Finding(
            VOLUME_NOT_MOUNTED,
            workload,
            f"a volume of {workload} cannot be mounted: {trouble.message}",
            field=path if volume and mapping(obj, "spec", "template") else "",
            quotes=(trouble.quote,),
            effects=victim(trouble),
            since=trouble.since,
        )
