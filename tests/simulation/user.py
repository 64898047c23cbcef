"""The people of a simulated cluster: they make, size and delete workloads, at bad moments too."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from apiserver.auth.authorize import MASTERS
from cubernetes.api.apps.daemonset import (
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
from cubernetes.api.apps.deployment import Deployment, DeploymentSpec, DeploymentStrategy
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetSpec
from cubernetes.api.apps.statefulset import StatefulSet, StatefulSetSpec
from cubernetes.api.batch.job import Job, JobSpec
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, PodTemplate, TemplateMeta
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.errors import AlreadyExists, ApiError
from cubernetes.api.meta import Labels, Object, ObjectMeta, replaced
from cubernetes.api.policy.poddisruptionbudget import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
)
from cubernetes.api.selectors import LabelSelector
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.web.messages import Identity
from tests.simulation.ledger import Ledger
from tests.simulation.machines import TASK

ADMIN = Identity("kubernetes-admin", (MASTERS,))
ROOM = "room"
APPS = ("web", "api", "db")
REPLICAS_MAX = 5


def workload(app: str, namespace: str, replicas: int, grace_s: int) -> ReplicaSet:
    labels: Labels = {"app": app}
    spec = PodSpec(
        containers=(Container(name="main", image="cubernetes/web:1"),),
        termination_grace_period_seconds=grace_s,
    )
    return ReplicaSet(
        metadata=ObjectMeta(name=app, namespace=namespace),
        spec=ReplicaSetSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels=labels),
            template=PodTemplate(metadata=TemplateMeta(labels=labels), spec=spec),
        ),
    )


def rolling(one: ReplicaSet, how: Literal["RollingUpdate", "Recreate"]) -> Deployment:
    """Return a Deployment of the same pods, under a name and a label of its own."""
    name = f"{one.metadata.name}-d"
    labels: Labels = {"app": one.metadata.name, "by": "deployment"}
    template = replaced(one.spec.template, metadata=TemplateMeta(labels=labels))
    spec = DeploymentSpec(
        replicas=one.spec.replicas,
        selector=LabelSelector(match_labels=labels),
        template=template,
        strategy=DeploymentStrategy(type=how),
    )
    meta = ObjectMeta(name=name, namespace=one.metadata.namespace)
    return Deployment(metadata=meta, spec=spec)


def numbered(
    one: ReplicaSet, policy: Literal["OrderedReady", "Parallel"], service_name: str
) -> StatefulSet:
    """Return a StatefulSet of the same pods, under a name and a label of its own."""
    labels: Labels = {"app": one.metadata.name, "by": "statefulset"}
    spec = StatefulSetSpec(
        replicas=one.spec.replicas,
        selector=LabelSelector(match_labels=labels),
        template=replaced(one.spec.template, metadata=TemplateMeta(labels=labels)),
        service_name=service_name,
        pod_management_policy=policy,
    )
    meta = ObjectMeta(name=f"{one.metadata.name}-s", namespace=one.metadata.namespace)
    return StatefulSet(metadata=meta, spec=spec)


def daemons(one: ReplicaSet, surge: int) -> DaemonSet:
    """Return a DaemonSet of the same pods, under a name and a label of its own."""
    labels: Labels = {"app": one.metadata.name, "by": "daemonset"}
    bounds = RollingUpdateDaemonSet(max_unavailable=1 - surge, max_surge=surge)
    spec = DaemonSetSpec(
        selector=LabelSelector(match_labels=labels),
        template=replaced(one.spec.template, metadata=TemplateMeta(labels=labels)),
        update_strategy=DaemonSetUpdateStrategy(rolling_update=bounds),
    )
    meta = ObjectMeta(name=f"{one.metadata.name}-n", namespace=one.metadata.namespace)
    return DaemonSet(metadata=meta, spec=spec)


def task(one: ReplicaSet, completions: int) -> Job:
    """Return a Job of pods that end by themselves, under a name and a label of its own.

    No failure ends it: machines die, and pods are ended by others.
    """
    labels: Labels = {"task": one.metadata.name}
    pod = replaced(
        one.spec.template.spec,
        containers=(Container(name="main", image=TASK),),
        restart_policy="Never",
    )
    spec = JobSpec(
        completions=completions,
        parallelism=one.spec.replicas,
        backoff_limit=1000,
        template=PodTemplate(metadata=TemplateMeta(labels=labels), spec=pod),
    )
    meta = ObjectMeta(name=f"{one.metadata.name}-j", namespace=one.metadata.namespace)
    return Job(metadata=meta, spec=spec)


def service(app: str, namespace: str) -> Service:
    return Service(
        metadata=ObjectMeta(name=app, namespace=namespace),
        spec=ServiceSpec(selector={"app": app}, ports=(ServicePort(port=80, target_port=8080),)),
    )


def budget(app: str, namespace: str, missing: int | str) -> PodDisruptionBudget:
    """Return a budget of all pods of an app, whatever keeps them."""
    selector = LabelSelector(match_labels={"app": app})
    spec = PodDisruptionBudgetSpec(max_unavailable=missing, selector=selector)
    return PodDisruptionBudget(metadata=ObjectMeta(name=app, namespace=namespace), spec=spec)


@dataclass(frozen=True, slots=True)
class User:
    """Does one thing at a time, and does not ask whether it worked."""

    client: Client
    ledger: Ledger
    rng: random.Random
    nodes: Sequence[str] = ()

    async def act(self) -> str:
        """Do something; return it in words."""
        deeds = (
            *(self._make,) * 4, *(self._size,) * 4, *(self._delete_pod,) * 2, *(self._unmake,) * 2,
            *(self._roll,) * 3, self._pause, *(self._evict,) * 3,
            self._open_room, self._close_room, self._remove_node, self._return_node,
        )  # fmt: skip
        deed = self.rng.choice(deeds)
        try:
            return await deed()
        except (ApiError, TransportError) as error:
            return f"{deed.__name__[1:]}: {error}"

    async def _make(self) -> str:
        app, namespace = self.rng.choice(APPS), self.rng.choice(("default", "default", ROOM))
        one: Object = service(app, namespace)
        if self.rng.random() < 0.6:
            replicas, grace_s = self.rng.randint(0, REPLICAS_MAX), self.rng.choice((1, 5, 30))
            made = workload(app, namespace, replicas, grace_s)
            one = made
            if self.rng.random() < 0.5:
                one = rolling(made, self.rng.choice(("RollingUpdate", "RollingUpdate", "Recreate")))
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

    async def _pause(self) -> str:
        one = self._any(Deployment)
        if one is None:
            return "nothing to pause"
        meta, change = one.metadata, {"spec": {"paused": not one.spec.paused}}
        await self.client.patch(Deployment, meta.name, meta.namespace, change)
        return f"{'resumed' if one.spec.paused else 'paused'} {one.ref}"

    async def resume_all(self) -> None:
        """Let every rollout go on: only then is there an end to agree upon."""
        for one in self.ledger.all(Deployment):
            meta = one.metadata
            if one.spec.paused and not meta.is_deleted:
                change = {"spec": {"paused": False}}
                await self.client.patch(Deployment, meta.name, meta.namespace, change)

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
        await self.client.delete(Pod, meta.name, meta.namespace, grace_s=grace_s)
        return f"deleted {pod.ref} with grace {grace_s}"

    async def _evict(self) -> str:
        pod = self._any(Pod)
        if pod is None:
            return "no pod to evict"
        await self.client.evict(pod.metadata.name, pod.metadata.namespace)
        return f"evicted {pod.ref}"

    async def _unmake(self) -> str:
        one = self._any(
            self.rng.choice(
                (ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, Service, PodDisruptionBudget)
            )
        )
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
