"""Resources: what pods request and nodes have, under any name; and which amounts are legal.

cpu counts in thousandths of a core, everything else in whole units (bytes, devices). A name with a
domain, such as `nvidia.com/gpu`, is an *extended resource*: whole devices of the cluster's own,
which cannot be promised twice, so that a request equals its limit.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts
from cubernetes.api.names import LABEL_KEY_RULE, is_label_key
from cubernetes.api.quantities import Quantity

if TYPE_CHECKING:
    from cubernetes.api.core.pod import PodSpec, Resources

# What a container may request without a domain. ephemeral-storage is kept free by the scheduler;
# nothing stops a container that writes more.
OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
CONTAINER_RULE = f"must be one of {', '.join(OF_CONTAINERS)}, or a name such as example.com/gpu"
NATIVE_DOMAIN = "kubernetes.io/"
QUOTA_PREFIX = "requests."  # a ResourceQuota calls example.com/gpu so
RESOURCES_MAX = 64  # names in one list of requests, of limits, or of a node's amounts


def is_extended(name: str) -> bool:
    """True for a device of the cluster's own: with a domain, and none of Kubernetes'."""
    is_free = "/" in name and NATIVE_DOMAIN not in name and not name.startswith(QUOTA_PREFIX)
    return is_free and is_label_key(QUOTA_PREFIX + name)


def extended(amounts: Amounts) -> Amounts:
    """Return those that are extended resources."""
    return {name: amount for name, amount in amounts.items() if is_extended(name)}


def units(name: str, amount: Quantity) -> int:
    """Return the amount as the scheduler and the kubelet count it: milli-cores, or whole units."""
    return amount.milli if name == "cpu" else amount.whole


def requested(spec: "PodSpec") -> Mapping[str, int]:
    """Sum what the containers request, by name; what is requested none of is left out.

    As in Kubernetes, a limit without a request is also the request.
    """
    totals: dict[str, int] = {}
    for container in spec.containers:
        wanted = {**container.resources.limits, **container.resources.requests}
        for name, amount in wanted.items():
            if count := units(name, amount):
                totals[name] = totals.get(name, 0) + count
    return totals


def container_problems(resources: "Resources", field: str) -> Iterator[Problem]:
    """Yield what is wrong with the requests and limits that stand at field."""
    requests, limits = resources.requests, resources.limits
    for part, amounts in (("requests", requests), ("limits", limits)):
        yield from _amounts_problems(amounts, f"{field}.{part}", _container_name_problem)
    for name, amount in sorted(requests.items()):
        where, limit = f"{field}.requests[{name[:63]}]", limits.get(name)
        if is_extended(name) and limit is None:
            yield Problem(where, "needs an equal limit", "FieldValueRequired")
        elif is_extended(name) and amount != limit:
            yield Problem(where, f"must be equal to the limit, {limit}")
        elif limit is not None and amount > limit:
            yield Problem(where, f"must be at most the limit, {limit}")


def node_problems(amounts: Amounts, field: str) -> Iterator[Problem]:
    """Yield what is wrong with what a node says it has."""
    yield from _amounts_problems(amounts, field, _node_name_problem)


def _amounts_problems(
    amounts: Amounts, field: str, name_problem: Callable[[str], str]
) -> Iterator[Problem]:
    if len(amounts) > RESOURCES_MAX:
        yield Problem(field, f"must have at most {RESOURCES_MAX} names", "FieldValueTooMany")
        return
    for name, amount in sorted(amounts.items()):
        where = f"{field}[{name[:63]}]"
        if problem := name_problem(name):
            yield Problem(where, problem)
        elif amount.amount < 0:
            yield Problem(where, "must not be negative")
        elif (is_extended(name) or name == "pods") and amount.amount % 1:
            yield Problem(where, "must be an integer")


def _container_name_problem(name: str) -> str:
    return "" if name in OF_CONTAINERS or is_extended(name) else CONTAINER_RULE


def _node_name_problem(name: str) -> str:
    return "" if is_label_key(name) else LABEL_KEY_RULE
