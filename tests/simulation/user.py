"""The people of a simulated cluster: they make, size and delete workloads, at bad moments too."""

import random
from dataclasses import dataclass

from apiserver.auth.authorize import MASTERS
from cubernetes.api.errors import ApiError
from cubernetes.api.http import Identity
from cubernetes.api.meta import Labels, Object, ObjectMeta
from cubernetes.api.pod import Container, Pod, PodSpec, PodTemplate, TemplateMeta
from cubernetes.api.replicaset import ReplicaSet, ReplicaSetSpec
from cubernetes.api.selectors import LabelSelector
from cubernetes.api.service import Service, ServicePort, ServiceSpec
from cubernetes.client.outcome import Trouble
from cubernetes.client.rest import Client
from tests.simulation.ledger import Ledger

ADMIN = Identity("kubernetes-admin", (MASTERS,))
APPS = ("web", "api", "db")
REPLICAS_MAX = 5


def workload(app: str, replicas: int, grace_s: int) -> ReplicaSet:
    labels: Labels = {"app": app}
    spec = PodSpec(
        containers=(Container(name="main", image="cubernetes/web:1"),),
        termination_grace_period_seconds=grace_s,
    )
    return ReplicaSet(
        metadata=ObjectMeta(name=app, namespace="default"),
        spec=ReplicaSetSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels=labels),
            template=PodTemplate(metadata=TemplateMeta(labels=labels), spec=spec),
        ),
    )


def service(app: str) -> Service:
    return Service(
        metadata=ObjectMeta(name=app, namespace="default"),
        spec=ServiceSpec(selector={"app": app}, ports=(ServicePort(port=80, target_port=8080),)),
    )


@dataclass(frozen=True, slots=True)
class User:
    """Does one thing at a time, and does not ask whether it worked."""

    client: Client
    ledger: Ledger
    rng: random.Random

    async def act(self) -> str:
        """Do something; return it in words."""
        deeds = (self._make, self._make, self._size, self._size, self._delete_pod, self._unmake)
        deed = self.rng.choice(deeds)
        try:
            return await deed()
        except (ApiError, Trouble) as error:
            return f"{deed.__name__[1:]}: {error}"

    async def _make(self) -> str:
        app = self.rng.choice(APPS)
        one: Object = service(app)
        if self.rng.random() < 0.6:
            one = workload(app, self.rng.randint(0, REPLICAS_MAX), self.rng.choice((1, 5, 30)))
        await self.client.create(one)
        return f"made {one.ref}"

    async def _size(self) -> str:
        sets = self.ledger.all(ReplicaSet)
        if not sets:
            return "nothing to size"
        app, replicas = self.rng.choice(sets).metadata.name, self.rng.randint(0, REPLICAS_MAX)
        await self.client.scale(ReplicaSet, app, "default", replicas)
        return f"sized {app} to {replicas}"

    async def _delete_pod(self) -> str:
        pods = self.ledger.all(Pod)
        if not pods:
            return "no pod to delete"
        pod = self.rng.choice(pods)
        # A grace of 0 takes the object away at once, whatever runs on its node.
        grace_s = self.rng.choice((None, None, 1, 0))
        await self.client.delete(Pod, pod.metadata.name, "default", grace_s=grace_s)
        return f"deleted {pod.ref}"

    async def _unmake(self) -> str:
        kind = self.rng.choice((ReplicaSet, Service))
        found = [one for one in self.ledger.all(kind) if one.metadata.name != "kubernetes"]
        if not found:
            return "nothing to unmake"
        one = self.rng.choice(found)
        await self.client.delete(kind, one.metadata.name, "default")
        return f"unmade {one.ref}"
