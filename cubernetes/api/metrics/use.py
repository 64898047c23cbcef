"""NodeMetrics and PodMetrics: what nodes and the containers of pods use now."""

from collections.abc import Iterable
from decimal import Decimal

from cubernetes.api.meta import Amounts, Column, Instant, Model, Object, shown
from cubernetes.api.quantities import Quantity
from cubernetes.api.resource import Resource

VERBS = ("get", "list")


def _cpu(amounts: Amounts) -> str:
    return f"{amounts['cpu'].milli}m" if "cpu" in amounts else ""


def _memory(amounts: Amounts) -> str:
    return f"{amounts['memory'].whole // 2**20}Mi" if "memory" in amounts else ""


class ContainerMetrics(Model):
    """What a container uses.

    name: which of the pod's containers.
    usage: `cpu` in cores over the window, and `memory`, the working set.
    """

    name: str
    usage: Amounts


class NodeMetrics(Object):
    """What a node uses, as its kubelet measures it when it is asked.

    timestamp: when it was measured.
    window: over how long the cpu was.
    usage: `cpu` in cores over the window, and `memory`, the working set.
    """

    resource = Resource("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", (), False, verbs=VERBS)
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("CPU", lambda one, _: _cpu(one.usage)),
        Column("Memory", lambda one, _: _memory(one.usage)),
        Column("Window", lambda one, _: one.window),
    )

    api_version: str = shown("metrics.k8s.io/v1beta1")
    kind: str = shown("NodeMetrics")
    timestamp: Instant
    window: str
    usage: Amounts


class PodMetrics(Object):
    """What the containers of a pod use, as the kubelet measures it when it is asked.

    timestamp: when it was measured.
    window: over how long the cpu was.
    containers: each container that runs.
    """

    resource = Resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", verbs=VERBS)
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("CPU", lambda one, _: _cpu(_sum(one.containers))),
        Column("Memory", lambda one, _: _memory(_sum(one.containers))),
        Column("Window", lambda one, _: one.window),
    )

    api_version: str = shown("metrics.k8s.io/v1beta1")
    kind: str = shown("PodMetrics")
    timestamp: Instant
    window: str
    containers: tuple[ContainerMetrics, ...]


def _sum(containers: Iterable[ContainerMetrics]) -> Amounts:
    totals: dict[str, Decimal] = {}
    for one in containers:
        for name, amount in one.usage.items():
            totals[name] = totals.get(name, Decimal(0)) + amount.amount
    return {name: Quantity(f"{total:f}") for name, total in totals.items()}
