"""Each controller under Sieve's failures: a stale view, unobserved states, a death at any write."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network

import pytest

from controllers.cleanup.finishedpods import FinishedPods
from controllers.deployments.contents import ContentRestarts
from controllers.deployments.deployments import Deployments
from controllers.disruption.budgets import Budgets
from controllers.disruption.rebalance import ALLOWED, Rebalance
from controllers.endpoints import Endpoints
from controllers.jobs.cronjobs import CronJobs
from controllers.jobs.jobs import Jobs
from controllers.nodes.podcidr import PodCidrs
from controllers.nodes.taints import Taints
from controllers.quotas import Quotas
from controllers.replicaset import ReplicaSets
from controllers.sets.daemonsets import DaemonSets
from controllers.sets.statefulsets import StatefulSets
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.batch.cronjob import CronJob, CronJobSpec, JobTemplate
from cubernetes.api.batch.job import Job
from cubernetes.api.core.node import Node, Taint
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, replaced
from tests.carry import World
from tests.daemons import a_daemonset
from tests.given import (
    NOW,
    a_container,
    a_deployment,
    a_job,
    a_meta,
    a_node,
    a_replicaset,
    a_service,
    a_statefulset,
    a_template,
)
from tests.unit.api.core.test_quota import a_quota
from tests.unit.controllers.disruption.test_budgets import a_budget
from tests.unit.controllers.planned.sieve import Story, suffer


def changed[K: Object](kind: type[K], **spec: object) -> Callable[[World], None]:
    """Return the deed of a user who changes the only object of a kind."""

    def change(world: World) -> None:
        (one,) = world.all(kind)
        meta = replaced(one.metadata, generation=one.metadata.generation + 1)
        spec_now = replaced(one.spec, **spec)  # type: ignore[attr-defined]
        world.put(replaced(one, metadata=meta, spec=spec_now))

    return change


def killed(place: int) -> Callable[[World], None]:
    """Return the deed of a node that loses a pod."""

    def kill(world: World) -> None:
        if pods := world.all(Pod):
            world.remove(pods[place % len(pods)].ref)

    return kill


IMAGE_B = a_template(containers=(a_container(image="b"),))


def _rollouts() -> Story:
    def holds(world: World) -> None:
        wanted = world.get(Deployment, "web", "default")
        assert wanted is not None
        living = [pod for pod in world.all(Pod) if not pod.metadata.is_deleted]
        # One surges; in the place of one that is lost a view that lags may have another.
        assert len(living) <= max(3, wanted.spec.replicas) + 2, [p.metadata.name for p in living]

    deeds = {
        4: changed(Deployment, template=IMAGE_B),
        12: killed(1),
        15: changed(Deployment, replicas=3),
    }
    planners = [Deployments, ReplicaSets, ContentRestarts]
    return Story([a_deployment(replicas=2)], planners, deeds, holds)


def _services() -> Story:
    budget, quota = a_budget(min_available=1), a_quota(hard={"pods": "9"})
    return Story(
        [a_replicaset(replicas=2), a_service(), budget, quota],
        [ReplicaSets, Endpoints, Budgets, Quotas],
        {4: killed(0), 9: killed(1), 14: changed(ReplicaSet, replicas=3)},
    )


def _crons() -> Story:
    spec = CronJobSpec(
        schedule="* * * * *",
        job_template=JobTemplate(spec=replaced(a_job().spec, selector=None)),
        successful_jobs_history_limit=1,
    )
    cron = CronJob(metadata=a_meta("tick", created_at=NOW), spec=spec)
    # Two times come, and the last Job alone is kept.
    return Story([cron], [CronJobs, Jobs], {}, rounds=80)


def _sets() -> Story:
    def holds(world: World) -> None:
        names = [pod.metadata.name for pod in world.all(Pod)]
        assert len(names) == len(set(names))

    deeds = {
        6: changed(StatefulSet, template=IMAGE_B),
        14: killed(0),
        18: changed(StatefulSet, replicas=3),
    }
    return Story([a_statefulset(replicas=2)], [StatefulSets], deeds, holds)


def _daemons() -> Story:
    def holds(world: World) -> None:
        on = [pod.spec.node_name for pod in world.all(Pod) if pod.spec.node_name]
        assert len(on) == len(set(on))

    return Story(
        [a_daemonset(), a_node("n1"), a_node("n2")],
        [DaemonSets],
        {
            5: lambda world: world.put(a_node("n3")),
            8: changed(DaemonSet, template=IMAGE_B),
            15: killed(1),
        },
        holds,
    )


def _jobs() -> Story:
    def holds(world: World) -> None:
        for job in world.all(Job):
            status, uncounted = job.status, job.status.uncounted_terminated_pods
            waiting = len(uncounted.succeeded) if uncounted is not None else 0
            assert status.succeeded + waiting <= 3, status
            assert not status.failed, status

    return Story([a_job(completions=3, parallelism=2)], [Jobs, FinishedPods], {}, holds)


def _nodes() -> Story:
    spot = [Taint(key="spot", effect="NoExecute")]
    return Story(
        [a_node("n1", pod_cidr=""), a_deployment(replicas=2, annotations={ALLOWED: "true"})],
        [
            lambda: PodCidrs(IPv4Network("10.244.0.0/16")),
            Taints,
            Deployments,
            ReplicaSets,
            Rebalance,
        ],
        {
            3: lambda world: world.put(a_node("n2", pod_cidr="")),
            9: lambda world: world.put(replaced_node(world, "n1", spot)),
            16: lambda world: world.put(replaced_node(world, "n1", [])),
        },
    )


def replaced_node(world: World, name: str, taints: list[Taint]) -> Object:
    one = world.get(Node, name)
    assert one is not None
    return replaced(one, spec=replaced(one.spec, taints=tuple(taints)))


STORIES: Mapping[str, Callable[[], Story]] = {
    "rollouts": _rollouts,
    "services": _services,
    "sets": _sets,
    "daemons": _daemons,
    "jobs": _jobs,
    "crons": _crons,
    "nodes": _nodes,
}
VICTIMS = [(name, place) for name, make in STORIES.items() for place in range(len(make().planners))]
# Planners that have nothing to write in their story.
IDLE = [("rollouts", 2), ("jobs", 1)]


@pytest.mark.parametrize(("name", "place"), VICTIMS)
def test_the_end_is_the_same_whatever_one_controller_suffers(name: str, place: int) -> None:
    suffered = suffer(STORIES[name], place)
    assert bool(suffered.write_count) != ((name, place) in IDLE)
    assert suffered.unlike == []
