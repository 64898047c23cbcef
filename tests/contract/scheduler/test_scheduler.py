"""The scheduler against the real API server: lost answers, full nodes, and no idle writes."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.bodies.envelopes import Binding
from cubernetes.api.coding import codec
from cubernetes.api.condition import Condition, condition_of, with_condition
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort, Resources
from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    PodAffinityTerm,
    PodAntiAffinity,
)
from cubernetes.api.core.podspec.placement.spread import PodSchedulingGate
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.errors import Conflict
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.quantities import Quantity
from cubernetes.api.selectors import LabelSelector, Requirement
from cubernetes.client.connect import ClientSettings
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity, Request, Response
from scheduler.run import run
from scheduler.settings import SchedulerSettings
from tests.counted import counted
from tests.direct import DirectTransport
from tests.given import NOW, a_container, a_node, a_pod

DEADLINE_S = 60.0


class LossyTransport(DirectTransport):
    """Loses requests and answers of writes by a seeded chance; counts the writes that arrive."""

    def __init__(self, server: ApiServer, loss: float) -> None:
        super().__init__(server, Identity("system:scheduler"))
        self._chance = random.Random(7)
        self._loss = loss
        self.writes: list[Request] = []
        self.targets: dict[str, set[str]] = {}  # to which nodes each pod was ever sent
        self.sent_count = 0
        self.is_cut = False  # bindings vanish, however often they are repeated

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        is_write = request.method != "GET"
        if request.path.endswith("/binding"):
            target = codec.read_model(Binding, request.body, "Binding").target.name
            self.targets.setdefault(request.path, set()).add(target)
            self.sent_count += 1
            if self.is_cut:
                raise UnknownOutcome("nobody answers")
        if is_write and self._chance.random() < self._loss:
            raise UnknownOutcome("the request is lost")
        if is_write and "/leases" not in request.path and "/events" not in request.path:
            self.writes.append(request)
        response = await super().send(request, deadline_s=deadline_s)
        if is_write and self._chance.random() < self._loss:
            raise UnknownOutcome("the answer is lost")
        return response


class Place:
    """An API server with an administrator's client, and the way that the scheduler talks to it."""

    def __init__(self, server: ApiServer, env: Env, loss: float) -> None:
        self.env = env
        self.admin = Client(DirectTransport(server), env)
        self.transport = LossyTransport(server, loss)
        self.scheduler = Client(self.transport, env, deadline_s=0.2)

    async def add_node(
        self,
        name: str,
        *,
        cpu: str = "4",
        pods: str = "110",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        meta = ObjectMeta(name=name, labels=dict(labels or {}))
        made = await self.admin.create(Node(metadata=meta, spec=NodeSpec()))
        wanted = a_node(name, cpu=cpu, pods=pods)
        await self.admin.update_status(replaced(made, status=wanted.status))

    async def add_pod(self, name: str, spec: PodSpec | None = None) -> None:
        pod = a_pod(name, spec=spec)
        meta = ObjectMeta(name=name, namespace="default", labels=pod.metadata.labels)
        await self.admin.create(replaced(pod, metadata=meta))

    async def pods(self) -> list[Pod]:
        return list((await self.admin.list(Pod)).items)

    async def counts(self) -> Counter[str]:
        return Counter(pod.spec.node_name for pod in await self.pods())

    async def until(self, holds: Callable[[list[Pod]], bool]) -> list[Pod]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                pods = await self.pods()
                if holds(pods):
                    return pods
                await asyncio.sleep(0.02)

    async def until_told(self, reason: str, message: str) -> None:
        """Wait for an event; fail where one of the reason says something else."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                events = (await self.admin.list(Event)).items
                if found := [one.message for one in events if one.reason == reason]:
                    assert found == [message]
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_place(loss: float = 0.0) -> AsyncIterator[Place]:
    env = Env()
    server = ApiServer(MemoryStore(env), env, Settings())
    await server.start()
    place = Place(server, env, loss)
    settings = SchedulerSettings(client=ClientSettings(servers=(), ca=""), wake_pause_s=0.01)
    program = asyncio.create_task(run(settings, env, place.scheduler))
    try:
        yield place
    finally:
        program.cancel()
        (ended,) = await asyncio.gather(program, return_exceptions=True)
        await server.stop()
    assert isinstance(ended, asyncio.CancelledError), ended


def all_bound(pods: list[Pod]) -> bool:
    return all(pod.spec.node_name for pod in pods)


def is_refused(pod: Pod) -> bool:
    told = condition_of(pod.status.conditions, "PodScheduled")
    return told is not None and told.status == "False"


async def test_lost_requests_and_answers_neither_lose_a_pod_nor_fill_a_node_twice() -> None:
    async with a_place(loss=0.25) as place:
        for number in range(3):
            await place.add_node(f"n{number}", pods="20")
        for number in range(60):
            await place.add_pod(f"p{number:02}")

        await place.until(all_bound)

        assert await place.counts() == {"n0": 20, "n1": 20, "n2": 20}


async def test_a_pod_whose_binding_may_have_happened_is_never_sent_to_another_node() -> None:
    async with a_place() as place:
        for number in range(3):
            await place.add_node(f"n{number}")
        place.transport.is_cut = True
        for number in range(4):
            await place.add_pod(f"p{number}")
        # More than once for each, and so again after an answer that never came.
        await place.until(lambda _: place.transport.sent_count > 8)
        place.transport.is_cut = False

        await place.until(all_bound)

        assert [len(nodes) for nodes in place.transport.targets.values()] == [1, 1, 1, 1]


async def test_pods_that_fit_nowhere_do_not_hold_up_the_others() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        huge = PodSpec(containers=(a_container(cpu="100"),))
        for number in range(40):
            await place.add_pod(f"a-huge-{number:02}", huge)
        for number in range(5):
            await place.add_pod(f"small-{number}")

        pods = await place.until(lambda found: sum(bool(one.spec.node_name) for one in found) == 5)

        assert {one.metadata.name[:5] for one in pods if one.spec.node_name} == {"small"}


async def test_what_was_decided_and_who_waits_is_counted() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        await place.add_pod("small")
        await place.add_pod("huge", PodSpec(containers=(a_container(cpu="100"),)))

        await place.until(lambda pods: any(is_refused(one) for one in pods))
        await place.until(lambda pods: any(one.spec.node_name for one in pods))

        def is_counted(_: list[Pod]) -> bool:
            told = counted(place.env.metrics)
            return (
                told['cube_scheduler_waiting_pods{state="parked"}'] == 1
                and told['cube_scheduler_decisions_total{decision="placed"}'] == 1
                and told['cube_scheduler_decisions_total{decision="no_node"}'] >= 1
                and told["cube_scheduler_binding_seconds_count"] == 1
            )

        # Others see what was done before the scheduler has its answer, and counts it.
        await place.until(is_counted)
        told = counted(place.env.metrics)
        assert told["cube_scheduler_failures_total"] == 0
        assert told['cube_lease_is_held{lease="scheduler"}'] == 1
        assert told['cube_informer_objects{kind="Pod"}'] == 2


async def test_a_gated_pod_waits_for_its_gates_and_is_then_placed() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        gates = (PodSchedulingGate(name="a"), PodSchedulingGate(name="b"))
        gated = PodSpec(containers=(a_container(),), scheduling_gates=gates)
        await place.add_pod("gated", gated)
        await place.add_pod("free")
        await place.until(lambda pods: any(one.spec.node_name for one in pods))

        found = await place.admin.get(Pod, "gated", "default")
        told = condition_of(found.status.conditions, "PodScheduled")
        assert told is not None
        assert (told.reason, told.message) == (
            "SchedulingGated",
            "Scheduling is blocked due to non-empty scheduling gates",
        )
        with pytest.raises(Conflict, match="has non-empty"):
            await place.admin.bind("gated", "default", found.metadata.uid, "n1")

        await place.admin.update(
            replaced(found, spec=replaced(found.spec, scheduling_gates=gates[1:]))
        )
        found = await place.admin.get(Pod, "gated", "default")
        assert not found.spec.node_name
        await place.admin.update(replaced(found, spec=replaced(found.spec, scheduling_gates=())))
        await place.until(all_bound)


def keeping_apart(selector: LabelSelector | None) -> PodSpec:
    """Return the spec of a pod that shares no zone with those of its label, also elsewhere."""
    term = PodAffinityTerm(
        label_selector=LabelSelector(match_labels={"app": "web"}),
        topology_key="zone",
        namespace_selector=selector,
    )
    away = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(term,))
    affinity = Affinity(pod_anti_affinity=away)
    return PodSpec(containers=(a_container(),), affinity=affinity)


async def test_pods_keep_apart_and_one_that_waits_comes_when_another_leaves() -> None:
    async with a_place() as place:
        for name in ("n1", "n2"):
            await place.add_node(name, labels={"zone": name})
        for number in range(3):
            await place.add_pod(f"p{number}", keeping_apart(None))

        def two_and_one(pods: list[Pod]) -> bool:
            return (
                sum(map(is_refused, pods)) == 1
                and sum(bool(one.spec.node_name) for one in pods) == 2
            )

        pods = await place.until(two_and_one)
        assert {one.spec.node_name for one in pods} == {"n1", "n2", ""}
        (waits,) = (one for one in pods if not one.spec.node_name)
        told = condition_of(waits.status.conditions, "PodScheduled")
        assert told is not None
        assert told.message.startswith("0/2 nodes can take the pod: n1 has 1 pods in zone=n1 that")

        leaves = next(one for one in pods if one.spec.node_name)
        await place.admin.delete(Pod, leaves.metadata.name, "default", grace_s=0)
        await place.until(all_bound)


async def test_labels_of_a_namespace_that_come_let_a_pod_in() -> None:
    async with a_place() as place:
        await place.add_node("n1", labels={"zone": "a"})
        await place.add_pod("there")
        await place.until(all_bound)
        everywhere_else = LabelSelector(
            match_expressions=(Requirement(key="quiet", operator="DoesNotExist"),)
        )
        await place.add_pod("apart", keeping_apart(everywhere_else))
        await place.until(lambda pods: any(map(is_refused, pods)))

        room = await place.admin.get(Namespace, "default")
        labels = {**room.metadata.labels, "quiet": "yes"}
        await place.admin.update(replaced(room, metadata=replaced(room.metadata, labels=labels)))
        await place.until(all_bound)


async def test_w17_a_pod_that_waits_costs_one_write_whatever_the_nodes_report() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        await place.add_pod("huge", PodSpec(containers=(a_container(cpu="100"),)))
        await place.until(lambda found: is_refused(found[0]))
        before = len(place.transport.writes)

        for second in range(20):
            node = await place.admin.get(Node, "n1")
            beat = Condition(
                type="MemoryPressure", status="False", message=f"beat {second}", reason="Fine"
            )
            conditions = with_condition(node.status.conditions, beat, NOW)
            status = replaced(node.status, conditions=conditions)
            await place.admin.update_status(replaced(node, status=status))
        await asyncio.sleep(0.2)

        assert len(place.transport.writes) == before == 1


async def test_w17_woken_in_vain_a_pod_that_waits_writes_nothing() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        await place.add_pod("huge", PodSpec(containers=(a_container(cpu="100"),)))
        await place.until(lambda found: is_refused(found[0]))

        for size in range(1, 6):
            node = await place.admin.get(Node, "n1")
            amounts = {**node.status.allocatable, "memory": Quantity(f"{size}Gi")}
            status = replaced(node.status, allocatable=amounts)
            await place.admin.update_status(replaced(node, status=status))
            await asyncio.sleep(0.05)

        assert len(place.transport.writes) == 1


async def test_when_a_pod_goes_the_one_that_waits_for_its_port_is_bound() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        ports = [ContainerPort(container_port=80, host_port=8080)]
        spec = PodSpec(containers=(a_container(ports=ports),))
        await place.add_pod("first", spec)
        await place.until(all_bound)
        await place.add_pod("second", spec)
        await place.until(lambda found: is_refused(found[1]))

        await place.admin.delete(Pod, "first", "default", grace_s=0)

        (pod,) = await place.until(lambda found: len(found) == 1 and all_bound(found))
        assert pod.metadata.name == "second"


async def test_a_node_that_is_cordoned_gets_nothing_until_it_is_free_again() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        await place.admin.patch(Node, "n1", "", {"spec": {"unschedulable": True}})
        await place.add_pod("web")
        (pod,) = await place.until(lambda found: is_refused(found[0]))
        told = condition_of(pod.status.conditions, "PodScheduled")
        assert told is not None
        assert told.message == "0/1 nodes can take the pod: n1 is cordoned"

        await place.admin.patch(Node, "n1", "", {"spec": {"unschedulable": None}})

        await place.until(all_bound)


async def test_a_pod_of_another_scheduler_is_left_alone() -> None:
    async with a_place() as place:
        await place.add_node("n1")
        await place.add_pod("theirs", PodSpec(containers=(a_container(),), scheduler_name="theirs"))
        await place.add_pod("ours")

        pods = await place.until(lambda found: any(one.spec.node_name for one in found))

        assert {one.metadata.name: one.spec.node_name for one in pods} == {
            "ours": "n1",
            "theirs": "",
        }


async def test_a_restart_goes_on_where_the_round_was() -> None:
    async with a_place() as place:
        for number in range(3):
            await place.add_node(f"n{number}")
        await place.add_pod("p0")
        await place.until(all_bound)
        settings = SchedulerSettings(
            client=ClientSettings(servers=(), ca=""), profiles={"second": {}}, lease=""
        )
        again = asyncio.create_task(run(settings, Env(), place.scheduler))
        await place.add_pod("p1", PodSpec(containers=(a_container(),), scheduler_name="second"))
        pods = await place.until(all_bound)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

        assert [pod.spec.node_name for pod in pods] == ["n0", "n1"]


async def test_news_that_cannot_help_cost_no_decision_and_those_that_can_cost_one() -> None:
    """Counted: a pod that waits for a label is not decided on when another pod makes room."""
    decisions = 'cube_scheduler_decisions_total{decision="no_node"}'
    async with a_place() as place:
        await place.add_node("n1")
        await place.add_pod("leaves")
        await place.until(all_bound)
        choosy = PodSpec(containers=(a_container(),), node_selector={"disk": "ssd"})
        await place.add_pod("choosy", choosy)
        await place.until(lambda found: is_refused(found[0]))
        before = counted(place.env.metrics)[decisions]

        await place.admin.delete(Pod, "leaves", "default", grace_s=0)
        taint = {"spec": {"taints": [{"key": "spot", "effect": "PreferNoSchedule"}]}}
        await place.admin.patch(Node, "n1", "", taint)
        await place.add_pod("later")
        await place.until(lambda found: found[-1].spec.node_name == "n1")
        assert counted(place.env.metrics)[decisions] == before

        await place.admin.patch(Node, "n1", "", {"metadata": {"labels": {"disk": "ssd"}}})
        await place.until(all_bound)
        assert counted(place.env.metrics)[decisions] == before


async def test_a_device_written_into_a_nodes_status_is_given_to_the_pod_that_waits() -> None:
    gpu = Resources(limits={"example.com/gpu": Quantity("1")})
    spec = PodSpec(containers=(replaced(a_container(), resources=gpu),))
    async with a_place() as place:
        await place.add_node("n1")
        await place.add_pod("a", spec)
        (pod,) = await place.until(lambda found: is_refused(found[0]))
        told = condition_of(pod.status.conditions, "PodScheduled")
        assert told is not None
        assert told.message == (
            "0/1 nodes can take the pod: n1 Insufficient example.com/gpu: needs 1, has 0 free"
        )

        node = await place.admin.get(Node, "n1")
        amounts = {**node.status.allocatable, "example.com/gpu": Quantity("1")}
        status = replaced(node.status, allocatable=amounts)
        await place.admin.update_status(replaced(node, status=status))

        await place.until(all_bound)
        await place.add_pod("b", spec)
        await place.until(lambda found: is_refused(found[1]))
