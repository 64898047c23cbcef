"""What a pod's containers request and may use: how it is summed, and what is legal."""

from collections.abc import Callable, Iterator, Mapping

from cubernetes.api.core.parts.resources import amounts_problems, is_extended, units
from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.core.podspec.spec import PodSpec, is_sidecar
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts

# What a container may request without a domain. ephemeral-storage is kept free by the scheduler; a
# pod that holds more than its limits is evicted.
OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
CONTAINER_RULE = f"must be one of {', '.join(OF_CONTAINERS)}, or a name such as example.com/gpu"


def requested(spec: PodSpec) -> Mapping[str, int]:
    """Sum what the containers request, by name; what is requested none of is left out.

    As in Kubernetes, a limit without a request is also the request. Init containers run one by one
    beside the sidecars that began before them: the pod needs what the greediest of these moments
    does, or what all containers do that run once it is initialized.
    """
    return _summed(spec, _requests_of)


def limited(spec: PodSpec) -> Mapping[str, int]:
    """Sum what the containers are limited to, by name, as `requested` sums requests."""
    return _summed(spec, _limits_of)


def _requests_of(resources: Resources) -> Amounts:
    return {**resources.limits, **resources.requests}


def _limits_of(resources: Resources) -> Amounts:
    return resources.limits


def _summed(spec: PodSpec, amounts_of: Callable[[Resources], Amounts]) -> dict[str, int]:
    beside: dict[str, int] = {}
    most: dict[str, int] = {}
    for container in spec.init_containers:
        needed = dict(beside)
        _add(needed, amounts_of(container.resources))
        if is_sidecar(container):
            beside = needed
        _raise(most, needed)
    for container in spec.containers:
        _add(beside, amounts_of(container.resources))
    _raise(beside, most)
    return beside


def _add(totals: dict[str, int], amounts: Amounts) -> None:
    for name, amount in amounts.items():
        if count := units(name, amount):
            totals[name] = totals.get(name, 0) + count


def _raise(totals: dict[str, int], floor: Mapping[str, int]) -> None:
    for name, count in floor.items():
        totals[name] = max(totals.get(name, 0), count)


def container_problems(resources: Resources, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the requests and limits that stand at field."""
    requests, limits = resources.requests, resources.limits
    for part, amounts in (("requests", requests), ("limits", limits)):
        yield from amounts_problems(amounts, f"{field}.{part}", _container_name_problem)
    for name, amount in sorted(requests.items()):
        where, limit = f"{field}.requests[{name[:63]}]", limits.get(name)
        if is_extended(name) and limit is None:
            yield Problem(where, "needs an equal limit", "FieldValueRequired")
        elif is_extended(name) and amount != limit:
            yield Problem(where, f"must be equal to the limit, {limit}")
        elif limit is not None and amount > limit:
            yield Problem(where, f"must be at most the limit, {limit}")


def _container_name_problem(name: str) -> str:
    return "" if name in OF_CONTAINERS or is_extended(name) else CONTAINER_RULE
