"""Which ConfigMaps, Secrets and accounts are named for whom: these serve there, and no other.

A kubelet may read what the pods of its node name, a gateway the certificates that Ingresses and
RoutePolicies name. All of these are followed as a watch does, by a place in their changes, so that
a question costs what has changed since the one before it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from apiserver.auth.authorize import GATEWAYS
from apiserver.state.items import Item
from apiserver.state.watchcache import FellBehind, KindCache
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.references import Named, named_by
from cubernetes.api.core.serviceaccount import DEFAULT
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.meta import Object
from cubernetes.api.networking.ingress import Ingress


class Edge(NamedTuple):
    """An object of a namespace is named for a reader: a node, or GATEWAYS for every gateway."""

    reader: str
    namespace: str
    named: Named


def edges_of(one: Object) -> frozenset[Edge]:
    """Return what a pod lets its node read, and what an Ingress or a RoutePolicy lets gateways.

    A pod that is finished needs nothing more.
    """
    namespace = one.metadata.namespace
    match one:
        case Pod() if one.spec.node_name and not is_finished(one):
            node, account = one.spec.node_name, one.spec.service_account_name or DEFAULT
            named = (*named_by(one.spec), Named("ServiceAccount", account))
            return frozenset(Edge(node, namespace, each) for each in named)
        case Ingress():
            secrets = (each.secret_name for each in one.spec.tls if each.secret_name)
            return frozenset(Edge(GATEWAYS, namespace, Named("Secret", name)) for name in secrets)
        case RoutePolicy() if one.spec.tls is not None and one.spec.tls.client_certificates:
            name = one.spec.tls.client_certificates.secret_name
            return frozenset({Edge(GATEWAYS, namespace, Named("Secret", name))})
    return frozenset()


class NamedObjects:
    """The edges of all pods, Ingresses and RoutePolicies in memory."""

    def __init__(self, caches: Mapping[type[Object], KindCache]) -> None:
        self._edges = tuple(Edges(kind, caches) for kind in (Pod, Ingress, RoutePolicy))

    def has(self, reader: str, namespace: str, kind: str, name: str) -> bool:
        """Return whether something names the object for the reader now."""
        wanted = Edge(reader, namespace, Named(kind, name))
        return any(one.has(wanted) for one in self._edges)


class Edges:
    """The edges of one kind, each with the number of objects that it comes from."""

    def __init__(self, kind: type[Object], caches: Mapping[type[Object], KindCache]) -> None:
        self._kind, self._caches = kind, caches
        # The kind may be replaced while the server runs; what it has then is another cache.
        self._cache = KindCache(kind)
        self._place = -1
        self._counts: Counter[Edge] = Counter()

    def has(self, wanted: Edge) -> bool:
        """Return whether an object has the edge now."""
        self._catch_up()
        return self._counts[wanted] > 0

    def _catch_up(self) -> None:
        found = (one for kind, one in self._caches.items() if issubclass(kind, self._kind))
        cache = next(found, None)
        if cache is not None and cache is not self._cache:
            self._cache = cache
            self._begin_anew()
        while self._place < self._cache.end:
            try:
                events = self._cache.events_from(self._place)
            except FellBehind:
                self._begin_anew()
                return
            for event in events:
                self._count(event.old, -1)
                self._count(event.new, +1)
            self._place += len(events)

    def _begin_anew(self) -> None:
        self._counts = Counter()
        for item in self._cache.items.values():
            self._count(item, +1)
        self._place = self._cache.end

    def _count(self, item: Item | None, by: int) -> None:
        edges: Iterable[Edge] = edges_of(item.object) if item is not None else ()
        for edge in edges:
            self._counts[edge] += by
            if not self._counts[edge]:
                del self._counts[edge]
