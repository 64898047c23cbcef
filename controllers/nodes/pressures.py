"""Taints by condition: a node that is short of something gets no new pods that do not bear it.

As in Kubernetes, a pressure of a node is a taint `node.kubernetes.io/...:NoSchedule`: DaemonSets'
pods bear all three, and all but BestEffort pods that of memory (the scheduler sees to it).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cubernetes.api.condition import is_true
from cubernetes.api.core.node import PRESSURE_TAINTS, Node, Taint
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import Action, Update, View


@dataclass(slots=True)
class PressureTaints:
    """Plans by Node."""

    name = "pressure-taints"
    kinds: tuple[type[Object], ...] = (Node,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (changed.ref,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        node = view.get(Node, key.name)
        if node is None or node.metadata.is_deleted:
            return
        wanted = tuple(taints_of(node))
        if node.spec.taints != wanted:
            # As it was seen: a taint that an administrator gives meanwhile must not be lost.
            yield Update(replaced(node, spec=replaced(node.spec, taints=wanted)))


def taints_of(node: Node) -> Iterator[Taint]:
    """Yield the taints that a node is to have: others' as they are, and its pressures'."""
    ours = PRESSURE_TAINTS.values()
    yield from (one for one in node.spec.taints if one not in ours)
    for kind, taint in PRESSURE_TAINTS.items():
        if is_true(node.status.conditions, kind):
            yield taint
