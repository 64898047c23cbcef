"""One object as the API shows it: its bytes with the resourceVersion in them, typed on demand.

The store keeps an object without its resourceVersion, for that is the revision which the write
gets. It is put into the encoded bytes right behind `"metadata":{`: inside a JSON text a quote is
always escaped, and metadata comes before everything that a user fills, so the first occurrence is
the right one. Nothing is decoded to serve a get, a list or an event.
"""

from collections.abc import Callable, Mapping

from apiserver.storage.store import Entry
from cubernetes.api.coding import codec
from cubernetes.api.meta import Object, replaced

_METADATA = b'"metadata":{'
# With it begins every object of a custom kind, whatever its version.
_VERSION = b'{"apiVersion":"'


def _stamp(revision: int) -> bytes:
    return b'"resourceVersion":"%d",' % revision


class Item:
    """An object at one revision; equal bytes are made once and shared by all who are served.

    content: the object's JSON, resourceVersion included.
    """

    __slots__ = ("_object", "content", "key", "kind", "revision")

    def __init__(self, kind: type[Object], key: str, revision: int, content: bytes) -> None:
        self.kind = kind
        self.key = key
        self.revision = revision
        self.content = content
        self._object: Object | None = None

    @property
    def object(self) -> Object:
        """The object, decoded when it is first asked for."""
        if self._object is None:
            self._object = codec.decode(self.kind, self.content)
        return self._object

    def of_version(self, kind: type[Object]) -> "Item":
        """Return the object as a version of its kind that clients ask for."""
        if self.kind is kind or kind.stored_as is not self.kind:
            return self
        return Item(kind, self.key, self.revision, versioned(kind, self.content))


class MadeItem(Item):
    """An object that is made, and encoded, when it is first asked for.

    parts: what it is made of; two items of one key with equal parts look the same.
    """

    __slots__ = ("_make", "parts")

    def __init__(
        self,
        kind: type[Object],
        key: str,
        revision: int,
        parts: tuple[object, ...],
        make: Callable[[], Object],
    ) -> None:
        super().__init__(kind, key, revision, b"")
        del self.content
        self.parts = parts
        self._make = make

    def __getattr__(self, name: str) -> bytes:
        """Make the content; Python asks for it here while its slot is empty.

        A property would cost each of a list's many items, which need nothing made.
        """
        if name != "content":
            raise AttributeError(name)
        self.content = _stamped(encoded(self._make()), self.revision)
        return self.content


# What stands at the keys that a transaction has read.
type Seen = Mapping[str, Item | Entry | None]


def item_of(kind: type[Object], entry: Entry) -> Item:
    """Return the item of an entry of the store."""
    return stored(kind, entry.key, entry.value, entry.revision)


def stored(kind: type[Object], key: str, value: bytes, revision: int) -> Item:
    """Return the item of a value that was written at a revision."""
    return Item(kind, key, revision, _stamped(versioned(kind, value), revision))


def versioned(kind: type[Object], value: bytes) -> bytes:
    """Return an object of a custom kind in the version of that kind: no other text differs."""
    if not kind.resource.is_custom or not value.startswith(_VERSION):
        return value
    end = value.index(b'"', len(_VERSION))
    return b"%b%b%b" % (_VERSION, kind.resource.api_version.encode(), value[end:])


def _stamped(value: bytes, revision: int) -> bytes:
    place = value.index(_METADATA) + len(_METADATA)
    return value[:place] + _stamp(revision) + value[place:]


def value_of(item: Item) -> bytes:
    """Return what the store keeps of an item: its bytes without the resourceVersion."""
    place = item.content.index(_METADATA) + len(_METADATA)
    value = item.content[:place] + item.content[place + len(_stamp(item.revision)) :]
    return versioned(item.kind.stored_as or item.kind, value)


def departed(item: Item, revision: int) -> Item:
    """Return the last state of an object that went, or left a selection, at a revision."""
    return stored(item.kind, item.key, value_of(item), revision)


def encoded(one: Object) -> bytes:
    """Return what the store keeps of an object."""
    metadata = replaced(one.metadata, resource_version="")
    value = codec.encode(replaced(one, metadata=metadata))
    return versioned(one.stored_as or type(one), value)
