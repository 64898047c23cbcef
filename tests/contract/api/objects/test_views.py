"""Kinds that are not stored but made of stored ones: read as any kind, and never out of step."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.host.web.messages import Identity
from tests.contract.api.world import SERVICES, Tree, World, a_namespace, a_pod, a_service, a_world

EVENTS = "/api/v1/namespaces/default/events"
NEWER = "/apis/events.k8s.io/v1/namespaces/default/events"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


def an_event(name: str = "one", **fields: object) -> Tree:
    about = {
        "kind": "Pod",
        "namespace": "default",
        "name": "web",
        "fieldPath": "spec.containers{a}",
    }
    return {
        "metadata": {"name": name},
        "involvedObject": about,
        "reason": "Started",
        "message": "Started container a",
        "source": {"component": "kubelet", "host": "n1"},
        "count": 3,
        **fields,
    }


def a_slice(name: str, *addresses: str, port: int = 80, **conditions: bool) -> Tree:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [one], "conditions": conditions} for one in addresses],
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
    }


async def test_an_event_is_read_in_the_newer_words(world: World) -> None:
    made = await world.call("POST", EVENTS, an_event())
    told = (await world.call("GET", f"{NEWER}/one")).tree
    assert (told["apiVersion"], told["kind"]) == ("events.k8s.io/v1", "Event")
    assert told["metadata"] == made.tree["metadata"]
    assert told["regarding"]["fieldPath"] == "spec.containers{a}"
    assert (told["note"], told["reason"]) == ("Started container a", "Started")
    assert (told["reportingController"], told["reportingInstance"]) == ("kubelet", "n1")
    assert told["deprecatedCount"] == 3
    # Python's clients refuse an event without it.
    at = told["metadata"]["creationTimestamp"]
    assert told["eventTime"] == at.replace("Z", ".000000Z")
    listed = await world.call("GET", NEWER, query={"fieldSelector": "regarding.name=web"})
    assert listed.names == ["one"]
    other = await world.call("GET", NEWER, query={"fieldSelector": "regarding.name=other"})
    assert other.names == []
    everywhere = await world.call("GET", "/apis/events.k8s.io/v1/events")
    assert everywhere.tree["kind"] == "EventList"


async def test_a_watch_of_a_view_follows_its_source(world: World) -> None:
    lines = await world.watch(NEWER)
    await world.call("POST", EVENTS, an_event())
    assert await lines.told() == ("ADDED", "one")
    await world.call("PATCH", f"{EVENTS}/one", {"count": 4})
    event = await lines.next()
    assert (event["type"], event["object"]["deprecatedCount"]) == ("MODIFIED", 4)
    await world.call("DELETE", f"{EVENTS}/one")
    assert await lines.told() == ("DELETED", "one")


async def test_a_services_slices_are_one_object(world: World) -> None:
    lines = await world.watch(ENDPOINTS)
    assert await lines.told() == ("ADDED", "kubernetes")
    await world.call("POST", SERVICES, a_service(selector={"app": "web"}))
    first = await lines.next()
    assert (first["type"], first["object"].get("subsets")) == ("ADDED", None)
    await world.call("POST", SLICES, a_slice("web-a", "10.0.0.2", "10.0.0.1", ready=True))
    assert await lines.told() == ("MODIFIED", "web")
    await world.call("POST", SLICES, a_slice("web-b", "10.0.0.3", ready=False, terminating=False))
    await world.call("POST", SLICES, a_slice("web-c", "10.0.0.4", ready=False, terminating=True))
    told = (await world.call("GET", f"{ENDPOINTS}/web")).tree
    (subset,) = told["subsets"]
    assert [one["ip"] for one in subset["addresses"]] == ["10.0.0.1", "10.0.0.2"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["10.0.0.3"]
    assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
    table = (await world.call("GET", ENDPOINTS, headers={"accept": TABLE})).tree
    assert table["rows"][-1]["cells"][:2] == ["web", "10.0.0.1:80,10.0.0.2:80"]
    await world.call("DELETE", f"{SLICES}/web-a")
    await world.call("DELETE", f"{SERVICES}/web")
    assert (await world.call("GET", f"{ENDPOINTS}/web")).code == 404


async def test_ports_that_differ_are_subsets_of_their_own(world: World) -> None:
    await world.call("POST", SERVICES, a_service(selector={"app": "web"}))
    await world.call("POST", SLICES, a_slice("web-a", "10.0.0.1", ready=True))
    await world.call("POST", SLICES, a_slice("web-b", "10.0.0.2", port=81, ready=True))
    subsets = (await world.call("GET", f"{ENDPOINTS}/web")).tree["subsets"]
    assert [one["ports"][0]["port"] for one in subsets] == [80, 81]
    # A slice that is given to another service leaves this one.
    moved = a_slice("web-b", "10.0.0.2", port=81, ready=True)
    moved["metadata"]["labels"]["kubernetes.io/service-name"] = "other"
    assert (await world.call("PUT", f"{SLICES}/web-b", moved)).code == 200
    subsets = (await world.call("GET", f"{ENDPOINTS}/web")).tree["subsets"]
    assert [one["ports"][0]["port"] for one in subsets] == [80]


@pytest.mark.parametrize(
    "change",
    [
        {"ports": [{"name": "", "port": 81, "protocol": "TCP"}]},
        {"endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}]},
    ],
    ids=["ports", "addresses"],
)
async def test_every_change_that_is_seen_in_endpoints_is_told(world: World, change: Tree) -> None:
    await world.call("POST", SERVICES, a_service(selector={"app": "web"}))
    await world.call("POST", SLICES, a_slice("web-a", "10.0.0.1", ready=True))
    before = (await world.call("GET", f"{ENDPOINTS}/web")).tree
    headers = {"content-type": "application/merge-patch+json"}
    await world.call("PATCH", f"{SLICES}/web-a", {"metadata": {"labels": {"x": "y"}}},
                     headers=headers)  # fmt: skip
    assert (await world.call("GET", f"{ENDPOINTS}/web")).tree == before
    await world.call("PATCH", f"{SLICES}/web-a", change, headers=headers)
    after = (await world.call("GET", f"{ENDPOINTS}/web")).tree
    assert after["subsets"] != before["subsets"]
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])


async def test_more_than_a_thousand_addresses_are_cut_and_it_is_told(world: World) -> None:
    await world.call("POST", SERVICES, a_service(selector={"app": "web"}))
    for index in range(11):
        addresses = [f"10.1.{index}.{each}" for each in range(1, 101)]
        await world.call("POST", SLICES, a_slice(f"web-{index}", *addresses, ready=True))
    told = (await world.call("GET", f"{ENDPOINTS}/web")).tree
    assert sum(len(one["addresses"]) for one in told["subsets"]) == 1000
    annotations = told["metadata"]["annotations"]
    assert annotations == {"endpoints.kubernetes.io/over-capacity": "truncated"}


async def reloaded(world: World) -> None:
    await world.server.backend.mirror.stop()
    await world.server.backend.mirror.start()


def without_revision(one: Tree) -> Tree:
    return {**one, "metadata": {**one["metadata"], "resourceVersion": ""}}


async def test_a_view_is_the_same_after_a_restart(world: World) -> None:
    await world.call("POST", EVENTS, an_event())
    await world.call("POST", SERVICES, a_service(selector={"app": "web"}))
    await world.call("POST", SLICES, a_slice("web-a", "10.0.0.1", ready=True))
    before = [(await world.call("GET", path)).tree["items"] for path in (NEWER, ENDPOINTS)]
    await reloaded(world)
    after = [(await world.call("GET", path)).tree["items"] for path in (NEWER, ENDPOINTS)]
    # An Event's revision is that of the core Event, by which it is written.
    assert before[0] == after[0]
    assert [*map(without_revision, before[1])] == [*map(without_revision, after[1])]


async def test_no_revision_of_a_view_goes_back_when_the_store_is_loaded_anew(world: World) -> None:
    await world.call("POST", SERVICES, a_service(selector={"app": "web"}))
    await world.call("POST", SLICES, a_slice("web-a", "10.0.0.1", ready=True))
    await world.call("DELETE", f"{SLICES}/web-a")
    before = (await world.call("GET", f"{ENDPOINTS}/web")).tree["metadata"]["resourceVersion"]
    await reloaded(world)
    after = (await world.call("GET", f"{ENDPOINTS}/web")).tree["metadata"]["resourceVersion"]
    assert int(after) >= int(before)


@pytest.mark.parametrize("path", [ENDPOINTS, NEWER])
async def test_the_pages_of_a_view_are_of_one_revision(world: World, path: str) -> None:
    for name in ("one", "two", "three"):
        await world.call("POST", EVENTS, an_event(name))
        await world.call("POST", SERVICES, a_service(name, selector={"app": name}))
    whole = (await world.call("GET", path)).tree["items"]
    page = await world.call("GET", path, query={"limit": "1"})
    for name in ("one", "two"):
        await world.call("DELETE", f"{EVENTS}/{name}")
        await world.call("DELETE", f"{SERVICES}/{name}")
    await world.call("POST", EVENTS, an_event("zero"))
    await world.call("PATCH", f"{EVENTS}/three", {"count": 7})
    await world.call("POST", SERVICES, a_service("zero", selector={"app": "zero"}))
    await world.call("GET", path)
    found = page.tree["items"]
    while token := page.tree["metadata"].get("continue"):
        page = await world.call("GET", path, query={"limit": "1", "continue": token})
        found += page.tree["items"]
    assert found == whole


async def test_a_page_of_a_view_whose_history_is_gone_is_gone(world: World) -> None:
    for name in ("one", "two"):
        await world.call("POST", EVENTS, an_event(name))
    page = await world.call("GET", NEWER, query={"limit": "1"})
    await world.call("POST", EVENTS, an_event("three"))
    await reloaded(world)
    rest = {"limit": "1", "continue": page.tree["metadata"]["continue"]}
    assert (await world.call("GET", NEWER, query=rest)).code == 410


@pytest.mark.parametrize("path", [ENDPOINTS])
async def test_a_view_is_read_only_and_says_so(world: World, path: str) -> None:
    answer = await world.call("POST", path, {"metadata": {"name": "x"}})
    assert (answer.code, answer.headers["Allow"]) == (405, "GET")
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await world.call(method, f"{path}/x", {})).code == 405


async def test_discovery_tells_of_views(world: World) -> None:
    core = (await world.call("GET", "/api/v1")).tree["resources"]
    (found,) = [one for one in core if one["name"] == "endpoints"]
    assert found["verbs"] == ["get", "list", "watch"]
    groups = (await world.call("GET", "/apis")).tree["groups"]
    assert "events.k8s.io" in [one["name"] for one in groups]
    await world.call("POST", "/api/v1/namespaces", a_namespace("blue"))
    assert (await world.call("POST", "/api/v1/namespaces/blue/pods", a_pod())).code == 201


async def test_the_parts_of_the_control_plane_are_found_when_asked(world: World) -> None:
    path = "/api/v1/componentstatuses"
    listed = (await world.call("GET", path)).tree
    assert listed["kind"] == "ComponentStatusList"
    told = {one["metadata"]["name"]: one["conditions"] for one in listed["items"]}
    assert list(told) == ["controller-manager", "etcd-0", "scheduler"]
    assert told["etcd-0"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    assert told["scheduler"][0]["status"] == "False"
    await world.watch("/api/v1/pods", identity=Identity("system:scheduler", ()))
    one = (await world.call("GET", f"{path}/scheduler")).tree
    assert (one["kind"], one["conditions"][0]["status"]) == ("ComponentStatus", "True")
    table = (await world.call("GET", path, headers={"accept": TABLE})).tree
    assert [row["cells"] for row in table["rows"]] == [
        ["controller-manager", "Unhealthy", "system:controllers watches nothing", ""],
        ["etcd-0", "Healthy", "ok", ""],
        ["scheduler", "Healthy", "ok", ""],
    ]
    chosen = await world.call("GET", path, query={"fieldSelector": "metadata.name=etcd-0"})
    assert chosen.names == ["etcd-0"]
    assert (await world.call("GET", f"{path}/other")).code == 404
    assert (await world.call("GET", path, query={"watch": "true"})).code == 405
    for method, where in (("POST", path), ("DELETE", f"{path}/scheduler")):
        assert (await world.call(method, where, {})).code == 405
