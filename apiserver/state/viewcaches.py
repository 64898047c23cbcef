"""The objects of every view in memory, with their changes: served as those of any kind.

An object of a view has the revision of the change that made it what it is, so that it grows with
each change. After a load nobody knows that change any more: the object has the revision of the
load, which is no older. Only an object of a single source always has that one's revision.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from apiserver.fairness.waking import Waking
from apiserver.state.items import Item, MadeItem
from apiserver.state.keys import collection_in, collection_of, key_of
from apiserver.state.view import Change, ObjectKey, View, ViewMaker
from apiserver.state.watchcache import KindCache
from cubernetes.api.meta import Object
from cubernetes.host.log import Log

log = Log(__name__)


class Views:
    """Every view, each with its objects and their changes in memory."""

    def __init__(self, makers: Sequence[ViewMaker], *, waking: Waking) -> None:
        self._makers = makers
        self._waking = waking
        self._caches: dict[type[Object], KindCache] = {}
        # Each with the collections of its sources.
        self._views: list[tuple[View, frozenset[str]]] = []

    def cache_of(self, kind: type[Object]) -> KindCache | None:
        return self._caches.get(kind)

    def item(self, key: str) -> Item | None:
        """Return the object of a view at a key; its collection is no stored kind's."""
        collection = collection_in(key)
        found = (one for kind, one in self._caches.items() if collection_of(kind) == collection)
        return next((cache.items.get(key) for cache in found), None)

    def load(self, sources: Mapping[type[Object], KindCache], revision: int) -> None:
        """Begin anew with what there is of the sources; a view that lacks one is not served."""
        fed = [one for one in (make() for make in self._makers) if _is_fed(one, sources)]
        self._views = [(one, frozenset(map(collection_of, one.sources))) for one in fed]
        for view in fed:
            items = (item for kind in view.sources for item in sources[kind].items.values())
            places = {place for item in items for place in _touched(view, item.key, item)}
            made = {_key(view, place): _item(view, place, revision) for place in places}
            cache = self._caches.get(view.kind)
            if cache is None:
                cache = KindCache(view.kind, events_max=view.events_max, waking=self._waking)
                self._caches[view.kind] = cache
            there = [one for key in sorted(made) if (one := made[key]) is not None]
            cache.load(there, revision)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over changes of any kinds, in order."""
        for view, collections in self._views:
            mine = [one for one in changes if collection_in(one[0]) in collections]
            self._caches[view.kind].apply(list(self._shown(view, mine)))

    def _shown(self, view: View, changes: Sequence[Change]) -> Iterator[Change]:
        last: dict[str, Item | None] = {}
        cache = self._caches[view.kind]
        for key, source, revision in changes:
            for place in _touched(view, key, source):
                at = _key(view, place)
                item = _item(view, place, revision)
                before = last[at] if at in last else cache.items.get(at)
                if not _is_same(before, item):
                    last[at] = item
                    yield at, item, revision


def _touched(view: View, key: str, source: Item | None) -> Iterable[ObjectKey]:
    """Let a view take over a source; one that is stored and not read must not end the server."""
    try:
        return view.changed(key, source)
    except msgspec.MsgspecError as error:
        log.warning("what is stored is not read, views leave it out", key=key, why=error)
        return view.changed(key, None)


def _is_same(one: Item | None, other: Item | None) -> bool:
    if isinstance(one, MadeItem) and isinstance(other, MadeItem):
        return one.parts == other.parts
    return one is other


def _is_fed(view: View, sources: Mapping[type[Object], KindCache]) -> bool:
    return all(kind in sources for kind in view.sources)


def _key(view: View, place: ObjectKey) -> str:
    return key_of(view.kind, place.namespace, place.name)


def _item(view: View, place: ObjectKey, revision: int) -> Item | None:
    sight = view.shown(place)
    if sight is None:
        return None
    at = sight.revision or revision
    return MadeItem(view.kind, _key(view, place), at, sight.parts, sight.make)
