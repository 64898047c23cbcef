"""What a pod's containers request and may use: how it is summed, and what is legal."""

from collections import Counter
from collections.abc import Iterator, Mapping

from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.core.podspec.spec import PodSpec, is_sidecar
from cubernetes.api.core.resources import amounts_problems, is_extended, units
from cubernetes.api.errors import Problem

# What a container may request without a domain. ephemeral-storage is kept free by the scheduler;
# nothing stops a container that writes more.
OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
CONTAINER_RULE = f"must be one of {', '.join(OF_CONTAINERS)}, or a name such as example.com/gpu"


def requested(spec: PodSpec) -> Mapping[str, int]:
    """Sum what the containers request, by name; what is requested none of is left out.

    As in Kubernetes, a limit without a request is also the request. Init containers run one by one
    beside the sidecars that began before them: the pod needs what the greediest of these moments
    does, or what all containers do that run once it is initialized.
    """
    most: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    for container in spec.init_containers:
        needed = beside + _counts(container.resources)
        if is_sidecar(container):
            beside = needed
        most |= needed
    for container in spec.containers:
        beside += _counts(container.resources)
    return dict(most | beside)


def _counts(resources: Resources) -> Counter[str]:
    wanted = {**resources.limits, **resources.requests}
    return Counter({name: units(name, amount) for name, amount in wanted.items()})


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
