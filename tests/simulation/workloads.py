"""What the people of a simulated cluster make: workloads, services, budgets, quotas."""

from typing import Literal

from cubernetes.api.apps.daemonset import (
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
from cubernetes.api.apps.deployment import Deployment, DeploymentSpec, DeploymentStrategy
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetSpec
from cubernetes.api.apps.statefulset import StatefulSet, StatefulSetSpec
from cubernetes.api.batch.cronjob import CronJob, CronJobSpec, JobMeta, JobTemplate
from cubernetes.api.batch.job import Job, JobSpec
from cubernetes.api.core.pod import PodTemplate, TemplateMeta
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.resourcequota import ResourceQuota, ResourceQuotaSpec
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.meta import Labels, ObjectMeta, replaced
from cubernetes.api.policy.poddisruptionbudget import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
)
from cubernetes.api.quantities import Quantity
from cubernetes.api.selectors import LabelSelector
from tests.simulation.machines import TASK

type CronPolicy = Literal["Allow", "Forbid", "Replace"]
type Strategy = Literal["RollingUpdate", "Recreate"]

# On a Deployment: its pods may move to emptier nodes.
REBALANCE = "cubernetes.io/rebalance"
# Of each Deployment, so many old templates can be gone back to.
HISTORY_MAX = 2


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


def rolling(one: ReplicaSet, how: Strategy, *, is_movable: bool = False) -> Deployment:
    """Return a Deployment of the same pods, under a name and a label of its own."""
    name = f"{one.metadata.name}-d"
    labels: Labels = {"app": one.metadata.name, "by": "deployment"}
    template = replaced(one.spec.template, metadata=TemplateMeta(labels=labels))
    spec = DeploymentSpec(
        replicas=one.spec.replicas,
        selector=LabelSelector(match_labels=labels),
        template=template,
        strategy=DeploymentStrategy(type=how),
        revision_history_limit=HISTORY_MAX,
    )
    notes = {REBALANCE: "true"} if is_movable else {}
    meta = ObjectMeta(name=name, namespace=one.metadata.namespace, annotations=notes)
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


def cron(one: ReplicaSet, policy: CronPolicy) -> CronJob:
    """Return a CronJob of every minute, whose Jobs are those of `task` and keep little history."""
    made = task(one, 1)
    template = JobTemplate(metadata=JobMeta(labels={"by": "cron"}), spec=made.spec)
    spec = CronJobSpec(
        schedule="* * * * *",
        concurrency_policy=policy,
        job_template=template,
        successful_jobs_history_limit=1,
    )
    meta = ObjectMeta(name=f"{one.metadata.name}-c", namespace=one.metadata.namespace)
    return CronJob(metadata=meta, spec=spec)


def quota(namespace: str, pods: int, services: int) -> ResourceQuota:
    most = {"pods": pods, "services": services, "count/replicasets.apps": 20}
    hard = {name: Quantity(str(count)) for name, count in most.items()}
    spec = ResourceQuotaSpec(hard=hard)
    return ResourceQuota(metadata=ObjectMeta(name="few", namespace=namespace), spec=spec)
