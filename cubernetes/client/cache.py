"""Objects of one kind as of some revision, found by name, owner, node and label.

The objects are immutable; the cache is changed by its informer alone. Whatever is listed comes in
the order of (namespace, name), so that nobody's decision depends on the order of arrival.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.selectors import Selector

type Key = tuple[str, str]  # namespace (empty for kinds without), name
type Pair[O] = tuple[O | None, O | None]  # what stood there, what stands there
type Pairs[O] = list[Pair[O]]


class Placed(Protocol):
    """An object, or what is kept of one."""

    @property
    def place(self) -> Key: ...

    @property
    def metadata(self) -> ObjectMeta: ...


def key_of(one: Placed) -> Key:
    return one.place


def revision_of(one: Placed) -> int:
    """Return when it was written; 0 for an object that no server has seen."""
    return int(one.metadata.resource_version or "0")


class Newest:
    """The revision of the newest change that was told; `note` is for `Informer.on_change`."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision

    def note(self, old: Object | None, new: Object | None) -> None:
        for one in (old, new):
            if one is not None:
                self.revision = max(self.revision, revision_of(one))


class Cache[O: Placed]:
    """Readers use it at any time between two awaits: it is always as of `revision`."""

    def __init__(self) -> None:
        self.revision = 0
        self._objects: dict[Key, O] = {}
        self._keys: list[Key] = []
        self._indexes: dict[tuple[str, str, str], set[Key]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str, namespace: str = "") -> O | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "", selector: Selector | None = None) -> Sequence[O]:
        """Return the objects of a namespace (empty: of all) whose labels the selector matches."""
        if selector is None or not selector.terms:
            return [self._objects[key] for key in self._span(namespace)]
        narrow = _narrowest(selector, self._indexes)
        keys: Iterable[Key] = self._span(namespace)
        if narrow is not None:
            keys = sorted(key for key in narrow if namespace in ("", key[0]))
        found = (self._objects[key] for key in keys)
        return [one for one in found if selector.matches(one.metadata.labels)]

    def owned(self, uid: str) -> Sequence[O]:
        """Return the objects whose ownerReferences name uid."""
        return self._indexed("owner", uid)

    def on_node(self, node: str) -> Sequence[O]:
        """Return the objects whose spec.nodeName is node."""
        return self._indexed("node", node)

    def by_label(self, key: str, value: str) -> Sequence[O]:
        return self._indexed("label", key, value)

    def put(self, one: O) -> O | None:
        """Let one stand at its name; return what stood there before."""
        key = key_of(one)
        old = self._objects.get(key)
        if old is None:
            insort(self._keys, key)
        self._objects[key] = one
        if old is None:
            self._index_anew(key, set(), {*_index_entries(one)})
        elif not _has_same_entries(old, one):
            self._index_anew(key, {*_index_entries(old)}, {*_index_entries(one)})
        return old

    def _index_anew(
        self, key: Key, before: set[tuple[str, str, str]], after: set[tuple[str, str, str]]
    ) -> None:
        for entry in before - after:
            self._drop(entry, key)
        for entry in after - before:
            self._indexes.setdefault(entry, set()).add(key)

    def remove(self, key: Key) -> O | None:
        """Take away what stands at key; return it."""
        old = self._objects.pop(key, None)
        if old is not None:
            del self._keys[bisect_left(self._keys, key)]
            for entry in _index_entries(old):
                self._drop(entry, key)
        return old

    def replace(self, items: Iterable[O], revision: int) -> Pairs[O]:
        """Make items everything there is, as of revision.

        Returns what differs, in order: what came, what changed, and what is gone.
        """
        listed = {key_of(one): one for one in items}
        pairs: Pairs[O] = []
        for key in sorted(listed.keys() | self._objects.keys()):
            new = listed.get(key)
            old = self._objects.get(key)
            if new is None:
                pairs.append((self.remove(key), None))
            elif old is None or _differs(old, new):
                pairs.append((self.put(new), new))
        self.revision = revision
        return pairs

    def _span(self, namespace: str) -> Sequence[Key]:
        """Return the keys of a namespace, which lie beside each other in the sorted list."""
        if not namespace:
            return self._keys
        begin = bisect_left(self._keys, (namespace, ""))
        # No name is below the empty one, and no namespace stands between this and its successor.
        return self._keys[begin : bisect_left(self._keys, (namespace + "\0", ""))]

    def _indexed(self, index: str, first: str, second: str = "") -> Sequence[O]:
        keys = self._indexes.get((index, first, second), ())
        return [self._objects[key] for key in sorted(keys)]

    def _drop(self, entry: tuple[str, str, str], key: Key) -> None:
        keys = self._indexes[entry]
        keys.discard(key)
        if not keys:
            del self._indexes[entry]


def _differs(old: Placed, new: Placed) -> bool:
    there, here = old.metadata, new.metadata
    return there.resource_version != here.resource_version or there.uid != here.uid


def _has_same_entries(old: Placed, new: Placed) -> bool:
    """Tell whether two are indexed alike: what `_index_entries` reads is compared, and not made."""
    before, after = old.metadata, new.metadata
    return (
        before.labels == after.labels
        and before.owner_references == after.owner_references
        and _node_of(old) == _node_of(new)
    )


def _node_of(one: Placed) -> str:
    node: str = getattr(getattr(one, "spec", None), "node_name", "")
    return node


def _index_entries(one: Placed) -> Iterator[tuple[str, str, str]]:
    for owner in one.metadata.owner_references:
        yield "owner", owner.uid, ""
    for key, value in one.metadata.labels.items():
        yield "label", key, value
    if node := _node_of(one):
        yield "node", node, ""


def _narrowest(
    selector: Selector, indexes: dict[tuple[str, str, str], set[Key]]
) -> set[Key] | None:
    """Return the smallest indexed set that holds every match; None if no term is indexed."""
    sets = [
        indexes.get(("label", term.key, next(iter(term.values))), set())
        for term in selector.terms
        if term.operator == "in" and len(term.values) == 1
    ]
    return min(sets, key=len) if sets else None
