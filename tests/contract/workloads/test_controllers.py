"""Controllers and scheduler against the real API server: what the planners' tiny world promises."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from controllers.run import run as run_controllers
from controllers.settings import ControllersSettings
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.condition import condition_of
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease, LeaseSpec
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from scheduler.run import run as run_scheduler
from scheduler.settings import SchedulerSettings
from tests.direct import ADMIN, DirectTransport
from tests.given import a_container, a_node, a_pod, a_replicaset, a_running_pod, a_service

DEADLINE_S = 60.0
NOBODY = ClientSettings(servers=(), ca="")


@asynccontextmanager
async def a_cluster(silent_after_s: float = 600.0) -> AsyncIterator[Client]:
    """Run an API server on memory, the controllers and the scheduler, each as who it is.

    silent_after_s: after how long a node that renews no Lease counts as silent: most renew none.
    """
    env = Env()
    # What is absent is known only up to the last bookmark: ten seconds are long for a test.
    limits = Limits(bookmark_interval_s=0.2)
    server = ApiServer(MemoryStore(env), env, Settings(limits=limits))
    await server.start()

    def client(identity: Identity) -> Client:
        return Client(DirectTransport(server, identity), env)

    programs = [
        asyncio.create_task(
            run_controllers(
                ControllersSettings(
                    client=NOBODY,
                    node_silent_after_s=silent_after_s,
                    node_evict_after_s=1.0,
                    node_steady_s=0.5,
                    rebalance_steady_s=0.5,
                ),
                env,
                client(Identity("system:controllers")),
            )
        ),
        asyncio.create_task(
            run_scheduler(
                SchedulerSettings(client=NOBODY, wake_pause_s=0.01),
                env,
                client(Identity("system:scheduler")),
            )
        ),
    ]
    try:
        yield client(ADMIN)
    finally:
        for program in programs:
            program.cancel()
        ended = await asyncio.gather(*programs, return_exceptions=True)
        await server.stop()
    assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_cluster() as found:
        yield found


async def until[T](ask: Callable[[], Awaitable[T | None]]) -> T:
    """Return the first answer that is not None (nor empty)."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await ask()
            if answer:
                return answer
            await asyncio.sleep(0.02)


async def join(client: Client, name: str, cpu: str = "4") -> None:
    wanted = a_node(name, cpu=cpu, pod_cidr="")
    made = await client.create(Node(metadata=ObjectMeta(name=name), spec=NodeSpec()))
    await client.update_status(replaced(made, status=wanted.status))


def fresh[O: (ReplicaSet, Service, Pod)](one: O) -> O:
    """Return what a person would send: without what is the server's to write."""
    meta = ObjectMeta(
        name=one.metadata.name, namespace=one.metadata.namespace, labels=one.metadata.labels
    )
    return replaced(one, metadata=meta)


async def bound(client: Client, count: int) -> list[Pod] | None:
    pods = [pod for pod in (await client.list(Pod)).items if pod.spec.node_name]
    return pods if len(pods) == count else None


async def start(client: Client, pod: Pod, ip: str) -> None:
    """Do as a kubelet would."""
    status = a_running_pod(ip=ip).status
    kept = tuple(one for one in pod.status.conditions if one.type != "Ready")
    told = replaced(status, conditions=(*kept, *status.conditions))
    await client.update_status(replaced(pod, status=told))


async def ready_addresses(client: Client, service: str) -> list[str]:
    slices = (await client.list(EndpointSlice, "default")).items
    return sorted(
        endpoint.addresses[0]
        for one in slices
        if one.service_name == service
        for endpoint in one.endpoints
        if endpoint.conditions.ready
    )


