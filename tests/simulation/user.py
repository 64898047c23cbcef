"""The people of a simulated cluster: they make, size and delete workloads, at bad moments too."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from apiserver.auth.authorize import MASTERS
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.revisions import HASH_LABEL
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import Job
from cubernetes.api.coding import codec
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.service import Service
from cubernetes.api.errors import AlreadyExists, ApiError, NotFound
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.web.messages import Identity
from tests.simulation.judges.ledger import Ledger
from tests.simulation.workloads import (
    REBALANCE,
    CronPolicy,
    Strategy,
    budget,
    cron,
    daemons,
    numbered,
    quota,
    rolling,
    service,
    task,
    workload,
)

ADMIN = Identity("kubernetes-admin", (MASTERS,))
ROOM = "room"
APPS = ("web", "api", "db")
REPLICAS_MAX = 5
RACERS = 8  # who create something at once
# What a quota has room for at the end, when all is to come true.
PLENTY = "1000"
# "fair": nothing fails and nobody is evicted, so that every rollout keeps its floor. "cron":
# minutes go by, and no controller is there for some of them. "quota": many create at once.
type Mood = Literal["any", "fair", "cron", "quota"]


@dataclass(frozen=True, slots=True)
class User:
    """Does one thing at a time, and does not ask whether it worked."""

    client: Client
    ledger: Ledger
    rng: random.Random
    nodes: Sequence[str] = ()
    mood: Mood = "any"

    async def act(self) -> str:
        """Do something; return it in words."""
        deed = self.rng.choice(self._deeds())
        try:
            return await deed()
        except (ApiError, TransportError) as error:
            return f"{deed.__name__[1:]}: {error}"

    def _deeds(self) -> Sequence[Callable[[], Awaitable[str]]]:
        fair = (
            *(self._make,) * 4, *(self._size,) * 4, *(self._roll,) * 3, self._undo, self._undo,
            self._pause, self._cordon, self._uncordon,
        )  # fmt: skip
        if self.mood == "fair":
            return fair
        deeds = (
            *fair, *(self._delete_pod,) * 2, *(self._unmake,) * 2, *(self._evict,) * 3,
            self._open_room, self._close_room, self._remove_node, self._return_node, self._drain,
        )  # fmt: skip
        if self.mood == "cron":
            return (*deeds, *(self._schedule,) * 6)
        if self.mood == "quota":
            return (*deeds, *(self._bound,) * 4, *(self._race,) * 6)
        return deeds

    async def _make(self) -> str:
        app, namespace = self.rng.choice(APPS), self.rng.choice(("default", "default", ROOM))
        one: Object = service(app, namespace)
        if self.rng.random() < 0.6:
            replicas, grace_s = self.rng.randint(0, REPLICAS_MAX), self.rng.choice((1, 5, 30))
            made = workload(app, namespace, replicas, grace_s)
            one = made
            if self.rng.random() < 0.5:
                how: Strategy = self.rng.choice(("RollingUpdate", "RollingUpdate", "Recreate"))
                one = rolling(made, how, is_movable=self.rng.random() < 0.4)
            elif self.rng.random() < 0.4:
                one = numbered(made, self.rng.choice(("OrderedReady", "Parallel")), app)
            elif self.rng.random() < 0.3:
                one = daemons(made, self.rng.choice((0, 1)))
            elif replicas and self.rng.random() < 0.6:
                one = task(made, self.rng.randint(1, REPLICAS_MAX))
        elif self.rng.random() < 0.4:
            one = budget(app, namespace, self.rng.choice((0, 1, "50%")))
        await self.client.create(one)
        return f"made {one.ref}"

    async def _size(self) -> str:
        kind = self.rng.choice((Deployment, StatefulSet))
        one = self._any(kind) if self.rng.random() < 0.5 else self._any_set()
        if one is None:
            return "nothing to size"
        replicas = self.rng.randint(0, REPLICAS_MAX)
        await self.client.scale(type(one), one.metadata.name, one.metadata.namespace, replicas)
        return f"sized {one.ref} to {replicas}"

    async def _roll(self) -> str:
        """Change a template, or bring back one that it had: both are grace periods here."""
        one = self._any(self.rng.choice((Deployment, Deployment, StatefulSet, DaemonSet)))
        if one is None:
            return "nothing to roll"
        grace_s = self.rng.choice((1, 5, 30))
        change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": grace_s}}}}
        await self.client.patch(type(one), one.metadata.name, one.metadata.namespace, change)
        return f"rolled {one.ref} to grace {grace_s}"

    async def _undo(self) -> str:
        """Bring a Deployment back to a template of its history, as `rollout undo` does."""
        one = self._any(Deployment)
        old = [
            each
            for each in self.ledger.all(ReplicaSet)
            if one is not None
            and each.metadata.controller is not None
            and each.metadata.controller.uid == one.metadata.uid
        ]
        if one is None or not old:
            return "nothing to undo"
        meta, target = one.metadata, self.rng.choice(old)
        template = json.loads(codec.encode(target.spec.template))
        template["metadata"]["labels"].pop(HASH_LABEL)
        change = {"spec": {"template": template}}
        await self.client.patch(Deployment, meta.name, meta.namespace, change)
        return f"undid {one.ref} to {target.metadata.name}"

    async def _pause(self) -> str:
        one = self._any(Deployment)
        if one is None:
            return "nothing to pause"
        meta, change = one.metadata, {"spec": {"paused": not one.spec.paused}}
        await self.client.patch(Deployment, meta.name, meta.namespace, change)
        return f"{'resumed' if one.spec.paused else 'paused'} {one.ref}"

    async def settle(self) -> None:
        """Let everything go on that was held: only then is there an end to agree upon."""
        await self.return_nodes()
        for node in self.ledger.all(Node):
            if node.spec.unschedulable:
                await self._mark(node.metadata.name, is_cordoned=False)
        for one in self.ledger.all(Deployment):
            change: dict[str, object] = {"spec": {"paused": False}}
            if self.mood != "fair":
                # Whether pods move on depends on how long their nodes have been ready.
                change["metadata"] = {"annotations": {REBALANCE: None}}
            await self._change(one, change)
        for cron_job in self.ledger.all(CronJob):
            await self._change(cron_job, {"spec": {"suspend": True}})
        for bound in self.ledger.all(ResourceQuota):
            hard = dict.fromkeys(bound.spec.hard, PLENTY)
            await self._change(bound, {"spec": {"hard": hard}})

    async def _change(self, one: Object, change: dict[str, object]) -> None:
        meta = one.metadata
        if not meta.is_deleted:
            try:
                await self.client.patch(type(one), meta.name, meta.namespace, change)
            except NotFound:
                """It went meanwhile."""

    def _any_set(self) -> ReplicaSet | None:
        """Return a ReplicaSet that is the user's own, and no Deployment's."""
        found = [one for one in self.ledger.all(ReplicaSet) if one.metadata.controller is None]
        return self.rng.choice(found) if found else None

    async def _delete_pod(self) -> str:
        pod = self._any(Pod)
        if pod is None:
            return "no pod to delete"
        # A grace of 0 takes the object away at once, whatever runs on its node.
        grace_s = self.rng.choice((None, None, 1, 0))
        meta = pod.metadata
        if grace_s == 0:
            self.ledger.laws.forced.add(meta.uid)
        await self.client.delete(Pod, meta.name, meta.namespace, grace_s=grace_s)
        return f"deleted {pod.ref} with grace {grace_s}"

    async def _evict(self) -> str:
        pod = self._any(Pod)
        if pod is None:
            return "no pod to evict"
        await self.client.evict(pod.metadata.name, pod.metadata.namespace)
        return f"evicted {pod.ref}"

    async def _drain(self) -> str:
        """Cordon a node, and evict all its pods, as far as their budgets allow."""
        node = self._any(Node)
        if node is None:
            return "no node to drain"
        name = node.metadata.name
        await self._mark(name, is_cordoned=True)
        gone_count = 0
        for pod in [one for one in self.ledger.all(Pod) if one.spec.node_name == name]:
            meta = pod.metadata
            try:
                await self.client.evict(meta.name, meta.namespace, uid=meta.uid)
                gone_count += 1
            except (ApiError, TransportError):
                """A budget, or the network: the others may go all the same."""
        return f"drained {name} of {gone_count} pods"

    async def _cordon(self) -> str:
        node = self._any(Node)
        if node is None:
            return "no node to cordon"
        await self._mark(node.metadata.name, is_cordoned=True)
        return f"cordoned {node.ref}"

    async def _uncordon(self) -> str:
        closed = [one for one in self.ledger.all(Node) if one.spec.unschedulable]
        for node in closed:
            await self._mark(node.metadata.name, is_cordoned=False)
        return f"uncordoned {len(closed)} nodes"

    async def _mark(self, node: str, *, is_cordoned: bool) -> None:
        await self.client.patch(Node, node, "", {"spec": {"unschedulable": is_cordoned}})

    async def _schedule(self) -> str:
        app, namespace = self.rng.choice(APPS), self.rng.choice(("default", "default", ROOM))
        policy: CronPolicy = self.rng.choice(("Allow", "Forbid", "Replace"))
        made = cron(workload(app, namespace, 1, self.rng.choice((1, 5))), policy)
        await self.client.create(made)
        return f"scheduled {made.ref} ({policy})"

    async def _bound(self) -> str:
        """Make a quota, or change what it allows."""
        namespace = self.rng.choice(("default", "default", ROOM))
        made = quota(namespace, self.rng.randint(2, 12), self.rng.randint(2, 6))
        try:
            await self.client.create(made)
        except AlreadyExists:
            hard = {name: str(most) for name, most in made.spec.hard.items()}
            change = {"spec": {"hard": hard}}
            await self.client.patch(ResourceQuota, made.metadata.name, namespace, change)
        return f"bound {namespace} to {dict(made.spec.hard)}"

    async def _race(self) -> str:
        """Create much at once: as far as a quota goes, and no further."""
        namespace, first = self.rng.choice(("default", ROOM)), self.rng.randint(0, 999)
        made = [
            self.client.create(service(f"r{first + number}", namespace)) for number in range(RACERS)
        ]
        found = await asyncio.gather(*made, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, (ApiError, TransportError)):
                raise one
        done_count = sum(not isinstance(one, BaseException) for one in found)
        return f"{done_count} of {RACERS} services were made at once in {namespace}"

    async def _unmake(self) -> str:
        one = self._any(
            self.rng.choice(
                (
                    ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, Service,
                    PodDisruptionBudget, CronJob, ResourceQuota,
                )
            )
        )  # fmt: skip
        if one is None or one.metadata.name == "kubernetes":
            return "nothing to unmake"
        await self.client.delete(type(one), one.metadata.name, one.metadata.namespace)
        return f"unmade {one.ref}"

    async def _open_room(self) -> str:
        await self.client.create(Namespace(metadata=ObjectMeta(name=ROOM)))
        return f"opened {ROOM}"

    async def _close_room(self) -> str:
        """Delete a namespace, and all that is in it."""
        await self.client.delete(Namespace, ROOM)
        return f"closed {ROOM}"

    async def _remove_node(self) -> str:
        """Delete a Node; its machine runs on, and is nobody's until the Node is made again."""
        one = self._any(Node)
        if one is None:
            return "no node to remove"
        await self.client.delete(Node, one.metadata.name)
        return f"removed {one.ref}"

    async def _return_node(self) -> str:
        missing = self.missing_nodes()
        if not missing:
            return "no node to return"
        name = self.rng.choice(missing)
        await self.client.create(Node(metadata=ObjectMeta(name=name)))
        return f"returned {name}"

    def missing_nodes(self) -> list[str]:
        """Return the machines that are no nodes of the cluster, for whatever reason."""
        there = {one.metadata.name for one in self.ledger.all(Node)}
        return [name for name in self.nodes if name not in there]

    async def return_nodes(self) -> None:
        """Make every machine a node again."""
        for name in self.missing_nodes():
            try:
                await self.client.create(Node(metadata=ObjectMeta(name=name)))
            except AlreadyExists:
                """Its kubelet was quicker."""

    def _any[O: Object](self, kind: type[O]) -> O | None:
        found = self.ledger.all(kind)
        return self.rng.choice(found) if found else None
