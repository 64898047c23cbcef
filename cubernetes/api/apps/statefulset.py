"""StatefulSet: pods with places and names that stay, made and exchanged in their order."""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.apps.shares import PERCENT_RULE, is_share, share_of
from cubernetes.api.apps.workload import WIDE_COLUMNS, defaulted_template, workload_problems
from cubernetes.api.condition import Condition
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim, claim_problems
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.volumes.volume import ClaimVolume, Volume
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

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"


class RollingUpdateStatefulSet(Model):
    """Which pods a rolling update exchanges.

    partition: the lowest ordinal that is exchanged; pods below it stay as they are, and are made
        again as they were.
    max_unavailable: how many pods may be missing at once while they are exchanged, counted from
        the highest ordinal: a count, or a percentage of `replicas`, rounded up; 1 if left out.
    """

    partition: Count | None = None
    max_unavailable: Count | str | None = None


class StatefulSetUpdateStrategy(Model):
    """How pods of an old template are exchanged for new ones.

    type: RollingUpdate does it some at a time, from the highest ordinal down; OnDelete leaves it to
        those who delete pods.
    rolling_update: the bounds of a rolling update.
    """

    type: Literal["RollingUpdate", "OnDelete"] = shown("RollingUpdate")
    rolling_update: RollingUpdateStatefulSet | None = None


class StatefulSetOrdinals(Model):
    """Which numbers the pods have.

    start: the number of the first pod.
    """

    start: Count = 0


class ClaimRetentionPolicy(Model):
    """What becomes of the claims that were made for pods.

    when_deleted: with the set: Retain keeps them, Delete lets them go with it.
    when_scaled: with a pod that is one too many: Retain keeps its claims for the pod of that number
        which comes again, Delete lets them go with it.
    """

    when_deleted: Literal["Retain", "Delete"] = shown("Retain")
    when_scaled: Literal["Retain", "Delete"] = shown("Retain")


class StatefulSetSpec(Model):
    """Which pods, how many, and in what order they are made and exchanged.

    replicas: how many there should be.
    selector: which pods are its own; it must match the template, and never changes.
    template: what pods are made of; a change begins a rollout.
    volume_claim_templates: of each a claim is made for each pod, `<name>-<pod>`, and is the pod's
        volume of that name; a pod that is made again has the claims of before. They never change.
    persistent_volume_claim_retention_policy: what becomes of these claims.
    service_name: the headless service behind which the pods have names: it never changes.
    pod_management_policy: OrderedReady makes and ends pods one by one, each when those before it
        are ready; Parallel makes and ends them all at once.
    update_strategy: how pods of an old template are exchanged for new ones.
    revision_history_limit: how many old templates are recorded, to go back to.
    min_ready_seconds: how long a pod must be ready to count as available.
    ordinals: which numbers the pods have.
    """

    replicas: Count = shown(1)
    selector: LabelSelector
    template: PodTemplate
    volume_claim_templates: tuple[PersistentVolumeClaim, ...] = ()
    persistent_volume_claim_retention_policy: ClaimRetentionPolicy = shown(ClaimRetentionPolicy())
    service_name: str = shown("")
    pod_management_policy: Literal["OrderedReady", "Parallel"] = shown("OrderedReady")
    update_strategy: StatefulSetUpdateStrategy = shown(StatefulSetUpdateStrategy())
    revision_history_limit: Count = shown(10)
    min_ready_seconds: Seconds = 0
    ordinals: StatefulSetOrdinals | None = None


class StatefulSetStatus(Model):
    """How far it is.

    observed_generation: the generation of the set that this tells of.
    replicas: pods that exist, and are not terminating.
    ready_replicas: of these, how many are ready.
    current_replicas: how many pods are of the revision `currentRevision`.
    updated_replicas: how many pods are of the revision `updateRevision`.
    current_revision: the revision that pods below the partition are of.
    update_revision: the revision of the present template.
    collision_count: how often the name of a new revision was held by another object.
    available_replicas: pods that have been ready for `minReadySeconds`.
    conditions: kept for clients that send it.
    """

    observed_generation: int = 0
    replicas: Count = shown(0)
    ready_replicas: Count = 0
    current_replicas: Count = 0
    updated_replicas: Count = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: Count = 0
    available_replicas: Count = shown(0)
    conditions: tuple[Condition, ...] = ()


