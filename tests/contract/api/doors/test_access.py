"""Who may what: nobody who is unknown, each program its own work, each node itself (W42)."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apiserver.call import Policy, Route
from apiserver.routes import table
from cubernetes.api.core.pod import Pod
from cubernetes.api.registry import KINDS
from cubernetes.host.web.messages import ANONYMOUS, Identity, Malformed, Request
from tests.contract.api.joiners import TOKENS, a_token, an_authority
from tests.contract.api.world import (
    ADMIN,
    NODES,
    PODS,
    SERVICES,
    SETS,
    World,
    a_node,
    a_pod,
    a_service,
    a_set,
    a_world,
)

SCHEDULER = Identity("system:scheduler")
CONTROLLERS = Identity("system:controllers")
KUBELET = Identity("system:node:n1", ("system:nodes",))
PROXY = Identity("system:proxy:n1", ("system:proxies",))
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MERGE = {"content-type": "application/merge-patch+json"}
OPEN = {"/livez", "/healthz", "/readyz", "/version", "/cluster-info"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(signer=an_authority()) as one:
        for node in ("n1", "n2"):
            await one.call("POST", NODES, a_node(node))
            await one.call("POST", PODS, a_pod(f"on-{node}"))
            await one.call("POST", f"{PODS}/on-{node}/binding", {"target": {"name": node}})
        yield one


def _path(route: Route) -> str:
    return re.sub(r"\{\w+\}", "default", route.pattern)


async def test_w42_every_route_asks_who_is_there(world: World) -> None:
    """W42: nothing was authenticated anywhere."""
    for route in table(KINDS):
        answer = await world.call(route.method, _path(route), identity=ANONYMOUS)
        if route.pattern in OPEN:
            assert (route.policy, answer.code) == (Policy.OPEN, 200), route.pattern
        else:
            assert answer.code == 401, (route.method, route.pattern)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_w42_who_has_no_role_may_nothing_but_discover(world: World) -> None:
    """W42: and nothing was authorised either."""
    nobody = Identity("somebody", ("a-group",))
    for route in table(KINDS):
        if route.policy is Policy.ROLE:
            answer = await world.call(route.method, _path(route), identity=nobody)
            assert answer.code == 403, (route.method, route.pattern)
    assert (await world.call("GET", "/apis", identity=nobody)).code == 200


async def test_the_scheduler_binds_reports_and_makes_room_and_no_more(world: World) -> None:
    await world.call("POST", PODS, a_pod("new"))

    async def code(method: str, path: str, body: object = None) -> int:
        return (await world.call(method, path, body, identity=SCHEDULER, headers=MERGE)).code

    assert (await world.call("GET", PODS, identity=SCHEDULER)).code == 200
    binding = {"target": {"name": "n1"}}
    bound = await world.call("POST", f"{PODS}/new/binding", binding, identity=SCHEDULER)
    assert bound.code == 201
    assert await code("PATCH", f"{PODS}/new/status", {"status": {"message": "x"}}) == 200
    assert await code("PATCH", f"{PODS}/new", {"metadata": {"labels": {"a": "b"}}}) == 403
    assert await code("POST", SETS, a_set()) == 403
    assert await code("DELETE", SETS) == 403
    assert await code("DELETE", f"{PODS}/new") == 200


async def test_the_controllers_make_pods_but_no_services(world: World) -> None:
    made = await world.call("POST", PODS, a_pod("c"), identity=CONTROLLERS)
    assert made.code == 201
    assert (await world.call("DELETE", f"{PODS}/c", identity=CONTROLLERS)).code == 200
    refused = await world.call("POST", SERVICES, a_service(), identity=CONTROLLERS)
    assert refused.code == 403
    assert (await world.call("GET", TOKENS, identity=CONTROLLERS)).code == 403


async def test_a_proxy_reads_services_and_nothing_of_pods(world: World) -> None:
    assert (await world.call("GET", SERVICES, identity=PROXY)).code == 200
    slices = "/apis/discovery.k8s.io/v1/endpointslices"
    assert (await world.call("GET", slices, identity=PROXY)).code == 200
    assert (await world.call("GET", PODS, identity=PROXY)).code == 403


async def test_a_kubelet_sees_and_reports_only_its_own_pods(world: World) -> None:
    async def code(method: str, path: str, body: object = None, **query: str) -> int:
        headers = MERGE if method == "PATCH" else {}
        answer = await world.call(
            method, path, body, identity=KUBELET, query=query, headers=headers
        )
        return answer.code

    assert await code("GET", "/api/v1/pods") == 403
    assert await code("GET", "/api/v1/pods", fieldSelector="spec.nodeName=n2") == 403
    assert await code("GET", "/api/v1/pods", fieldSelector="spec.nodeName!=n1") == 403
    assert await code("GET", "/api/v1/pods", fieldSelector="spec.nodeName=n1") == 200
    assert await code("GET", f"{PODS}/on-n1") == 200
    assert await code("GET", f"{PODS}/on-n2") == 403
    status = {"status": {"phase": "Running"}}
    assert await code("PATCH", f"{PODS}/on-n1/status", status) == 200
    assert await code("PATCH", f"{PODS}/on-n2/status", status) == 403
    assert await code("PATCH", f"{PODS}/on-n1", {"metadata": {"labels": {"a": "b"}}}) == 403
    assert await code("DELETE", f"{PODS}/on-n2") == 403
    assert await code("DELETE", f"{PODS}/on-n1", {"gracePeriodSeconds": 0}) == 200
    assert await code("DELETE", f"{PODS}/on-n1", {"gracePeriodSeconds": 0}) == 404
    assert await code("GET", SERVICES) == 200
    assert await code("POST", SERVICES, a_service()) == 403
    watch = await world.watch("/api/v1/pods", identity=KUBELET, fieldSelector="spec.nodeName=n1")
    await watch.close()


async def test_a_kubelet_reads_exactly_what_its_pods_name(world: World) -> None:
    """Attacks: another node's secret, another namespace, a whole list, a write, a finished pod."""
    default, other = "/api/v1/namespaces/default", "/api/v1/namespaces/other"
    await world.call("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    for place in (default, other):
        for name in ("mine", "theirs"):
            for plural in ("secrets", "configmaps"):
                await world.call("POST", f"{place}/{plural}", {"metadata": {"name": name}})
    for node, name in (("n1", "mine"), ("n2", "theirs")):
        env = [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "a"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": name, "key": "a"}}},
        ]
        containers = [{"name": "main", "image": "busybox:1", "env": env}]
        pod = a_pod(f"named-{node}", containers=containers, nodeName=node)
        assert (await world.call("POST", PODS, pod)).code == 201

    async def code(method: str, path: str, body: object = None, **query: str) -> int:
        headers = MERGE if method == "PATCH" else {}
        answer = await world.call(
            method, path, body, identity=KUBELET, query=query, headers=headers
        )
        return answer.code

    for plural in ("secrets", "configmaps"):
        mine = f"{default}/{plural}/mine"
        assert await code("GET", mine) == 200
        assert await code("GET", f"{default}/{plural}", fieldSelector="metadata.name=mine") == 200
        assert await code("GET", f"{default}/{plural}/theirs") == 403
        assert await code("GET", f"{default}/{plural}", fieldSelector="metadata.name=theirs") == 403
        assert await code("GET", f"{default}/{plural}", fieldSelector="metadata.name!=x") == 403
        assert await code("GET", f"{default}/{plural}") == 403
        assert await code("GET", f"/api/v1/{plural}", fieldSelector="metadata.name=mine") == 403
        assert await code("GET", f"{other}/{plural}/mine") == 403
        assert await code("PATCH", mine, {"metadata": {"labels": {"a": "b"}}}) == 403
        assert await code("DELETE", mine) == 403
        assert await code("POST", f"{default}/{plural}", {"metadata": {"name": "new"}}) == 403
        query = {"fieldSelector": "metadata.name=mine"}
        watch = await world.watch(f"{default}/{plural}", identity=KUBELET, **query)
        await watch.close()
    proxy = await world.call("GET", f"{default}/secrets/mine", identity=PROXY)
    assert proxy.code == 403
    ended = {"status": {"phase": "Succeeded"}}
    assert await code("PATCH", f"{PODS}/named-n1/status", ended) == 200
    await world.call("GET", PODS)  # memory is as new as the store after it
    assert await code("GET", f"{default}/secrets/mine") == 403


async def test_what_pods_name_is_followed_through_changes_and_a_lost_place(world: World) -> None:
    place = "/api/v1/namespaces/default/secrets"
    await world.call("POST", place, {"metadata": {"name": "shared"}})
    source = [{"secretRef": {"name": "shared"}}]
    containers = [{"name": "main", "image": "busybox:1", "envFrom": source}]

    async def code() -> int:
        return (await world.call("GET", f"{place}/shared", identity=KUBELET)).code

    async def gone(name: str) -> None:
        await world.call("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})
        await world.call("GET", PODS)  # memory is as new as the store after it

    assert await code() == 403
    for name in ("a", "b"):
        await world.call("POST", PODS, a_pod(name, containers=containers, nodeName="n1"))
    assert await code() == 200
    await gone("a")
    assert await code() == 200
    # So many changes of pods that its place among them is no longer kept.
    cache = world.server.backend.mirror.kinds[Pod]
    cache.load([cache.items[key] for key in cache.keys], cache.changed_at)
    assert await code() == 200
    await gone("b")
    assert await code() == 403


async def test_a_kubelet_may_nothing_to_a_pod_whose_name_its_own_had_a_moment_ago(
    world: World,
) -> None:
    """Memory still shows the pod that is gone; what counts is what the store has."""
    await world.call("DELETE", f"{PODS}/on-n1", {"gracePeriodSeconds": 0})
    await world.call("POST", PODS, a_pod("on-n1", nodeName="n2"))
    status = {"status": {"phase": "Failed"}}

    told = await world.call(
        "PATCH", f"{PODS}/on-n1/status", status, identity=KUBELET, headers=MERGE
    )
    removed = await world.call("DELETE", f"{PODS}/on-n1", identity=KUBELET)

    assert (told.code, removed.code) == (403, 403)


async def test_a_kubelet_keeps_only_its_own_node_and_lease(world: World) -> None:
    def lease(name: str) -> dict[str, object]:
        return {"metadata": {"name": name}, "spec": {}}

    async def code(method: str, path: str, body: object = None) -> int:
        return (await world.call(method, path, body, identity=KUBELET, headers=MERGE)).code

    async def posted(path: str, body: object) -> int:
        return (await world.call("POST", path, body, identity=KUBELET)).code

    assert await posted(LEASES, lease("n1")) == 201
    assert await posted(LEASES, lease("n2")) == 403
    assert await posted(LEASES.replace("kube-node-lease", "default"), lease("n1")) == 403
    assert await posted(NODES, a_node("n3")) == 403
    assert await code("PATCH", f"{NODES}/n1/status", {"status": {"capacity": {"cpu": "1"}}}) == 200
    assert await code("PATCH", f"{NODES}/n2/status", {"status": {"capacity": {"cpu": "1"}}}) == 403
    assert await code("PATCH", f"{NODES}/n1", {"metadata": {"labels": {"gpu": "yes"}}}) == 200
    assert await code("PATCH", f"{NODES}/n1", {"spec": {"unschedulable": True}}) == 403
    tier = "node-restriction.kubernetes.io/tier"
    given = {"metadata": {"labels": {tier: "a"}}}
    assert (await world.call("PATCH", f"{NODES}/n1", given, headers=MERGE)).code == 200
    assert await code("PATCH", f"{NODES}/n1", {"metadata": {"labels": {tier: None}}}) == 403
    role = {"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}
    assert await code("PATCH", f"{NODES}/n1", role) == 403
    assert await code("DELETE", f"{NODES}/n2") == 403
    assert await code("DELETE", NODES) == 403
    assert await code("DELETE", f"{NODES}/n1") == 200  # a machine may leave its cluster


async def test_a_kubelet_reports_as_itself_and_leaves_the_reports_of_others(world: World) -> None:
    events = "/api/v1/namespaces/default/events"

    async def posted(host: str) -> int:
        event = {"metadata": {"name": f"by-{host}"}, "source": {"host": host}}
        return (await world.call("POST", events, event, identity=KUBELET)).code

    assert (await posted("n1"), await posted("n2")) == (201, 403)
    await world.call("POST", events, {"metadata": {"name": "theirs"}, "source": {"host": "n2"}})
    mine = {"source": {"host": "n1"}, "message": "all is well"}
    answer = await world.call("PATCH", f"{events}/theirs", mine, identity=KUBELET, headers=MERGE)
    assert answer.code == 403


async def test_a_leader_that_lost_its_lease_writes_nothing_more(world: World) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 10, "leaseTransitions": 3}
    lease = {"metadata": {"name": "controllers"}, "spec": spec}
    uid = (await world.call("POST", leases, lease)).tree["metadata"]["uid"]

    async def create(name: str, number: int) -> int:
        headers = {"cubernetes-fence": f"kube-system/controllers:{number}:{uid}"}
        return (await world.call("POST", PODS, a_pod(name), headers=headers)).code

    assert await create("a", 3) == 201
    renewed = {"spec": {"renewTime": "2026-01-01T00:00:01Z"}}
    await world.call("PATCH", f"{leases}/controllers", renewed, headers=MERGE)
    assert await create("b", 3) == 201
    taken = {"spec": {"holderIdentity": "b", "leaseTransitions": 4}}
    await world.call("PATCH", f"{leases}/controllers", taken, headers=MERGE)
    assert await create("c", 3) == 409
    deletion = await world.call(
        "DELETE", f"{PODS}/a", headers={"cubernetes-fence": f"kube-system/controllers:3:{uid}"}
    )
    assert deletion.code == 409
    assert await create("c", 4) == 201
    # Made again, the lease counts from the beginning, and may come to the same number.
    await world.call("DELETE", f"{leases}/controllers")
    spec["leaseTransitions"] = 4
    await world.call("POST", leases, lease)
    assert await create("d", 4) == 409


async def test_a_token_is_for_joining_and_nothing_else(world: World) -> None:
    headers = {"authorization": f"Bearer {await a_token(world)}"}
    for method, path in (("GET", PODS), ("GET", TOKENS), ("POST", NODES), ("DELETE", NODES)):
        answer = await world.call(method, path, headers=headers, identity=ANONYMOUS)
        assert answer.code == 403


async def test_every_request_of_somebody_leaves_one_line_of_audit(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="apiserver.audit")
    caplog.clear()
    await world.call("GET", PODS, identity=PROXY)
    await world.call("GET", f"{PODS}/x\n{{forged", identity=ADMIN)
    await world.call("GET", f"{PODS}/{'x' * 8000}", identity=ADMIN)
    watch = await world.watch(PODS)
    await watch.close()

    facts = _facts(caplog)
    assert [(fact["user"], fact["code"]) for fact in facts] == [
        ("system:proxy:n1", 403),
        ("kubernetes-admin", 404),
        ("kubernetes-admin", 404),
        ("kubernetes-admin", 200),
    ]
    assert (len(facts[2]["path"]), facts[2]["path_letters"]) == (1024, len(PODS) + 8001)
    assert facts[3]["verb"] == "watch"


def _facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.cube_facts for record in caplog.records]  # type: ignore[attr-defined]


async def test_strangers_are_audited_apart_in_few_short_lines(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """However many they are: some lines a second, cut, and the next tells how many are missing."""
    caplog.set_level("INFO", logger="apiserver")
    caplog.clear()
    path = f"{PODS}/{'x' * 8000}"
    for _ in range(500):
        request = Request("G" * 5000, path, identity=ANONYMOUS, address="192.0.2.9")
        assert (await world.server.handle(request)).status == 404
    world.server.refused(Request("GET", path, address="192.0.2.9"), Malformed("z" * 5000))
    facts = _facts(caplog)
    assert {record.name for record in caplog.records} == {"apiserver.strangers"}
    assert len(facts) == 100
    assert all(len(str(fact)) < 800 for fact in facts)
    assert facts[0]["address"] == "192.0.2.9"
    await world.clock.advance(1)
    caplog.clear()
    assert (await world.call("GET", PODS, identity=ANONYMOUS)).code == 401
    assert [fact["lines_left_out"] for fact in _facts(caplog)] == [401]
