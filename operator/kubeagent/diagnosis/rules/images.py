"""Images that cannot be pulled: the container runtime's message says whether the name, the registry or the
login is at fault. The thing to change is the image of the workload's container, except where the registry
or the node is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kubeagent.diagnosis.findings import Finding, Reason, Weight
from kubeagent.diagnosis.objects import objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

_LOOKS_AT = "ErrImagePull and ImagePullBackOff messages, pull events, the revision that set the image"


def _reason(code: str, advice: str, category: Category = Category.IMAGE, weight: Weight = Weight.EXACT) -> Reason:
    return Reason(code, category, weight, _LOOKS_AT, advice)


IMAGE_NOT_FOUND = _reason("ImageNotFound", "Set the image to a tag that exists, or undo the revision that set it.")
IMAGE_NAME_INVALID = _reason("ImageNameInvalid", "Correct the image reference; it cannot be parsed.")
IMAGE_NOT_PRESENT = _reason("ImageNeverPulled", "Load the image onto the node, or change imagePullPolicy from Never.")
IMAGE_PULL_UNAUTHORIZED = _reason("ImagePullUnauthorized", "Correct the pull Secret or the image name.")
IMAGE_REGISTRY_UNKNOWN = _reason("ImageRegistryNotFound", "Correct the registry's host name in the image.")
IMAGE_REGISTRY_UNREACHABLE = _reason(
    "ImageRegistryUnreachable",
    "Check the registry and the way to it, or the host in the image.",
    weight=Weight.SPECIFIC,
)
IMAGE_REGISTRY_UNTRUSTED = _reason(
    "ImageRegistryUntrusted", "Give the node's container runtime the registry's CA.", Category.CERTIFICATE
)
IMAGE_PULL_RATE_LIMITED = _reason("ImagePullRateLimited", "Authenticate the pulls or use a mirror.")
IMAGE_PULL_FAILED = _reason(
    "ImagePullFailed", "Read the runtime's message; check image and registry.", weight=Weight.LIKELY
)

_BY_MESSAGE: Final = (
    (re.compile(r"couldn't parse image|invalid reference format|InvalidImageName", re.I), IMAGE_NAME_INVALID),
    (re.compile(r"not present with pull policy of never|ErrImageNeverPull", re.I), IMAGE_NOT_PRESENT),
    (re.compile(r"no such host|server misbehaving", re.I), IMAGE_REGISTRY_UNKNOWN),
    (re.compile(r"x509|certificate|HTTP response to HTTPS", re.I), IMAGE_REGISTRY_UNTRUSTED),
    (re.compile(r"toomanyrequests|rate limit|429", re.I), IMAGE_PULL_RATE_LIMITED),
    (
        re.compile(r"connection refused|i/o timeout|timeout|unreachable|no route|connection reset|EOF|50[234]", re.I),
        IMAGE_REGISTRY_UNREACHABLE,
    ),
    (re.compile(r"not found|manifest unknown|name unknown|repository does not exist", re.I), IMAGE_NOT_FOUND),
    (
        re.compile(r"40[13]|unauthorized|forbidden|denied|authentication|authorization", re.I),
        IMAGE_PULL_UNAUTHORIZED,
    ),
)
IMAGE_POLICY_CHANGED = _reason(
    "ImagePullPolicyChanged", "Put imagePullPolicy back to what it was, or push the image to its registry."
)
REASONS: Final = (*dict.fromkeys(reason for _, reason in _BY_MESSAGE), IMAGE_PULL_FAILED, IMAGE_POLICY_CHANGED)
_TOLD: Final = {
    IMAGE_NOT_FOUND: "does not exist in its registry",
    IMAGE_NAME_INVALID: "is not a valid reference",
    IMAGE_NOT_PRESENT: "is not on the node, and the pull policy is Never",
    IMAGE_PULL_UNAUTHORIZED: "may not be pulled with the credentials given",
    IMAGE_REGISTRY_UNKNOWN: "names a registry host that does not exist",
    IMAGE_REGISTRY_UNREACHABLE: "cannot be pulled: its registry does not answer",
    IMAGE_REGISTRY_UNTRUSTED: "cannot be pulled: the node does not trust its registry",
    IMAGE_PULL_RATE_LIMITED: "cannot be pulled: the registry limits the rate",
    IMAGE_PULL_FAILED: "cannot be pulled",
}


def unpullable(scene: Scene) -> Iterator[Finding]:
    """A container whose image cannot be had."""
    for trouble in scene.in_trouble(Kind.IMAGE):
        yield _finding(scene, trouble)


def _finding(scene: Scene, trouble: Trouble) -> Finding:
    reason, quote = _classify(scene, trouble)
    by_policy = _only_policy_changed(scene, trouble)
    workload, path = scene.place(trouble, ".imagePullPolicy" if by_policy else ".image")
    image = text(scene.container(trouble), "image")
    alteration = scene.alteration(workload, path)
    difference = scene.difference(workload, path)
    before = f"; before it was {difference.old}" if difference and difference.old else ""
    told = f"image {image} of container {trouble.container} in {workload} {_TOLD[reason]}"
    if by_policy and difference:
        before = f"; imagePullPolicy was changed from {difference.old} to {difference.new}"
    return Finding(
        IMAGE_POLICY_CHANGED if by_policy else reason,
        workload,
        f"{told}{before}{scene.told(alteration)}",
        field=path,
        message=f"image {image} {_TOLD[reason]}{before}",
        quotes=(quote, *scene.field_quotes(workload, path), *scene.change_quotes(workload, path)),
        effects=victim(trouble),
        alteration=alteration,
        since=trouble.since,
        certain=reason is not IMAGE_PULL_FAILED,
    )


def _classify(scene: Scene, trouble: Trouble) -> tuple[Reason, Quote]:
    """The reason and the message that tells it: back-off messages of older kubelets say less than the pull's
    event.
    """
    events = [
        event
        for event in scene.view.events(trouble.pod, "Failed", "InspectFailed", "ErrImageNeverPull")
        if event.container in ("", trouble.container)
    ]
    said = [(trouble.message, trouble.quote), *((event.message, event.quote) for event in reversed(events))]
    for message, quote in said:
        told = _without_names(message, text(scene.container(trouble), "image"))
        for pattern, reason in _BY_MESSAGE:
            if pattern.search(told):
                return reason, quote
    return (IMAGE_NOT_PRESENT if trouble.reason == "ErrImageNeverPull" else IMAGE_PULL_FAILED), trouble.quote


def _without_names(message: str, image: str) -> str:
    """The message without the image's own name, in which `not-found` or `401` may occur."""
    for name in (image, image.rpartition(":")[0]):
        message = message.replace(name, "") if len(name) > 2 else message
    return re.sub(r'"[^"]*"', '""', message)