class StatefulSet(Object):
    resource = Resource(
        "apps", "v1", "StatefulSet", "statefulsets", ("sts",), subresources=("status", "scale"),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Ready", lambda one, _: f"{one.status.ready_replicas}/{one.spec.replicas}"),
        Column("Age", age_of),
        *WIDE_COLUMNS[:2],
    )

    api_version: str = shown("apps/v1")
    kind: str = shown("StatefulSet")
    spec: StatefulSetSpec
    status: StatefulSetStatus = msgspec.field(default_factory=StatefulSetStatus)

    @property
    def start(self) -> int:
        """The number of the first pod."""
        return self.spec.ordinals.start if self.spec.ordinals is not None else 0

    @property
    def partition(self) -> int:
        """The lowest number of a pod that a rolling update exchanges."""
        bounds = self.spec.update_strategy.rolling_update
        return bounds.partition or 0 if bounds is not None else 0

    @property
    def unavailable(self) -> int:
        """How many pods may be missing at once in a rolling update; never zero."""
        bounds = self.spec.update_strategy.rolling_update
        share = bounds.max_unavailable if bounds is not None else None
        return max(1, share_of(share, self.spec.replicas, rounded_up=True))

    def defaulted(self) -> "StatefulSet":
        filled = defaulted_template(self.spec.template)
        strategy = self.spec.update_strategy
        if strategy.type == "RollingUpdate":
            bounds = strategy.rolling_update or RollingUpdateStatefulSet()
            strategy = replaced(strategy, rolling_update=replaced(bounds, partition=self.partition))
        return replaced(self, spec=replaced(self.spec, template=filled, update_strategy=strategy))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        # Containers mount the volumes of claims as if the template had them.
        whole = replaced(spec.template.spec, volumes=volumes_for(self, spec.template.spec, "x"))
        yield from workload_problems(spec.selector, replaced(spec.template, spec=whole))
        yield from _claim_problems(spec.volume_claim_templates, "spec.volumeClaimTemplates")
        last = f"{self.metadata.name}-{self.start + max(spec.replicas, 1) - 1}"
        if not names.is_label(last):
            told = f"pods cannot be named after it: {last[:80]!r} is no DNS label of 63 characters"
            yield Problem("metadata.name", told)
        if spec.service_name and not names.is_label(spec.service_name):
            yield Problem("spec.serviceName", names.LABEL_RULE)
        if spec.update_strategy.type == "OnDelete" and spec.update_strategy.rolling_update:
            where = "spec.updateStrategy.rollingUpdate"
            yield Problem(where, "only allowed for updateStrategy 'RollingUpdate'")
        yield from _bound_problems(spec.update_strategy)

    def update_problems(self, old: "StatefulSet") -> Iterator[Problem]:
        spec, before = self.spec, old.spec
        yield from immutable("spec.selector", before.selector, spec.selector)
        yield from immutable("spec.serviceName", before.service_name, spec.service_name)
        policies = before.pod_management_policy, spec.pod_management_policy
        yield from immutable("spec.podManagementPolicy", *policies)
        claims = before.volume_claim_templates, spec.volume_claim_templates
        yield from immutable("spec.volumeClaimTemplates", *claims)


def _bound_problems(strategy: StatefulSetUpdateStrategy) -> Iterator[Problem]:
    share = strategy.rolling_update.max_unavailable if strategy.rolling_update is not None else None
    where = "spec.updateStrategy.rollingUpdate.maxUnavailable"
    if share is None:
        return
    if not is_share(share):
        yield Problem(where, PERCENT_RULE)
    elif isinstance(share, str) and share_of(share, 100, rounded_up=True) > 100:
        yield Problem(where, "must not be greater than 100%")
    elif share_of(share, 100, rounded_up=True) == 0:
        yield Problem(where, "cannot be 0")


def _claim_problems(claims: Sequence[PersistentVolumeClaim], field: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, one in enumerate(claims):
        where, name = f"{field}[{index}]", one.metadata.name
        if not names.is_label(name):
            yield Problem(f"{where}.metadata.name", names.LABEL_RULE)
        if name in seen:
            yield Problem(f"{where}.metadata.name", "is there twice", "FieldValueDuplicate")
        seen.add(name)
        yield from one.metadata.part_problems(f"{where}.metadata")
        yield from claim_problems(one.spec, f"{where}.spec")


def claim_name(template: PersistentVolumeClaim, pod: str) -> str:
    """Return the name of the claim that a pod has of a template."""
    return f"{template.metadata.name}-{pod}"


def volumes_for(wanted: StatefulSet, spec: PodSpec, pod: str) -> tuple[Volume, ...]:
    """Return the volumes of a pod: those of its claims go before others of their names."""
    claimed = {
        one.metadata.name: Volume(
            name=one.metadata.name,
            persistent_volume_claim=ClaimVolume(claim_name=claim_name(one, pod)),
        )
        for one in wanted.spec.volume_claim_templates
    }
    others = (one for one in spec.volumes if one.name not in claimed)
    return (*others, *claimed.values())
