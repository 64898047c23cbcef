"""What the API server counts of its work, and who may know."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from apiserver.settings import Limits
from apiserver.storage.memory import MemoryStore
from cubernetes.host.web.messages import ANONYMOUS, Identity, Malformed, Request
from tests.contract.api.world import NODES, PODS, World, a_pod, a_world, settled
from tests.counted import read

MONITOR = Identity("prometheus", ("system:monitoring",))
EVENTS_MAX = 4


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(limits=Limits(events_max=EVENTS_MAX)) as one:
        yield one


async def counted(world: World) -> Mapping[str, float]:
    answer = await world.call("GET", "/metrics", identity=MONITOR)
    assert answer.code == 200
    return read(answer.body)


def requests(verb: str, resource: str, code: int) -> str:
    labels = f'code="{code}",resource="{resource}",verb="{verb}"'
    return f"cube_apiserver_request_seconds_count{{{labels}}}"


async def test_a_monitor_may_read_the_metrics_and_nothing_else(world: World) -> None:
    assert (await world.call("GET", "/metrics", identity=MONITOR)).code == 200
    for path in (PODS, NODES, "/apis/cubernetes.io/v1/tokens"):
        assert (await world.call("GET", path, identity=MONITOR)).code == 403


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        (ANONYMOUS, 401),
        (Identity("system:node:n1", ("system:nodes",)), 403),
        (Identity("system:controllers"), 403),
        (Identity("system:proxy:n1", ("system:proxies",)), 403),
        (Identity("somebody", ("a-group",)), 403),
        (Identity("admin", ("system:masters",)), 200),
    ],
)
async def test_who_else_may(world: World, identity: Identity, code: int) -> None:
    assert (await world.call("GET", "/metrics", identity=identity)).code == code


async def targets(world: World) -> Any:
    answer = await world.call("GET", "/metrics/targets", identity=MONITOR)
    return json.loads(answer.body)


async def test_kubelets_are_asked_each_second_while_there_is_an_autoscaler(world: World) -> None:
    await world.call("POST", NODES, {"metadata": {"name": "n1"}})
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}]
    await world.call("PATCH", f"{NODES}/n1/status", {"status": {"addresses": addresses}})
    place = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 2}
    told = []
    for verb, path, body in (
        ("POST", place, {"metadata": {"name": "web"}, "spec": spec}),
        ("DELETE", f"{place}/web", None),
    ):
        await world.call(verb, path, body)
        (one,) = await targets(world)
        told.append(one["labels"]["__scrape_interval__"])
    assert told == ["1s", "10s"]


async def test_a_monitor_is_told_of_every_nodes_kubelet_and_nobody_else_is(world: World) -> None:
    for name, address in (("n2", "10.0.0.2"), ("n1", "10.0.0.1"), ("n3", "")):
        await world.call("POST", NODES, {"metadata": {"name": name}})
        addresses = [{"type": "InternalIP", "address": address}] if address else []
        change = {"status": {"addresses": addresses}}
        await world.call("PATCH", f"{NODES}/{name}/status", change)
    fixed = {"__metrics_path__": "/metrics/resource", "__scrape_interval__": "10s"}
    assert await targets(world) == [
        {
            "targets": [f"{address}:10250"],
            "labels": {"node": name, "__server_name__": name, **fixed},
        }
        for name, address in (("n1", "10.0.0.1"), ("n2", "10.0.0.2"))
    ]
    node = Identity("system:node:n1", ("system:nodes",))
    assert (await world.call("GET", "/metrics/targets", identity=node)).code == 403


async def test_requests_are_counted_by_what_was_asked_and_its_code(world: World) -> None:
    await world.call("POST", PODS, a_pod("one"))
    await world.call("POST", PODS, a_pod("one"))
    await world.call("GET", f"{PODS}/one")
    await world.call("GET", f"{PODS}/one/status")

    told = await counted(world)

    assert told[requests("create", "pods", 201)] == 1
    assert told[requests("create", "pods", 409)] == 1
    assert told[requests("get", "pods", 200)] == 1
    assert told[requests("get", "pods/status", 200)] == 1
    assert told['cube_apiserver_objects{kind="Pod"}'] == 1
    assert told['cube_apiserver_commit_seconds_count{outcome="written"}'] >= 1


async def test_what_a_stranger_writes_becomes_no_label(world: World) -> None:
    before = await counted(world)
    for number in range(20):
        await world.call(f"EVIL{number}", PODS, identity=ANONYMOUS)
        await world.call("GET", f"/made/up/{number}", identity=ANONYMOUS)

    told = await counted(world)

    assert told[requests("other", "", 405)] == 20
    assert told[requests("other", "", 404)] == 20
    assert len(told) - len(before) < 60
    assert not [series for series in told if "EVIL" in series or "made" in series]


async def test_watches_are_counted_with_what_they_are_handed_and_when_they_are_cut_off(
    world: World,
) -> None:
    quick = await world.watch(PODS, resourceVersion="0")
    slow = await world.watch(PODS, resourceVersion="0")
    await world.call("POST", PODS, a_pod("p0"))
    assert await quick.told() == ("ADDED", "p0")
    assert await slow.told() == ("ADDED", "p0")
    assert (await counted(world))["cube_apiserver_watches"] == 2

    for number in range(1, 4 * EVENTS_MAX):
        await world.call("POST", PODS, a_pod(f"p{number}"))
        assert (await quick.told())[1] == f"p{number}"
    assert (await slow.next())["type"] == "ERROR"
    await settled()
    await quick.close()
    await slow.close()

    told = await counted(world)
    assert told["cube_apiserver_watches_cut_off_total"] == 1
    assert told["cube_apiserver_watch_events_total"] == 4 * EVENTS_MAX + 1
    assert told["cube_apiserver_watches"] == 0


class HangingStore:
    """A memory store that, from some moment on, answers no read."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.hangs = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def get(self, key: str) -> Any:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return await self.inner.get(key)


async def test_a_request_that_runs_into_its_deadline_is_counted_as_what_its_client_got() -> None:
    async with a_world(limits=Limits(request_deadline_s=0.05), wrapped=HangingStore) as world:
        assert isinstance(world.store, HangingStore)
        world.store.hangs = True
        assert (await world.call("GET", PODS)).code == 504
        assert (await counted(world))[requests("list", "pods", 504)] == 1


async def test_what_is_refused_at_the_door_is_counted_too(world: World) -> None:
    world.server.refused(Request("POST", PODS), Malformed("not a request"))

    assert (await counted(world))[requests("other", "", 400)] == 1
