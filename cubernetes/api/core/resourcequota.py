"""ResourceQuota: how much a namespace may have in all."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.core.parts.resources import amounts_problems
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts, Column, Model, Object, age_of, immutable, shown
from cubernetes.api.resource import Resource

TERMINATING, NOT_TERMINATING = "Terminating", "NotTerminating"
BEST_EFFORT, NOT_BEST_EFFORT = "BestEffort", "NotBestEffort"
PRIORITY_CLASS, CROSS_NAMESPACE = "PriorityClass", "CrossNamespacePodAffinity"
SCOPES = (
    TERMINATING, NOT_TERMINATING, BEST_EFFORT, NOT_BEST_EFFORT, PRIORITY_CLASS, CROSS_NAMESPACE,
)  # fmt: skip
OPPOSITES = ((TERMINATING, NOT_TERMINATING), (BEST_EFFORT, NOT_BEST_EFFORT))
COMPUTE = ("cpu", "memory", "ephemeral-storage")
STANDARD = frozenset({
    *COMPUTE,
    *(f"{part}.{name}" for part in ("requests", "limits") for name in COMPUTE),
    "requests.storage", "pods", "services", "services.loadbalancers", "services.nodeports",
    "configmaps", "secrets", "resourcequotas", "replicationcontrollers", "persistentvolumeclaims",
})  # fmt: skip
OF_PODS = frozenset({"pods", "count/pods", *COMPUTE} | {
    f"{part}.{name}" for part in ("requests", "limits") for name in COMPUTE
})  # fmt: skip
# Between the name of a StorageClass and what of it is bounded: `requests.storage`, or
# `persistentvolumeclaims`.
OF_CLASS = ".storageclass.storage.k8s.io/"
SCOPES_MAX = 16


class ScopedResourceSelectorRequirement(Model):
    """Which pods a quota counts.

    scope_name: what is looked at: a scope.
    operator: In and NotIn look at the name of the pod's PriorityClass; Exists and DoesNotExist ask
        whether the scope holds.
    values: names of PriorityClasses, for In and NotIn.
    """

    scope_name: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class ScopeSelector(Model):
    """Which pods a quota counts.

    match_expressions: all of them must hold.
    """

    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] = ()


class ResourceQuotaSpec(Model):
    """How much of what, and of which pods.

    hard: the most of each: `pods`, `requests.cpu`, `limits.memory`, `services.nodeports`,
        `count/deployments.apps`, `requests.example.com/gpu`, `requests.storage`,
        `fast.storageclass.storage.k8s.io/requests.storage` and their like.
    scopes: only pods count of which all of these hold.
    scope_selector: only pods count that it chooses.
    """

    hard: Amounts = msgspec.field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None

    @property
    def requirements(self) -> Iterator[ScopedResourceSelectorRequirement]:
        """Yield what must hold of a pod that counts."""
        for scope in self.scopes:
            yield ScopedResourceSelectorRequirement(scope_name=scope, operator="Exists")
        if self.scope_selector is not None:
            yield from self.scope_selector.match_expressions


class ResourceQuotaStatus(Model):
    """What is allowed and used now.

    hard: the bounds that hold.
    used: how much of each there is.
    """

    hard: Amounts = msgspec.field(default_factory=dict)
    used: Amounts = msgspec.field(default_factory=dict)


def _told(one: "ResourceQuota", *, is_limits: bool) -> str:
    rows = [
        f"{name}: {one.status.used.get(name, '0')}/{amount}"
        for name, amount in sorted(one.status.hard.items())
        if name.startswith("limits") is is_limits
    ]
    return ", ".join(rows)


def _requests(one: "ResourceQuota", _: datetime) -> str:
    return _told(one, is_limits=False)


def _limits(one: "ResourceQuota", _: datetime) -> str:
    return _told(one, is_limits=True)


class ResourceQuota(Object):
    resource = Resource(
        "", "v1", "ResourceQuota", "resourcequotas", ("quota",), subresources=("status",)
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Request", _requests),
        Column("Limit", _limits),
        Column("Age", age_of),
    )

    api_version: str = shown("v1")
    kind: str = shown("ResourceQuota")
    spec: ResourceQuotaSpec = msgspec.field(default_factory=ResourceQuotaSpec)
    status: ResourceQuotaStatus = msgspec.field(default_factory=ResourceQuotaStatus)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from amounts_problems(self.spec.hard, "spec.hard", name_problem)
        yield from _scope_problems(self.spec)
        yield from amounts_problems(self.status.hard, "status.hard", name_problem)
        yield from amounts_problems(self.status.used, "status.used", name_problem)

    def update_problems(self, old: "ResourceQuota") -> Iterator[Problem]:
        yield from immutable("spec.scopes", sorted(old.spec.scopes), sorted(self.spec.scopes))


def name_problem(name: str) -> str:
    """Return why a name is nothing that is counted; empty where it is."""
    if not names.is_label_key(name):
        return names.LABEL_KEY_RULE
    if "/" in name or name in STANDARD or name.removeprefix("requests.").startswith("hugepages-"):
        return ""
    return "must be a standard resource for quota"


def _scope_problems(spec: ResourceQuotaSpec) -> Iterator[Problem]:
    for index, scope in enumerate(spec.scopes[: SCOPES_MAX + 1]):
        yield from _one_scope_problems(spec, scope, f"spec.scopes[{index}]")
    where = "spec.scopeSelector.matchExpressions"
    selector = spec.scope_selector
    for index, one in enumerate(selector.match_expressions if selector is not None else ()):
        at = f"{where}[{index}]"
        yield from _one_scope_problems(spec, one.scope_name, f"{at}.scopeName")
        yield from _values_problems(one, at)
    yield from _opposite_problems(set(spec.scopes), "spec.scopes")
    chosen = {one.scope_name for one in spec.requirements if one.operator == "Exists"}
    yield from _opposite_problems(chosen - set(spec.scopes), where)


def _one_scope_problems(spec: ResourceQuotaSpec, scope: str, field: str) -> Iterator[Problem]:
    if scope not in SCOPES:
        message = f"unsupported scope: must be one of {', '.join(SCOPES)}"
        yield Problem(field, message, "FieldValueNotSupported")
        return
    counted = {"pods", "count/pods"} if scope == BEST_EFFORT else OF_PODS
    for name in sorted(spec.hard):
        is_device = name.startswith("requests.") and "/" in name and scope != BEST_EFFORT
        if name not in counted and not is_device:
            yield Problem(field, f"unsupported scope applied to resource {name[:80]}")
            return


def _values_problems(one: ScopedResourceSelectorRequirement, field: str) -> Iterator[Problem]:
    takes_values = one.operator in ("In", "NotIn")
    if takes_values and one.scope_name != PRIORITY_CLASS:
        message = "must be 'Exists' or 'DoesNotExist' for any scope but PriorityClass"
        yield Problem(f"{field}.operator", message)
    if takes_values and not one.values:
        message = "must be at least one value when `operator` is 'In' or 'NotIn'"
        yield Problem(f"{field}.values", message, "FieldValueRequired")
    if not takes_values and one.values:
        message = "must be no value when `operator` is 'Exists' or 'DoesNotExist'"
        yield Problem(f"{field}.values", message)


def _opposite_problems(scopes: set[str], field: str) -> Iterator[Problem]:
    for pair in OPPOSITES:
        if scopes >= set(pair):
            yield Problem(field, f"conflicting scopes: {' and '.join(pair)}")