def _only_policy_changed(scene: Scene, trouble: Trouble) -> bool:
    workload, image = scene.place(trouble, ".image")
    policy = scene.difference(workload, image.removesuffix(".image") + ".imagePullPolicy")
    last = scene.difference(workload, image)
    newer = last is None or (policy is not None and policy.revision.number > last.revision.number)
    return policy is not None and policy.old is not None and newer


def missing_pull_secret(scene: Scene) -> Iterator[Finding]:
    """The pull Secret that a pod names could not be retrieved, and the pull was refused."""
    for trouble in scene.in_trouble(Kind.IMAGE):
        events = scene.view.events(trouble.pod, "FailedToRetrieveImagePullSecret")
        names = [text(item, "name") for item in objects(scene.spec(trouble.pod), "imagePullSecrets")]
        reason, quote = _classify(scene, trouble)
        if events and names and reason is IMAGE_PULL_UNAUTHORIZED:
            workload = scene.view.workload_of(trouble.pod)
            secret = ObjectKey("v1", "Secret", trouble.pod.namespace, names[0])
            yield Finding(
                PULL_SECRET_MISSING,
                secret,
                f"{secret}, with which {workload} pulls its image, could not be retrieved",
                quotes=(quote, events[-1].quote, *scene.field_quotes(trouble.pod, "spec.imagePullSecrets")),
                effects=victim(trouble),
                since=trouble.since,
                certain=True,
            )


PULL_SECRET_MISSING = Reason(
    "ImagePullSecretMissing",
    Category.CONFIGURATION,
    Weight.EXACT,
    "FailedToRetrieveImagePullSecret together with a refused pull",
    "Create the pull Secret again; a person must do that.",
)
