"""ReplicaSet: a fixed number of identical pods, kept alive."""

from collections.abc import Iterator

import msgspec

from cubernetes.api.apps.workload import WIDE_COLUMNS, defaulted_template, workload_problems
from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
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


class ReplicaSetSpec(Model):
    """How many pods, and which.

    replicas: how many there should be.
    min_ready_seconds: how long a pod must be ready to count as available.
    selector: which pods are its own; it must match the template, and never changes.
    template: what new pods are made of; pods that exist stay as they are.
    """

    replicas: Count = shown(1)
    min_ready_seconds: Seconds = 0
    selector: LabelSelector
    template: PodTemplate


class ReplicaSetStatus(Model):
    """How many pods there are.

    replicas: pods that exist, and are not finished or going.
    fully_labeled_replicas: of these, how many have all labels of the template.
    ready_replicas: of these, how many are ready.
    available_replicas: of these, how many have been ready for `minReadySeconds`.
    observed_generation: the generation of the ReplicaSet that was counted for.
    conditions: kept for clients that send it.
    """

    replicas: Count = shown(0)
    fully_labeled_replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(Object):
    resource = Resource(
        "apps", "v1", "ReplicaSet", "replicasets", ("rs",), subresources=("status", "scale"),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Desired", lambda one, _: one.spec.replicas),
        Column("Current", lambda one, _: one.status.replicas),
        Column("Ready", lambda one, _: one.status.ready_replicas),
        Column("Age", age_of),
        *WIDE_COLUMNS,
    )

    api_version: str = shown("apps/v1")
    kind: str = shown("ReplicaSet")
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)

    def defaulted(self) -> "ReplicaSet":
        filled = defaulted_template(self.spec.template)
        return replaced(self, spec=replaced(self.spec, template=filled))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from workload_problems(self.spec.selector, self.spec.template)

    def update_problems(self, old: "ReplicaSet") -> Iterator[Problem]:
        yield from immutable("spec.selector", old.spec.selector, self.spec.selector)
