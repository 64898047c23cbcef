"""Deployment: pods of one template, exchanged step by step when the template changes."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cubernetes.api.apps.shares import PERCENT_RULE, is_share, share_of
from cubernetes.api.apps.workload import WIDE_COLUMNS, defaulted_template, workload_problems
from cubernetes.api.condition import Truth
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Model,
    Object,
    Seconds,
    age_of,
    immutable,
    replaced,
    shown,
)
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import LabelSelector

DEFAULT_SHARE = "25%"
SECONDS_MAX = 2**31 - 1  # a progress deadline of so many seconds is none, as in Kubernetes


class RollingUpdateDeployment(Model):
    """How far a rolling update may go from the wanted number of pods; not both may be zero.

    max_surge: how many pods more than wanted there may be: a count, or a percentage of `replicas`,
        rounded up.
    max_unavailable: how many pods fewer than wanted may be available: a count, or a percentage of
        `replicas`, rounded down.
    """

    max_surge: Count | str | None = None
    max_unavailable: Count | str | None = None


class DeploymentStrategy(Model):
    """How pods of an old template are exchanged for new ones.

    type: RollingUpdate does it step by step; Recreate ends all old pods first.
    rolling_update: the bounds of a rolling update.
    """

    type: Literal["RollingUpdate", "Recreate"] = shown("RollingUpdate")
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Model):
    """Which pods, how many, and how they are exchanged.

    replicas: how many there should be.
    selector: which pods are its own; it must match the template, and never changes.
    template: what pods are made of; a change begins a rollout.
    strategy: how pods of an old template are exchanged for new ones.
    min_ready_seconds: how long a pod must be ready to count as available.
    revision_history_limit: how many old ReplicaSets without pods are kept, to go back to.
    paused: whether a change of the template waits until this is taken back.
    progress_deadline_seconds: after how long without progress a rollout counts as failed; more
        than `minReadySeconds`.
    """

    replicas: Count = shown(1)
    selector: LabelSelector
    template: PodTemplate
    strategy: DeploymentStrategy = shown(DeploymentStrategy())
    min_ready_seconds: Seconds = 0
    revision_history_limit: Count = shown(10)
    paused: bool = False
    progress_deadline_seconds: Seconds = shown(600)


class DeploymentCondition(Model):
    """One fact about a Deployment, with since when and why.

    type: Available, Progressing or ReplicaFailure.
    status: whether it is so.
    reason: why, as one word for programs.
    message: why, as a sentence for people.
    last_update_time: when it was stated last; the progress deadline counts from here.
    last_transition_time: when `status` changed last.
    """

    type: str
    status: Truth
    reason: str = ""
    message: str = ""
    last_update_time: Instant | None = None
    last_transition_time: Instant | None = None


class DeploymentStatus(Model):
    """How far it is.

    replicas: pods of all its ReplicaSets that exist, and are not finished or terminating.
    updated_replicas: of these, how many are of the present template.
    ready_replicas: of these, how many are ready.
    available_replicas: of these, how many have been ready for `minReadySeconds`.
    unavailable_replicas: how many are missing until all that its ReplicaSets want are available.
    observed_generation: the generation of the Deployment that this tells of.
    collision_count: how often the name of a new ReplicaSet was held by another object.
    conditions: Available, Progressing, ReplicaFailure.
    """

    replicas: Count = 0
    updated_replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    unavailable_replicas: Count = 0
    observed_generation: int = 0
    collision_count: Count = 0
    conditions: tuple[DeploymentCondition, ...] = ()


class Deployment(Object):
    resource = Resource(
        "apps", "v1", "Deployment", "deployments", ("deploy",), subresources=("status", "scale"),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Ready", lambda one, _: f"{one.status.ready_replicas}/{one.spec.replicas}"),
        Column("Up-to-date", lambda one, _: one.status.updated_replicas),
        Column("Available", lambda one, _: one.status.available_replicas),
        Column("Age", age_of),
        *WIDE_COLUMNS,
    )

    api_version: str = shown("apps/v1")
    kind: str = shown("Deployment")
    spec: DeploymentSpec
    status: DeploymentStatus = msgspec.field(default_factory=DeploymentStatus)

    def defaulted(self) -> "Deployment":
        filled = defaulted_template(self.spec.template)
        strategy = _defaulted_strategy(self.spec.strategy)
        return replaced(self, spec=replaced(self.spec, template=filled, strategy=strategy))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from workload_problems(self.spec.selector, self.spec.template)
        yield from _strategy_problems(self.spec.strategy, "spec.strategy")
        if self.spec.progress_deadline_seconds <= self.spec.min_ready_seconds:
            where = "spec.progressDeadlineSeconds"
            yield Problem(where, "must be greater than minReadySeconds")

    def update_problems(self, old: "Deployment") -> Iterator[Problem]:
        yield from immutable("spec.selector", old.spec.selector, self.spec.selector)


def _defaulted_strategy(strategy: DeploymentStrategy) -> DeploymentStrategy:
    """Fill in the bounds of a rolling update; each that is absent is 25%, as in Kubernetes."""
    if strategy.type != "RollingUpdate":
        return strategy
    bounds = strategy.rolling_update or RollingUpdateDeployment()
    filled = RollingUpdateDeployment(
        max_surge=DEFAULT_SHARE if bounds.max_surge is None else bounds.max_surge,
        max_unavailable=DEFAULT_SHARE if bounds.max_unavailable is None else bounds.max_unavailable,
    )
    return replaced(strategy, rolling_update=filled)


def _strategy_problems(strategy: DeploymentStrategy, field: str) -> Iterator[Problem]:
    bounds, where = strategy.rolling_update, f"{field}.rollingUpdate"
    if bounds is None:
        return
    if strategy.type == "Recreate":
        message = "may not be specified when strategy `type` is 'Recreate'"
        yield Problem(where, message, "FieldValueForbidden")
        return
    shares = {"maxUnavailable": bounds.max_unavailable, "maxSurge": bounds.max_surge}
    wrong = {name for name, one in shares.items() if not is_share(one)}
    yield from (Problem(f"{where}.{name}", PERCENT_RULE) for name in sorted(wrong))
    if wrong:
        return
    if share_of(bounds.max_unavailable, 100, rounded_up=False) > 100 and not isinstance(
        bounds.max_unavailable, int
    ):
        yield Problem(f"{where}.maxUnavailable", "must not be greater than 100%")
    if all(one is not None and share_of(one, 100, rounded_up=True) == 0 for one in shares.values()):
        yield Problem(f"{where}.maxUnavailable", "may not be 0 when `maxSurge` is 0")
