"""An API server whose store fills up: leases go on, who filled it is named, and it gets room."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Put, StorageFull, Store, Usage
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity, Request
from tests.contract.api.world import ADMIN, NODES, PODS, Tree, a_node, a_pod
from tests.contract.store.stores import etcd_running, etcd_store

# The reserve holds some twenty of the objects that are written here. At each commit etcd copies
# pages that hold two such objects, and its free pages lie scattered: a reserve of five fills up.
QUOTA_BYTES = 32 * 1024 * 1024
KUBELET = Identity("system:node:n1", ("system:nodes",))
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# Large enough to fill the store with: the node's own limits have tests of their own.
LOOSE = Limits(
    node_object_bytes_max=1 << 20, node_write_burst_bytes=1 << 30, write_burst_bytes=1 << 30
)


class Served:
    def __init__(self, server: ApiServer, store: Store) -> None:
        self.server, self.store = server, store

    async def call(
        self, method: str, path: str, body: object = None, identity: Identity = ADMIN
    ) -> tuple[int, Tree]:
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"content-type": "application/merge-patch+json"} if method == "PATCH" else {}
        request = Request(method, path, (), headers, content, identity)
        response = await self.server.handle(request)
        assert isinstance(response.body, bytes)
        tree: Tree = json.loads(response.body)
        return response.status, tree

    async def grow(self, number: int, identity: Identity = KUBELET) -> tuple[int, Tree]:
        """Rewrite a large annotation of the node."""
        note = {"metadata": {"annotations": {"note": f"{number}" + "x" * 240_000}}}
        return await self.call("PATCH", f"{NODES}/n1", note, identity)

    async def renew(self, number: int) -> int:
        spec = {"spec": {"renewTime": f"2026-01-01T00:00:{number % 60:02}Z"}}
        code, _ = await self.call("PATCH", f"{LEASES}/n1", spec, KUBELET)
        return code


@asynccontextmanager
async def served(kind: str, limits: Limits) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        if kind == "memory":
            store: Store = MemoryStore(Env(), quota_bytes=QUOTA_BYTES)
            stack.push_async_callback(store.close)
        else:
            etcd = stack.enter_context(etcd_running("--quota-backend-bytes", str(QUOTA_BYTES)))
            opened = etcd_store(etcd.address, quota_bytes=QUOTA_BYTES)
            store = await stack.enter_async_context(opened)
        settings = Settings(limits=limits, advertise_addresses=("10.0.0.1",))
        server = ApiServer(store, Env(), settings)
        await server.start()
        stack.push_async_callback(server.stop)
        one = Served(server, store)
        assert (await one.call("POST", NODES, a_node("n1"), KUBELET))[0] == 201
        lease = {
            "metadata": {"name": "n1"},
            "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 10},
        }
        assert (await one.call("POST", LEASES, lease, KUBELET))[0] == 201
        assert (await one.call("POST", PODS, a_pod("victim")))[0] == 201
        yield one


@pytest.fixture(params=["memory", "etcd"])
async def full(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with served(request.param, LOOSE) as one:
        yield one


async def test_a_node_that_rewrites_large_objects_ends_no_lease(full: Served) -> None:
    """The history is what fills the store: it goes before the quota is reached."""
    codes = set()
    for number in range(170):
        code, _ = await full.grow(number)
        codes.add(code)
        assert await full.renew(number) == 200, number
        if number % 8 == 0:
            await full.server.upkeep.look()
    assert codes <= {200, 503}
    await _until_room(full, "later")
    assert not (await full.store.usage()).is_full


async def _fill(full: Served) -> None:
    """Make large objects, which no compaction forgets, until no more is taken after a look."""
    note = {"note": "x" * 240_000}
    was_refused = False
    for number in range(200):
        body = a_pod(f"p{number}")
        body["metadata"]["annotations"] = note
        code, _ = await full.call("POST", PODS, body)
        assert code in {201, 503}
        if code == 503 and was_refused:
            return
        was_refused = code == 503
        await full.server.backend.mirror.caught_up(5)
        await full.server.upkeep.look()
    raise AssertionError("it takes whatever comes")


async def test_near_the_quota_what_shrinks_is_taken_and_the_rest_told_who_filled_it(
    full: Served,
) -> None:
    await _fill(full)
    code, told = await full.call("POST", PODS, a_pod("one-more"))
    assert (code, told["reason"]) == (503, "StorageFull")
    assert "Largest kinds: pods" in told["message"]
    assert "kubernetes-admin" in told["message"]
    assert not (await full.store.usage()).is_full, "the reserve is kept"
    for number in range(20):
        assert await full.renew(number) == 200
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert (await full.call("PATCH", f"{NODES}/n1/status", status, KUBELET))[0] == 200
    smaller = {"metadata": {"annotations": {"note": None}}}
    assert (await full.call("PATCH", f"{PODS}/p0", smaller))[0] == 200

    _, events = await full.call("GET", "/api/v1/namespaces/default/events")
    found = [one for one in events["items"] if one["reason"] == "StoreNearlyFull"]
    assert [(one["type"], "Largest kinds: pods" in one["message"]) for one in found] == [
        ("Warning", True)
    ]

    assert (await full.call("DELETE", PODS))[0] == 200
    await _until_room(full, "again")
    await full.server.upkeep.look()
    _, events = await full.call("GET", "/api/v1/namespaces/default/events")
    assert "StoreHasRoom" in [one["reason"] for one in events["items"]]


async def _until_room(full: Served, name: str) -> None:
    """Look until a pod is taken: etcd measures itself when it writes its file."""
    async with asyncio.timeout(90):
        while (await full.call("POST", PODS, a_pod(name)))[0] != 201:
            await full.server.upkeep.look()
            await asyncio.sleep(0.02)


async def test_a_store_that_somebody_else_filled_is_disarmed(full: Served) -> None:
    """Writers that are not ours, or a server that was away: the alarm stays no longer than that."""
    with contextlib.suppress(StorageFull):
        for _ in range(200):
            await full.store.commit([], [Put("/foreign", bytes(250_000))])
    assert await full.renew(1) == 503

    async with asyncio.timeout(60):
        while await full.renew(2) != 200:
            await full.server.upkeep.look()
            await asyncio.sleep(0.02)
    assert not (await full.store.usage()).is_full
    await _until_room(full, "later")


async def test_a_node_has_small_objects_and_a_rate_of_bytes() -> None:
    slow = Limits(node_write_bytes_per_s=1, node_write_burst_bytes=1 << 20)
    async with served("memory", slow) as one:
        code, told = await one.grow(1)
        assert (code, told["reason"]) == (413, "RequestEntityTooLarge")
        assert (await one.grow(1, ADMIN))[0] == 200
        small = {"metadata": {"annotations": {"note": None}}}
        await one.call("PATCH", f"{NODES}/n1", small)
        codes = []
        for number in range(100):
            note = {"metadata": {"annotations": {"note": f"{number}" + "x" * 60_000}}}
            codes.append((await one.call("PATCH", f"{NODES}/n1", note, KUBELET))[0])
        assert codes[0] == 200
        assert codes[-1] == 429
        assert (await one.call("POST", PODS, a_pod("others")))[0] == 201


async def test_a_nodes_large_status_is_refused_whatever_its_kind() -> None:
    async with served("memory", Limits()) as one:
        body = {"target": {"name": "n1"}}
        assert (await one.call("POST", f"{PODS}/victim/binding", body))[0] == 201
        status = {"status": {"message": "x" * 70_000}}
        assert (await one.call("PATCH", f"{PODS}/victim/status", status, KUBELET))[0] == 413
        images = {"status": {"images": [{"names": ["x" * 70_000]}]}}
        assert (await one.call("PATCH", f"{NODES}/n1/status", images, KUBELET))[0] == 413
        lease = {"metadata": {"annotations": {"note": "x" * 70_000}}}
        assert (await one.call("PATCH", f"{LEASES}/n1", lease, KUBELET))[0] == 413
        event = {
            "metadata": {"name": "e", "annotations": {"note": "x" * 70_000}},
            "source": {"component": "kubelet", "host": "n1"},
        }
        events = "/api/v1/namespaces/default/events"
        assert (await one.call("POST", events, event, KUBELET))[0] == 413


async def test_a_bug_of_the_upkeep_is_told_and_does_not_end_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = Env()
    store = MemoryStore(env, quota_bytes=QUOTA_BYTES)
    usage, looked, looks = store.usage, asyncio.Event(), 0

    async def odd() -> Usage:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise LookupError("a bug")
        looked.set()
        return await usage()

    store.usage = odd  # type: ignore[method-assign]
    server = ApiServer(store, env, Settings(advertise_addresses=("10.0.0.1",)))
    await server.start()
    try:
        async with asyncio.timeout(60):
            await looked.wait()
    finally:
        await server.stop()
        await store.close()
    assert "upkeep" in caplog.text
