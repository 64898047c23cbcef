"""The view that planners get in a running program: the caches of its informers."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from cubernetes.api.meta import Object
from cubernetes.api.selectors import Selector
from cubernetes.client.cache import Cache
from cubernetes.client.informer import Informer
from cubernetes.reconcile.readings import (
    Absent,
    Metric,
    Readings,
    Table,
    Value,
    Values,
    value_in,
    values_in,
)

type Informers = Mapping[type[Object], Informer[Any]]


class CacheView:
    """Answers from memory; a kind that nobody declared raises KeyError, which is a bug."""

    def __init__(self, informers: Informers, readings: Readings | None = None) -> None:
        self._informers = informers
        self._readings = readings or {}

    def with_readings(self, readings: Readings) -> "CacheView":
        """Return the same view for one round of one key, which has asked for these."""
        return CacheView(self._informers, readings)

    def get[O: Object](self, kind: type[O], name: str, namespace: str = "") -> O | None:
        return self._cache(kind).get(name, namespace)

    def list[O: Object](
        self, kind: type[O], namespace: str = "", selector: Selector | None = None
    ) -> Sequence[O]:
        return self._cache(kind).list(namespace, selector)

    def owned[O: Object](self, kind: type[O], uid: str) -> Sequence[O]:
        return self._cache(kind).owned(uid)

    def on_node[O: Object](self, kind: type[O], node: str) -> Sequence[O]:
        return self._cache(kind).on_node(node)

    def revision(self, kind: type[Object]) -> int:
        return self._informers[kind].whole_revision

    def reading(self, question: Metric) -> Value | Absent:
        return value_in(self._readings, question)

    def table(self, question: Table) -> Values | Absent:
        return values_in(self._readings, question)

    def _cache[O: Object](self, kind: type[O]) -> Cache[O]:
        return cast(Cache[O], self._informers[kind].cache)