async def test_a_set_and_its_service_come_to_life_and_go_again(client: Client) -> None:
    for name in ("n1", "n2", "n3"):
        await join(client, name)
    await client.create(fresh(a_service("web", cluster_ip="")))
    await client.create(fresh(a_replicaset("web", replicas=6)))

    pods = await until(lambda: bound(client, 6))
    assert Counter(pod.spec.node_name for pod in pods) == {"n1": 2, "n2": 2, "n3": 2}

    for place, pod in enumerate(pods):
        await start(client, pod, f"10.244.1.{place + 2}")
    addresses = [f"10.244.1.{place + 2}" for place in range(6)]
    await until(lambda: _equal(ready_addresses(client, "web"), addresses))

    async def status() -> ReplicaSet | None:
        found = await client.get(ReplicaSet, "web", "default")
        return found if found.status.ready_replicas == 6 else None

    assert (await until(status)).status.available_replicas == 6

    await client.delete(ReplicaSet, "web", "default")
    going = await until(lambda: _all_going(client))
    await until(lambda: _equal(ready_addresses(client, "web"), []))
    for pod in going:
        await client.delete(Pod, pod.metadata.name, "default", uid=pod.metadata.uid, grace_s=0)

    async def is_empty() -> bool:
        slices = (await client.list(EndpointSlice, "default")).items
        left = [len(one.endpoints) for one in slices if one.service_name == "web"]
        return left == [0] and not (await client.list(Pod)).items

    await until(is_empty)


class Heartbeats:
    """The leases of nodes, renewed as by their kubelets, except of those that are silent."""

    def __init__(self, client: Client, *names: str) -> None:
        self._client, self._names = client, names
        self.silent: set[str] = set()

    async def run(self) -> None:
        for name in self._names:
            spec = LeaseSpec(holder_identity=name, lease_duration_seconds=40)
            meta = ObjectMeta(name=name, namespace=NODE_LEASE_NAMESPACE)
            await self._client.create(Lease(metadata=meta, spec=spec))
        while True:
            for name in self._names:
                if name not in self.silent:
                    change = {"spec": {"renewTime": Env().clock.now().isoformat()}}
                    await self._client.patch(Lease, name, NODE_LEASE_NAMESPACE, change)
            await asyncio.sleep(0.1)


async def test_w14_a_dead_nodes_endpoints_go_its_pods_are_replaced_and_it_comes_back() -> None:
    async with a_cluster(silent_after_s=3.0) as client:
        await _a_node_dies(client)


async def _a_node_dies(client: Client) -> None:
    for name in ("n1", "n2", "n3"):
        await join(client, name)
    beats = Heartbeats(client, "n1", "n2", "n3")
    beating = asyncio.create_task(beats.run())
    await client.create(fresh(a_service("web", cluster_ip="")))
    await client.create(fresh(a_replicaset("web", replicas=3)))
    for place, pod in enumerate(await until(lambda: bound(client, 3))):
        await start(client, pod, f"10.244.1.{place + 2}")
    pods = await until(lambda: bound(client, 3))
    lost = next(pod for pod in pods if pod.spec.node_name == "n1")
    left = sorted(pod.status.pod_ip for pod in pods if pod is not lost)

    beats.silent.add("n1")
    await until(lambda: _equal(ready_addresses(client, "web"), left))

    async def is_unknown() -> bool:
        return await _readiness(client, "n1") == "Unknown"

    await until(is_unknown)

    after = await until(lambda: bound(client, 4))
    going = [pod.metadata.name for pod in after if pod.metadata.is_deleted]
    assert going == [lost.metadata.name]
    assert Counter(pod.spec.node_name for pod in after if not pod.metadata.is_deleted)["n1"] == 0

    beats.silent.clear()

    async def is_back() -> bool:
        return await _readiness(client, "n1") == "True"

    await until(is_back)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


async def _readiness(client: Client, name: str) -> str:
    ready = condition_of((await client.get(Node, name)).status.conditions, "Ready")
    return ready.status if ready is not None else ""


async def test_every_node_gets_a_pod_network_of_its_own(client: Client) -> None:
    for name in ("n1", "n2", "n3"):
        await join(client, name)

    async def networks() -> list[str] | None:
        found = [node.spec.pod_cidr for node in (await client.list(Node)).items]
        return found if all(found) else None

    assert sorted(await until(networks)) == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]


async def test_w17_what_fits_nowhere_says_why_once_and_is_bound_when_a_node_joins(
    client: Client,
) -> None:
    await join(client, "n1", cpu="1")
    big = Pod(
        metadata=ObjectMeta(name="big", namespace="default"),
        spec=PodSpec(containers=(a_container(cpu="2"),)),
    )
    await client.create(big)

    async def refused() -> Pod | None:
        pod = await client.get(Pod, "big", "default")
        return pod if condition_of(pod.status.conditions, "PodScheduled") else None

    pod = await until(refused)
    told = condition_of(pod.status.conditions, "PodScheduled")
    assert told is not None
    assert (told.status, told.reason) == ("False", "Unschedulable")
    assert told.message == (
        "0/1 nodes can take the pod: n1 Insufficient cpu: needs 2000m, has 1000m free"
    )

    async def event() -> list[Event]:
        events = (await client.list(Event, "default")).items
        return [one for one in events if one.reason == "FailedScheduling"]

    assert len(await until(event)) == 1
    await asyncio.sleep(0.3)
    assert (await client.get(Pod, "big", "default")).metadata == pod.metadata

    await join(client, "n2", cpu="4")
    assert (await until(lambda: bound(client, 1)))[0].spec.node_name == "n2"


