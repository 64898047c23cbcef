"""Views in memory: what a change of a source costs, and what it leaves."""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

import pytest

from apiserver.fairness.waking import Waking
from apiserver.state.items import Item, MadeItem, encoded, stored
from apiserver.state.keys import key_of
from apiserver.state.selection import selection_of
from apiserver.state.view import ObjectKey, Sight
from apiserver.state.viewcaches import Views
from apiserver.state.watchcache import KindCache
from apiserver.views.endpoints import EVENTS_MAX, EndpointsView
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.service import Service, ServiceSpec
from cubernetes.api.core.views.endpoints import Endpoints
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointSlice
from cubernetes.api.meta import Object, ObjectMeta


class Copies:
    """One Endpoints for each ConfigMap; it counts how many were made."""

    kind: ClassVar[type[Object]] = Endpoints
    sources: ClassVar[tuple[type[Object], ...]] = (ConfigMap,)
    events_max: ClassVar[int] = 4
    made: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self._there: dict[ObjectKey, Item] = {}

    def changed(self, key: str, source: Item | None) -> Iterable[ObjectKey]:
        place = ObjectKey("default", key.rpartition("/")[2])
        if source is not None:
            self._there[place] = source
        else:
            self._there.pop(place, None)
        return [place]

    def shown(self, place: ObjectKey) -> Sight | None:
        item = self._there.get(place)
        return Sight((item.content[-9:],), partial(self._make, place)) if item else None

    def _make(self, place: ObjectKey) -> Endpoints:
        self.made.append(place.name)
        return Endpoints(metadata=ObjectMeta(name=place.name, namespace=place.namespace))


def an_item(name: str, revision: int, text: str = "") -> Item:
    one = ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data={"a": text})
    return stored(ConfigMap, key_of(ConfigMap, "default", name), encoded(one), revision)


def loaded(*items: Item, revision: int = 9) -> Views:
    Copies.made.clear()
    sources = KindCache(ConfigMap)
    sources.load(items, revision)
    views = Views([Copies], waking=Waking())
    views.load({ConfigMap: sources}, revision)
    return views


def test_what_nobody_asks_for_is_not_made() -> None:
    views = loaded(an_item("a", 3))
    views.apply([(an_item("b", 10).key, an_item("b", 10), 10)])
    assert Copies.made == []
    cache = views.cache_of(Endpoints)
    assert cache is not None
    for _ in range(2):
        assert b'"b"' in cache.items[key_of(Endpoints, "default", "b")].content
    assert Copies.made == ["b"]


def test_what_looks_the_same_is_no_change() -> None:
    views = loaded(an_item("a", 3, "x"))
    cache = views.cache_of(Endpoints)
    assert cache is not None
    changes = [an_item("a", 10, "x"), an_item("a", 11, "y"), an_item("a", 12, "y")]
    views.apply([(one.key, one, one.revision) for one in changes])
    assert [event.revision for event in cache.events_from(1)] == [11]


def test_a_view_keeps_as_many_changes_as_it_says() -> None:
    views = loaded()
    items = [an_item(f"n{index}", index) for index in range(10, 40)]
    for one in items:
        views.apply([(one.key, one, one.revision)])
    cache = views.cache_of(Endpoints)
    assert cache is not None
    assert 40 - 1 - Copies.events_max * 1.25 <= cache.floor <= 40 - 1 - Copies.events_max


def test_a_change_of_one_large_slice_makes_no_endpoints_and_history_is_short() -> None:
    assert EVENTS_MAX <= 128
    assert EndpointsView.events_max == EVENTS_MAX
    service = Service(
        metadata=ObjectMeta(name="web", namespace="default"), spec=ServiceSpec(selector={"a": "b"})
    )
    slices = EndpointSlice(
        metadata=ObjectMeta(
            name="web-a", namespace="default", labels={"kubernetes.io/service-name": "web"}
        ),
        endpoints=tuple(Endpoint(addresses=(f"10.0.0.{each}",)) for each in range(1, 101)),
    )
    caches = {Service: KindCache(Service), EndpointSlice: KindCache(EndpointSlice)}
    key = key_of(Service, "default", "web")
    caches[Service].load([stored(Service, key, encoded(service), 2)], 2)
    views = Views([EndpointsView], waking=Waking())
    views.load(caches, 2)
    key = key_of(EndpointSlice, "default", "web-a")
    views.apply([(key, stored(EndpointSlice, key, encoded(slices), 3), 3)])
    item = views.item(key_of(Endpoints, "default", "web"))
    assert isinstance(item, MadeItem)
    with pytest.raises(AttributeError):  # nothing is made yet: the slot is empty
        object.__getattribute__(item, "content")
    assert item.content.count(b'"ip"') == 100


def test_a_past_selection_is_what_was_chosen_then() -> None:
    cache, everything = KindCache(ConfigMap), selection_of(ConfigMap, "", "", "")
    cache.load([an_item("a", 3), an_item("b", 4)], 9)
    pasts = {}
    changes = [
        (an_item("a", 10, "x").key, an_item("a", 10, "x"), 10),
        (an_item("b", 4).key, None, 11),
        (an_item("c", 12).key, an_item("c", 12), 12),
        (an_item("b", 13).key, an_item("b", 13), 13),
        (an_item("c", 12).key, None, 14),
    ]
    pasts[9] = cache.chosen(everything)
    for change in changes:
        cache.apply([change])
        pasts[change[2]] = cache.chosen(everything)
    for revision, then in pasts.items():
        assert cache.chosen_at(everything, revision) == then
        behind = cache.chosen_at(everything, revision, an_item("a", 1).key)
        assert behind == [one for one in then if one.object.metadata.name != "a"]
