"""Resources: what pods request and nodes have, under any name; and which amounts are legal.

cpu counts in thousandths of a core, everything else in whole units (bytes, devices). A name with a
domain, such as `nvidia.com/gpu`, is an *extended resource*: whole devices of the cluster's own,
which cannot be promised twice, so that a request equals its limit.
"""

from collections.abc import Callable, Iterator

from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts
from cubernetes.api.names import LABEL_KEY_RULE, is_label_key
from cubernetes.api.quantities import Quantity

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


def node_problems(amounts: Amounts, field: str) -> Iterator[Problem]:
    """Yield what is wrong with what a node says it has."""
    yield from amounts_problems(amounts, field, _node_name_problem)


def amounts_problems(
    amounts: Amounts, field: str, name_problem: Callable[[str], str]
) -> Iterator[Problem]:
    """Yield what is wrong with the amounts at field; name_problem: why a name is none, or empty."""
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


def _node_name_problem(name: str) -> str:
    return "" if is_label_key(name) else LABEL_KEY_RULE