async def test_a_namespace_takes_everything_in_it_along(client: Client) -> None:
    await client.create(Namespace(metadata=ObjectMeta(name="shop")))
    await client.create(fresh(a_replicaset("web", "shop", replicas=2)))
    await client.create(fresh(a_service("web", "shop", cluster_ip="")))
    await until(lambda: _pods(client, "shop", 2))

    await client.delete(Namespace, "shop")

    async def is_gone() -> bool:
        try:
            await client.get(Namespace, "shop")
        except NotFound:
            return True
        return False

    await until(is_gone)
    assert (await client.list(Pod)).items == ()
    assert [one.metadata.namespace for one in (await client.list(Service)).items] == ["default"]


async def test_orphans_stay_and_are_adopted_by_the_next_set(client: Client) -> None:
    await client.create(fresh(a_replicaset("web", replicas=2)))
    before = await until(lambda: _pods(client, "default", 2))

    await client.delete(ReplicaSet, "web", "default", propagation="Orphan")

    async def is_gone() -> bool:
        return not (await client.list(ReplicaSet)).items

    await until(is_gone)
    made = await client.create(fresh(a_replicaset("web", replicas=2)))

    async def adopted() -> list[Pod] | None:
        pods = (await client.list(Pod, "default")).items
        mine = [one for one in pods if one.metadata.controller == made.owner_reference()]
        return mine if len(mine) == 2 else None

    after = await until(adopted)
    assert {one.metadata.uid for one in after} == {one.metadata.uid for one in before}


async def test_a_chain_of_owners_goes_from_its_end_and_what_another_has_stays(
    client: Client,
) -> None:
    """In the foreground. The pod in the middle is on a node where no kubelet confirms its end."""
    await join(client, "n1")
    top = await client.create(fresh(a_replicaset("top", replicas=0)))
    other = await client.create(fresh(a_replicaset("other", replicas=0)))
    await client.create(_owned(a_service("shared", cluster_ip=""), top, other))
    middle = await client.create(_owned(a_pod("middle", labels={"app": "middle"}), top))
    await client.create(_owned(a_service("last", cluster_ip=""), middle))
    await until(lambda: bound(client, 1))

    await client.delete(ReplicaSet, "top", "default", propagation="Foreground")

    async def are_told() -> bool:
        names = {one.metadata.name for one in (await client.list(Service, "default")).items}
        pod = await client.get(Pod, "middle", "default")
        return names == {"kubernetes", "shared"} and pod.metadata.is_deleted

    await until(are_told)
    assert (await client.get(ReplicaSet, "top", "default")).metadata.is_deleted
    await client.delete(Pod, "middle", "default", grace_s=0)

    async def is_gone() -> bool:
        sets = (await client.list(ReplicaSet, "default")).items
        return [one.metadata.name for one in sets] == ["other"]

    await until(is_gone)
    kept = await client.get(Service, "shared", "default")
    assert [one.name for one in kept.metadata.owner_references] == ["other"]
    assert not kept.metadata.is_deleted


def _owned[O: (Service, Pod)](one: O, *owners: Object) -> O:
    references = [replaced(owner.owner_reference(), controller=False) for owner in owners]
    whole = fresh(one)
    return replaced(whole, metadata=replaced(whole.metadata, owner_references=tuple(references)))


async def _pods(client: Client, namespace: str, count: int) -> list[Pod] | None:
    pods = list((await client.list(Pod, namespace)).items)
    return pods if len(pods) == count else None


async def _all_going(client: Client) -> list[Pod] | None:
    pods = list((await client.list(Pod)).items)
    return pods if pods and all(pod.metadata.is_deleted for pod in pods) else None


async def _equal(found: Awaitable[list[str]], wanted: list[str]) -> bool:
    return await found == wanted
