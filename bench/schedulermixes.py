"""The mixes of bench.scheduler: which pods are placed, among which others, and what goes on beside.

As in Kubernetes' scheduler_perf: plain pods; required affinity to pods of the same zone; required
anti-affinity, one pod of a group a node; spreading over zones; preemption of three pods by one;
and plain pods while nodes come and go and a pod that fits nowhere is made again and again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
)
from cubernetes.api.core.podspec.placement.spread import TopologySpreadConstraint
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.errors import Conflict, NotFound
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.scheduling.priorityclass import PriorityClass
from cubernetes.api.selectors import LabelSelector
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from tests.given import a_container, a_node, a_pod

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
ZONES = 10
URGENT = "urgent"
CHURN_PAUSE_S = 0.05
# On a node of 4 cores: four pods that leave 400m free, three of which make room for 3 cores.
LOW_CPU, HIGH_CPU, LOW_COUNT = "900m", "3", 4

type Beside = Callable[[Client, Env], Awaitable[None]]


async def nothing(_: Client, __: Env) -> None:
    """Let nothing go on beside."""


class Mix(NamedTuple):
    """pod: what of number and count of nodes is placed. before: what is bound before, by node.

    beside: what goes on until it is cancelled. is_tight: nodes have room for a few pods only.
    pods_max: so many are placed at most, by the number of nodes.
    """

    pod: Callable[[int, int], Pod]
    before: Callable[[str], Iterator[Pod]] = lambda _: iter(())
    beside: Beside = nothing
    is_tight: bool = False
    pods_max: Callable[[int], int] = lambda _: 1_000_000


def named(name: str, spec: PodSpec, labels: Mapping[str, str] | None = None) -> Pod:
    meta = ObjectMeta(name=name, namespace="default", labels=dict(labels or {}))
    return Pod(metadata=meta, spec=spec)


def _spec(**fields: object) -> PodSpec:
    plain = a_pod(cpu="100m", memory="16Mi").spec
    return replaced(plain, **fields)


def _plain(number: int, _: int) -> Pod:
    return named(f"p{number:05}", _spec(), {"app": "web"})


def _term(labels: Mapping[str, str], key: str) -> PodAffinityTerm:
    return PodAffinityTerm(
        label_selector=LabelSelector(match_labels=dict(labels)), topology_key=key
    )


def _near(number: int, _: int) -> Pod:
    labels = {"group": f"g{number % ZONES}"}
    rule = PodAffinity(required_during_scheduling_ignored_during_execution=(_term(labels, ZONE),))
    return named(f"p{number:05}", _spec(affinity=Affinity(pod_affinity=rule)), labels)


def _apart(number: int, node_count: int) -> Pod:
    labels = {"group": f"g{number // node_count}"}
    terms = (_term(labels, HOST),)
    rule = PodAntiAffinity(required_during_scheduling_ignored_during_execution=terms)
    return named(f"p{number:05}", _spec(affinity=Affinity(pod_anti_affinity=rule)), labels)


def _even(number: int, _: int) -> Pod:
    labels = {"app": "even"}
    rule = TopologySpreadConstraint(
        max_skew=5,
        topology_key=ZONE,
        when_unsatisfiable="DoNotSchedule",
        label_selector=LabelSelector(match_labels=labels),
    )
    return named(f"p{number:05}", _spec(topology_spread_constraints=(rule,)), labels)


def _urgent(number: int, _: int) -> Pod:
    spec = PodSpec(containers=(a_container(cpu=HIGH_CPU),), priority_class_name=URGENT)
    return named(f"p{number:05}", spec, {"app": "urgent"})


def _low(node: str) -> Iterator[Pod]:
    for place in range(LOW_COUNT):
        spec = PodSpec(containers=(a_container(cpu=LOW_CPU),), node_name=node)
        yield named(f"low-{node}-{place}", spec, {"app": "low"})


async def _reaping(client: Client, env: Env) -> None:
    """Let pods go that are to go, as their kubelets would."""
    going: asyncio.Queue[Pod] = asyncio.Queue()
    pods = Informer(client, Pod, env)

    def changed(_: Pod | None, new: Pod | None) -> None:
        if new is not None and new.metadata.is_deleted:
            going.put_nowait(new)

    pods.on_change(changed)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pods.run())
        while True:
            meta = (await going.get()).metadata
            with suppress(NotFound, Conflict):
                await client.delete(Pod, meta.name, meta.namespace, uid=meta.uid, grace_s=0)


async def _churn(client: Client, _: Env) -> None:
    """Make and remove a node, and a pod that fits nowhere."""
    number = 0
    while True:
        number += 1
        name = f"churn-{number}"
        made = await client.create(Node(metadata=ObjectMeta(name=name), spec=NodeSpec()))
        await client.update_status(replaced(made, status=a_node(cpu="1", pods="1").status))
        await client.create(named(name, PodSpec(containers=(a_container(cpu="4000"),))))
        await asyncio.sleep(CHURN_PAUSE_S)
        await client.delete(Pod, name, "default", grace_s=0)
        await client.delete(Node, name)


MIXES: Mapping[str, Mix] = {
    "basic": Mix(_plain),
    "affinity": Mix(_near),
    "anti-affinity": Mix(_apart),
    "spreading": Mix(_even),
    "preemption": Mix(
        _urgent, before=_low, beside=_reaping, is_tight=True, pods_max=lambda nodes: min(nodes, 200)
    ),
    "churn": Mix(_plain, beside=_churn),
}


async def make_class(client: Client) -> None:
    """Make the PriorityClass that preempting pods name."""
    await client.create(PriorityClass(metadata=ObjectMeta(name=URGENT), value=1000))
