"""What an object uses of a quota, and which quotas count it: exact amounts by name. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from cubernetes.api.core.parts.resources import QUOTA_PREFIX
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.placement.affinity import Affinity
from cubernetes.api.core.podspec.qos import qos_of
from cubernetes.api.core.podspec.requests import limited, requested
from cubernetes.api.core.podspec.spec import every_container
from cubernetes.api.core.resourcequota import (
    BEST_EFFORT,
    COMPUTE,
    CROSS_NAMESPACE,
    NOT_BEST_EFFORT,
    NOT_TERMINATING,
    OF_CLASS,
    PRIORITY_CLASS,
    TERMINATING,
    ResourceQuotaSpec,
    ScopedResourceSelectorRequirement,
)
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Amounts, Object
from cubernetes.api.quantities import Quantity

COUNT = "count/"
ONE = Decimal(1)
MILLI = Decimal(1000)
# Kinds of the core group that quotas call by their plural alone, too.
BARE = ("configmaps", "secrets", "services", "resourcequotas", "persistentvolumeclaims")
BINARY = (
    ("Ei", 2**60), ("Pi", 2**50), ("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10),
)  # fmt: skip

type Usage = Mapping[str, Decimal]


def count_of(kind: type[Object]) -> str:
    """Return the name by which quotas bound how many objects of a kind there are."""
    resource = kind.resource
    return f"{COUNT}{resource.plural}{resource.group and '.'}{resource.group}"


def usage_of(one: Object) -> Usage:
    """Return what an object uses, by the names that quotas have for it."""
    resource = one.resource
    found = {count_of(type(one)): ONE}
    if not resource.group and resource.plural in BARE:
        found[resource.plural] = ONE
    if isinstance(one, Pod):
        found.update(_of_pod(one))
    elif isinstance(one, Service):
        found.update(_of_service(one))
    elif isinstance(one, PersistentVolumeClaim):
        found.update(_of_claim(one))
    return found


def _of_pod(pod: Pod) -> Iterator[tuple[str, Decimal]]:
    """Yield what a pod uses; once it has ended, only its object is there."""
    if is_finished(pod):
        return
    yield "pods", ONE
    for name, count in requested(pod.spec).items():
        amount = amount_of(name, count)
        yield QUOTA_PREFIX + name, amount
        if name in COMPUTE:
            yield name, amount
    for name, count in limited(pod.spec).items():
        if name in COMPUTE:
            yield f"limits.{name}", amount_of(name, count)


def _of_service(service: Service) -> Iterator[tuple[str, Decimal]]:
    spec = service.spec
    if spec.type == "LoadBalancer":
        yield "services.loadbalancers", ONE
    if spec.is_given_node_ports:
        yield "services.nodeports", Decimal(len(spec.ports))


def _of_claim(claim: PersistentVolumeClaim) -> Iterator[tuple[str, Decimal]]:
    """Yield what a claim uses, in all and of its class."""
    size = claim.spec.resources.requests.get("storage")
    used = {"persistentvolumeclaims": ONE}
    if size is not None:
        used["requests.storage"] = Decimal(size.whole)
    yield from used.items()
    if made_by := claim.spec.storage_class_name:
        yield from ((f"{made_by}{OF_CLASS}{name}", amount) for name, amount in used.items())


def amount_of(name: str, count: int) -> Decimal:
    """Return what so many units are: the reverse of `units`."""
    return count / MILLI if name == "cpu" else Decimal(count)


def counts(spec: ResourceQuotaSpec, one: Object) -> bool:
    """Whether a quota is about an object: with scopes, it is about pods that fulfil all of them."""
    requirements = list(spec.requirements)
    if not requirements:
        return True
    return isinstance(one, Pod) and all(_fulfils(each, one) for each in requirements)


def _fulfils(requirement: ScopedResourceSelectorRequirement, pod: Pod) -> bool:
    name = pod.spec.priority_class_name
    if requirement.operator in ("In", "NotIn"):
        return (name in requirement.values) == (requirement.operator == "In")
    is_best_effort = qos_of(pod.spec) == "BestEffort"
    has_deadline = pod.spec.active_deadline_seconds is not None
    holds = {
        TERMINATING: has_deadline,
        NOT_TERMINATING: not has_deadline,
        BEST_EFFORT: is_best_effort,
        NOT_BEST_EFFORT: not is_best_effort,
        PRIORITY_CLASS: bool(name),
        CROSS_NAMESPACE: _looks_elsewhere(pod.spec.affinity),
    }
    return holds.get(requirement.scope_name, False) == (requirement.operator == "Exists")


def _looks_elsewhere(affinity: Affinity | None) -> bool:
    """Whether a pod's place depends on pods of namespaces that it chooses."""
    rules = (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else ()
    terms = [
        term
        for one in rules
        if one is not None
        for term in (
            *one.required_during_scheduling_ignored_during_execution,
            *(
                each.pod_affinity_term
                for each in one.preferred_during_scheduling_ignored_during_execution
            ),
        )
    ]
    return any(term.namespaces or term.namespace_selector is not None for term in terms)


def unstated(hard: Amounts, pod: Pod) -> Mapping[str, Sequence[str]]:
    """Return which containers leave open what a quota counts, by what it is."""
    found = {}
    for name in sorted(hard):
        part, _, what = name.rpartition(".")
        if what not in COMPUTE or part not in ("", "requests", "limits"):
            continue
        open_ones = [
            one.name
            for one in every_container(pod.spec)
            if what not in one.resources.limits
            and (part == "limits" or what not in one.resources.requests)
        ]
        if open_ones:
            found[name] = open_ones
    return found


def quantity_of(name: str, amount: Decimal) -> Quantity:
    """Return an amount as it is written: bytes by powers of two, parts of a core in thousandths."""
    if amount % 1:
        return Quantity(f"{(amount * MILLI).to_integral_value()}m")
    whole = int(amount)
    # What of a class is counted stands behind the class.
    name = name.rpartition(OF_CLASS)[2]
    if whole and any(word in name for word in ("memory", "storage", "hugepages")):
        for suffix, size in BINARY:
            if whole % size == 0:
                return Quantity(f"{whole // size}{suffix}")
    return Quantity(str(whole))
