"""Which ConfigMaps and Secrets the pods of each node name: these its kubelet may read, no other.

It follows the pods as a watch does, by its place in their changes, so that a question costs what
has changed since the one before it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from apiserver.state.items import Item
from apiserver.state.watchcache import FellBehind, KindCache
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.references import Named, named_by
from cubernetes.api.meta import Object


class Edge(NamedTuple):
    """A pod that is bound to a node names an object of its namespace."""

    node: str
    namespace: str
    named: Named


def edges_of(pod: Object) -> frozenset[Edge]:
    """Return what a pod lets its node read; one that is finished needs nothing more."""
    if not isinstance(pod, Pod) or not pod.spec.node_name or is_finished(pod):
        return frozenset()
    node, namespace = pod.spec.node_name, pod.metadata.namespace
    return frozenset(Edge(node, namespace, one) for one in named_by(pod.spec))


class NamedObjects:
    """The edges of all pods in memory, each with the number of pods that it comes from."""

    def __init__(self, caches: Mapping[type[Object], KindCache]) -> None:
        self._caches = caches
        # The kind may be replaced while the server runs; what it has then is another cache.
        self._pods = KindCache(Pod)
        self._place = -1
        self._counts: Counter[Edge] = Counter()

    def has(self, node: str, namespace: str, kind: str, name: str) -> bool:
        """Return whether a pod of the node names the object now."""
        self._catch_up()
        return self._counts[Edge(node, namespace, Named(kind, name))] > 0

    def _catch_up(self) -> None:
        pods = next((one for kind, one in self._caches.items() if issubclass(kind, Pod)), None)
        if pods is not None and pods is not self._pods:
            self._pods = pods
            self._begin_anew()
        while self._place < self._pods.end:
            try:
                events = self._pods.events_from(self._place)
            except FellBehind:
                self._begin_anew()
                return
            for event in events:
                self._count(event.old, -1)
                self._count(event.new, +1)
            self._place += len(events)

    def _begin_anew(self) -> None:
        self._counts = Counter()
        for item in self._pods.items.values():
            self._count(item, +1)
        self._place = self._pods.end

    def _count(self, item: Item | None, by: int) -> None:
        edges: Iterable[Edge] = edges_of(item.object) if item is not None else ()
        for edge in edges:
            self._counts[edge] += by
            if not self._counts[edge]:
                del self._counts[edge]
