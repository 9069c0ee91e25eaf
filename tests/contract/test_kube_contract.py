"""What every Kubernetes adapter does, asked of the fake and of a real API server alike."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from kubeagent.errors import Conflict, Forbidden, Invalid, NotFound, UnknownKind
from kubeagent.kube.client import connect
from kubeagent.kube.port import Census, Object, Writer
from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey
from tests.fakes.kube import FakeCluster

pytestmark = pytest.mark.contract


class Kube(Census, Writer, Protocol):
    """Both."""


class Scene:
    """An adapter, and a namespace of our own in its cluster."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    def key(self, name: str, kind: str = "ConfigMap") -> ObjectKey:
        return ObjectKey("v1", kind, self.namespace, name)

    async def config_map(self, name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
        metadata = {"name": name, "namespace": self.namespace, "labels": labels or {}}
        return await self.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def maps(self, **more: str | int) -> List:
        return List("v1", "ConfigMap", self.namespace, **more)  # type: ignore[arg-type]


@pytest.fixture(params=["fake", "real"])
async def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    namespace = f"contract-{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        yield Scene(FakeCluster(), namespace)
        return
    cluster = request.getfixturevalue("cluster")
    monkeypatch.setenv("KUBECONFIG", os.fspath(cluster.kubeconfig))
    async with connect() as kube:
        made = await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        yield Scene(kube, namespace)
        await kube.delete(ObjectKey("v1", "Namespace", "", namespace), uid=made["metadata"]["uid"])


async def test_what_was_created_can_be_read(scene: Scene) -> None:
    made = await scene.config_map("one", colour="red")
    read = await scene.kube.get(Get(scene.key("one")))
    assert read["data"] == {"colour": "red"}
    assert (read["apiVersion"], read["kind"]) == ("v1", "ConfigMap")
    assert read["metadata"]["uid"] == made["metadata"]["uid"]


async def test_what_is_not_there_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound, match="absent"):
        await scene.kube.get(Get(scene.key("absent")))


async def test_creating_it_twice_is_a_conflict(scene: Scene) -> None:
    await scene.config_map("one")
    with pytest.raises(Conflict):
        await scene.config_map("one")


async def test_a_generated_name(scene: Scene) -> None:
    metadata = {"generateName": "made-", "namespace": scene.namespace}
    made = await scene.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert made["metadata"]["name"].startswith("made-")


async def test_a_list_names_the_kind_of_its_items(scene: Scene) -> None:
    await scene.config_map("one")
    page = await scene.kube.list(scene.maps(field_selector="metadata.name=one"))
    assert page.complete
    assert [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in page.objects] == [
        ("v1", "ConfigMap", "one")
    ]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=web", ["a", "b"]),
        ("app=web,tier!=back", ["a"]),
        ("app in (web,db),tier", ["a", "b", "c"]),
        ("tier notin (back,front)", ["c", "d"]),
        ("!tier", ["d"]),
        ("nothing=matches", []),
    ],
)
async def test_label_selectors(scene: Scene, selector: str, names: list[str]) -> None:
    await scene.config_map("a", {"app": "web", "tier": "front"})
    await scene.config_map("b", {"app": "web", "tier": "back"})
    await scene.config_map("c", {"app": "db", "tier": "store"})
    await scene.config_map("d", {"app": "other"})
    page = await scene.kube.list(scene.maps(label_selector=selector))
    found = [each["metadata"]["name"] for each in page.objects]
    assert [name for name in found if name != "kube-root-ca.crt"] == names


async def test_a_list_stops_at_its_limit_and_says_so(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        await scene.config_map(name, {"app": "web"})
    cut = await scene.kube.list(scene.maps(label_selector="app=web", limit=2))
    assert (len(cut.objects), cut.complete) == (2, False)
    whole = await scene.kube.list(scene.maps(label_selector="app=web", limit=3))
    assert (len(whole.objects), whole.complete) == (3, True)


async def test_a_patch_merges_and_a_null_removes(scene: Scene) -> None:
    await scene.config_map("one", keep="1", drop="2")
    await scene.kube.patch(scene.key("one"), {"data": {"drop": None, "new": "3"}})
    assert (await scene.kube.get(Get(scene.key("one"))))["data"] == {"keep": "1", "new": "3"}


async def test_a_patch_of_a_version_that_is_gone_is_a_conflict(scene: Scene) -> None:
    made = await scene.config_map("one", colour="red")
    version = made["metadata"]["resourceVersion"]
    await scene.kube.patch(scene.key("one"), {"metadata": {"resourceVersion": version}, "data": {"colour": "blue"}})
    with pytest.raises(Conflict):
        await scene.kube.patch(scene.key("one"), {"metadata": {"resourceVersion": version}, "data": {"colour": "x"}})


async def test_a_patch_of_what_is_gone_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound):
        await scene.kube.patch(scene.key("absent"), {"data": {}})


async def test_only_that_very_object_is_deleted(scene: Scene) -> None:
    made = await scene.config_map("one")
    with pytest.raises(Conflict):
        await scene.kube.delete(scene.key("one"), uid=str(uuid.uuid4()))
    await scene.kube.delete(scene.key("one"), uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await scene.kube.get(Get(scene.key("one")))


async def test_kinds_are_resolved(scene: Scene) -> None:
    assert await scene.kube.resolve("Deployment") == ("apps/v1", True)
    assert await scene.kube.resolve("Node") == ("v1", False)
    with pytest.raises(UnknownKind):
        await scene.kube.resolve("Nonsense")


async def test_a_secret_is_in_no_lane(scene: Scene) -> None:
    with pytest.raises(Forbidden):
        await scene.kube.get(Get(scene.key("any", "Secret")))
    with pytest.raises(Forbidden):
        await scene.kube.list(List("v1", "Secret", scene.namespace))


async def test_a_name_that_is_none_does_not_become_a_list(scene: Scene) -> None:
    with pytest.raises(Invalid):
        await scene.kube.get(Get(scene.key("")))


async def test_the_log_of_a_pod_that_does_not_exist_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound):
        await scene.kube.log(Log(scene.namespace, "absent", "app"))


async def test_the_version(scene: Scene) -> None:
    assert (await scene.kube.version()).startswith("v1.")


async def test_objects_are_counted(scene: Scene) -> None:
    before = await scene.kube.count("v1", "ConfigMap")
    await scene.config_map("one")
    await scene.config_map("two")
    assert await scene.kube.count("v1", "ConfigMap") == before + 2
