"""DaemonSet: a pod on every node that it is meant for, exchanged node by node."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cubernetes.api.apps.shares import PERCENT_RULE, is_share, share_of
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
from cubernetes.api.selectors import LabelSelector, selector_text


class RollingUpdateDaemonSet(Model):
    """On how many nodes at once pods may be exchanged; exactly one of the two is not zero.

    max_unavailable: how many nodes may be without an available pod, while old pods end before new
        ones begin: a count, or a percentage of the nodes, rounded up.
    max_surge: how many nodes may have a new pod beside the old one, which ends when the new one is
        available: a count, or a percentage of the nodes, rounded up.
    """

    max_unavailable: Count | str | None = None
    max_surge: Count | str | None = None


class DaemonSetUpdateStrategy(Model):
    """How pods of an old template are exchanged for new ones.

    type: RollingUpdate does it some nodes at a time; OnDelete leaves it to those who delete pods.
    rolling_update: the bounds of a rolling update.
    """

    type: Literal["RollingUpdate", "OnDelete"] = shown("RollingUpdate")
    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Model):
    """Which pods, and how they are exchanged.

    selector: which pods are its own; it must match the template, and never changes.
    template: what pods are made of; its nodeSelector, node affinity and tolerations say which nodes
        have one.
    update_strategy: how pods of an old template are exchanged for new ones.
    min_ready_seconds: how long a pod must be ready to count as available.
    revision_history_limit: how many old templates are recorded, to go back to.
    """

    selector: LabelSelector
    template: PodTemplate
    update_strategy: DaemonSetUpdateStrategy = shown(DaemonSetUpdateStrategy())
    min_ready_seconds: Seconds = 0
    revision_history_limit: Count = shown(10)


class DaemonSetStatus(Model):
    """How far it is, in nodes.

    current_number_scheduled: nodes that should have a pod and have one.
    number_misscheduled: nodes that should have none and have one.
    desired_number_scheduled: nodes that should have a pod.
    number_ready: nodes that should have a pod and have a ready one.
    observed_generation: the generation of the set that this tells of.
    updated_number_scheduled: nodes that should have a pod and have only pods of this template.
    number_available: nodes that should have a pod and have one ready for `minReadySeconds`.
    number_unavailable: nodes that should have an available pod and have none.
    collision_count: how often the name of a new revision was held by another object.
    conditions: kept for clients that send it.
    """

    current_number_scheduled: Count = shown(0)
    number_misscheduled: Count = shown(0)
    desired_number_scheduled: Count = shown(0)
    number_ready: Count = shown(0)
    observed_generation: int = 0
    updated_number_scheduled: Count = 0
    number_available: Count = 0
    number_unavailable: Count = 0
    collision_count: Count = 0
    conditions: tuple[Condition, ...] = ()


def _node_selector(one: "DaemonSet", _: object) -> str:
    return selector_text(one.spec.template.spec.node_selector) or "<none>"


class DaemonSet(Object):
    resource = Resource(
        "apps", "v1", "DaemonSet", "daemonsets", ("ds",), subresources=("status",),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Desired", lambda one, _: one.status.desired_number_scheduled),
        Column("Current", lambda one, _: one.status.current_number_scheduled),
        Column("Ready", lambda one, _: one.status.number_ready),
        Column("Up-to-date", lambda one, _: one.status.updated_number_scheduled),
        Column("Available", lambda one, _: one.status.number_available),
        Column("Node Selector", _node_selector),
        Column("Age", age_of),
        *WIDE_COLUMNS,
    )

    api_version: str = shown("apps/v1")
    kind: str = shown("DaemonSet")
    spec: DaemonSetSpec
    status: DaemonSetStatus = msgspec.field(default_factory=DaemonSetStatus)

    def defaulted(self) -> "DaemonSet":
        filled = defaulted_template(self.spec.template)
        strategy = _defaulted_strategy(self.spec.update_strategy)
        return replaced(self, spec=replaced(self.spec, template=filled, update_strategy=strategy))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from workload_problems(self.spec.selector, self.spec.template)
        yield from _strategy_problems(self.spec.update_strategy)

    def update_problems(self, old: "DaemonSet") -> Iterator[Problem]:
        yield from immutable("spec.selector", old.spec.selector, self.spec.selector)


def _defaulted_strategy(strategy: DaemonSetUpdateStrategy) -> DaemonSetUpdateStrategy:
    if strategy.type != "RollingUpdate":
        return strategy
    bounds = strategy.rolling_update or RollingUpdateDaemonSet()
    filled = RollingUpdateDaemonSet(
        max_unavailable=1 if bounds.max_unavailable is None else bounds.max_unavailable,
        max_surge=0 if bounds.max_surge is None else bounds.max_surge,
    )
    return replaced(strategy, rolling_update=filled)


def _strategy_problems(strategy: DaemonSetUpdateStrategy) -> Iterator[Problem]:
    bounds, where = strategy.rolling_update, "spec.updateStrategy.rollingUpdate"
    if bounds is None:
        return
    if strategy.type == "OnDelete":
        yield Problem(
            where, "may not be specified when `type` is 'OnDelete'", "FieldValueForbidden"
        )
        return
    shares = {"maxUnavailable": bounds.max_unavailable, "maxSurge": bounds.max_surge}
    wrong = {name for name, one in shares.items() if not is_share(one)}
    yield from (Problem(f"{where}.{name}", PERCENT_RULE) for name in sorted(wrong))
    if wrong:
        return
    for name, share in shares.items():
        if isinstance(share, str) and share_of(share, 100, rounded_up=True) > 100:
            yield Problem(f"{where}.{name}", "must not be greater than 100%")
    has = {name: share_of(one, 100, rounded_up=True) != 0 for name, one in shares.items()}
    if all(has.values()):
        yield Problem(f"{where}.maxSurge", "may not be set when maxUnavailable is non-zero")
    elif not any(has.values()):
        told = "cannot be 0 when maxSurge is 0"
        yield Problem(f"{where}.maxUnavailable", told, "FieldValueRequired")
