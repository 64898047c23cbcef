"""What every kind has: immutable models, metadata, and the facts that a kind tells of itself."""

from collections.abc import Callable, Iterator, Mapping, Sized
from datetime import datetime
from itertools import chain
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    cast,
    dataclass_transform,
)

import msgspec

from cubernetes.api import names
from cubernetes.api.causes import cause_of
from cubernetes.api.errors import Problem
from cubernetes.api.quantities import Quantity
from cubernetes.api.resource import Resource

if TYPE_CHECKING:

    class Base:
        """mypy wants plain classes under a dataclass_transform; at run time these are msgspec's."""

else:
    Base = msgspec.Struct


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class ModelMeta(type(msgspec.Struct)):  # type: ignore[misc]  # a metaclass known at run time
    """Makes every model immutable, keyword-only, camelCase on the wire and strict."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        rules: dict[str, Any] = {
            "frozen": True,
            "kw_only": True,
            "rename": "camel",
            "omit_defaults": True,
            "forbid_unknown_fields": True,
            # Made whole of what was there before and never changed, no model is part of a cycle:
            # collections need not walk through the thousands that a cache holds.
            "gc": False,
        }
        return super().__new__(mcs, name, bases, namespace, **(rules | options))


class Model(Base, metaclass=ModelMeta):
    """A value: equal by its fields, never changed, only replaced."""


def shown[T](value: T, name: str | None = None) -> T:
    """Give a field a default that is written on the wire also where it stands unchanged.

    Every field that Kubernetes' schema requires is one: its clients read it without asking whether
    it is there, and send it back. name is its name on the wire, where camelCase would differ.
    """
    return msgspec.field(default_factory=lambda: value, name=name)


def wire[T](name: str, default: T) -> T:
    """Give a field the wire name that Kubernetes uses where camelCase would differ (podIP)."""
    if default == {} or default == []:
        return cast(T, msgspec.field(name=name, default_factory=type(default)))
    return msgspec.field(name=name, default=default)


def replaced[M: Model](model: M, **changes: object) -> M:
    """Return model with some fields exchanged."""
    return cast(M, msgspec.structs.replace(cast(msgspec.Struct, model), **changes))


type Labels = Mapping[str, str]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]
# A time without its offset could be any of twenty-six hours, and compares with no other.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
type Amounts = Mapping[str, Quantity]  # "cpu", "memory", "pods" -> how much


class Ref(NamedTuple):
    """Which object: enough to find it. namespace is empty for kinds without namespaces."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.lower()}/{place}{self.name}"


FINALIZER_COUNT_MAX = 64
OWNER_COUNT_MAX = 256
# Each as Python and as the wire call it.
OWNER_FIELDS = (("api_version", "apiVersion"), ("kind", "kind"), ("name", "name"), ("uid", "uid"))


def too_many(entries: Sized, most: int) -> str:
    return f"too many: {len(entries)}, at most {most}"


def too_long(text: str) -> str:
    return f"has {len(text)} characters, at most {names.SUBDOMAIN_MAX}"


class OwnerReference(Model):
    """The object that this one belongs to; it goes when all its owners are gone.

    api_version, kind, name: which object; it is in the same namespace, or in none.
    uid: which incarnation of that name it is.
    controller: whether it manages this object; at most one owner does.
    block_owner_deletion: whether an owner that is deleted in the foreground waits for this object.
    """

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ManagedFields(Model):
    """Which fields somebody owns, once somebody has applied the object on the server.

    manager: the name of the writer.
    operation: how it writes.
    api_version: the version of the kind that it wrote.
    time: when what it owns changed last.
    fields_type: how fieldsV1 is written.
    fields_v1: the fields, as Kubernetes' FieldsV1 names them.
    subresource: through which it writes; empty for the object itself.
    """

    manager: str
    operation: Literal["Apply", "Update"]
    api_version: str
    time: Instant
    fields_type: Literal["FieldsV1"] = shown("FieldsV1")
    fields_v1: Mapping[str, Any] = wire("fieldsV1", {})
    subresource: str = ""


class ObjectMeta(Model):
    """Identity of an object. uid, resourceVersion, generation and timestamps are the server's.

    name: unique among the objects of its kind, in its namespace; it never changes.
    generate_name: what the server begins a name with, where none is given.
    namespace: the room of names that it is in; empty for kinds without namespaces.
    uid: which incarnation of its name this is.
    resource_version: which state of it this is. Opaque: compare it for equality only; an update
        that carries an old one is refused.
    generation: which writing of its spec this is; only kinds with a status count.
    creation_timestamp: when it was made.
    deletion_timestamp: when it should be gone; set when its deletion is asked for, and for good.
    deletion_grace_period_seconds: how long it is given to run down.
    labels: what selectors choose by.
    annotations: what tools note about it; nothing chooses by them.
    owner_references: what it belongs to; it goes when all of them are gone.
    finalizers: what must be done before it may be gone; each doer removes its own entry.
    managed_fields: who owns which field; empty as long as nobody applies the object on the server.
    """

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Instant | None = None
    deletion_timestamp: Instant | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    managed_fields: tuple[ManagedFields, ...] = ()

    @property
    def is_deleted(self) -> bool:
        """Its deletion has been asked for; it may still be running down."""
        return self.deletion_timestamp is not None

    @property
    def controller(self) -> OwnerReference | None:
        """Return the owner that manages this object, where there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)

    def problems(self, is_name: Callable[[str], bool], rule: str) -> Iterator[Problem]:
        if not is_name(self.name):
            yield Problem("metadata.name", rule)
        yield from self.part_problems("metadata")

    def part_problems(self, field: str) -> Iterator[Problem]:
        """Yield what is wrong beside the name, for metadata that stand at field."""
        if len(self.generate_name) > names.SUBDOMAIN_MAX:
            yield Problem(f"{field}.generateName", too_long(self.generate_name))
        yield from names.label_problems(self.labels, f"{field}.labels")
        yield from names.annotation_problems(self.annotations, f"{field}.annotations")
        yield from self._finalizer_problems(f"{field}.finalizers")
        yield from self._owner_problems(f"{field}.ownerReferences")

    def _finalizer_problems(self, field: str) -> Iterator[Problem]:
        if len(self.finalizers) > FINALIZER_COUNT_MAX:
            yield Problem(field, too_many(self.finalizers, FINALIZER_COUNT_MAX))
            return
        for index, finalizer in enumerate(self.finalizers):
            if not names.is_label_key(finalizer):
                yield Problem(f"{field}[{index}]", names.LABEL_KEY_RULE)

    def _owner_problems(self, field: str) -> Iterator[Problem]:
        if len(self.owner_references) > OWNER_COUNT_MAX:
            yield Problem(field, too_many(self.owner_references, OWNER_COUNT_MAX))
            return
        for index, owner in enumerate(self.owner_references):
            for name, wire_name in OWNER_FIELDS:
                text = getattr(owner, name)
                where = f"{field}[{index}].{wire_name}"
                if not text:
                    yield Problem(where, "is required", "FieldValueRequired")
                elif len(text) > names.SUBDOMAIN_MAX:
                    yield Problem(where, too_long(text))
        if sum(bool(owner.controller) for owner in self.owner_references) > 1:
            yield Problem(field, "at most one owner may be the controller")


class Column(NamedTuple):
    """One column that `get` prints.

    cell is given the object and the present time (ages need it) and returns a text or a number.
    wide columns are shown only with -o wide.
    """

    title: str
    cell: Callable[[Any, datetime], str | int]
    wide: bool = False


def text_field(path: str) -> Callable[[Any], str]:
    """Return a function that reads a dotted Python path as text; absent is the empty text."""

    def read(thing: Any) -> str:
        for part in path.split("."):
            thing = getattr(thing, part, None)
            if thing is None:
                return ""
        # As JSON writes it, which is what clients ask for: spec.unschedulable=true.
        return str(thing).lower() if isinstance(thing, bool) else str(thing)

    return read


class Object(Model):
    """What every kind derives from. apiVersion and kind are filled in by each kind.

    A docstring ends with what there is to know of each field: `kubectl explain` prints it.

    api_version: the group and version that this is written in.
    kind: what this is.
    metadata: its identity, labels and annotations.
    spec: what is wanted.
    status: what has been found; the cluster writes it, not its users.
    """

    resource: ClassVar[Resource]
    columns: ClassVar[tuple[Column, ...]]
    name_rule: ClassVar[names.NameRule] = names.SUBDOMAINS
    # Fields that a fieldSelector may name, beside metadata.name and metadata.namespace.
    selectable: ClassVar[Mapping[str, Callable[[Any], str]]] = {}
    # The kind as which its objects are stored, where this is another version of that one.
    stored_as: ClassVar["type[Object] | None"] = None
    # What clients of this version are told, where it is to be left.
    deprecation: ClassVar[str] = ""

    api_version: str
    kind: str
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    @property
    def place(self) -> tuple[str, str]:
        """Return its namespace, which is empty for kinds without, and its name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def ref(self) -> Ref:
        return Ref(self.resource.word, self.metadata.namespace, self.metadata.name)

    @property
    def cause(self) -> str:
        """What log lines about it have in common with those about its owner and children."""
        return cause_of(self.metadata.uid)

    @property
    def parent_uid(self) -> str:
        """The uid of what it was made for: its controller, else its first owner; else empty."""
        first = self.metadata.controller or next(iter(self.metadata.owner_references), None)
        return first.uid if first is not None else ""

    def owner_reference(self) -> OwnerReference:
        """Return the reference that an object managed by this one carries."""
        return OwnerReference(
            api_version=self.api_version,
            kind=self.kind,
            name=self.metadata.name,
            uid=self.metadata.uid,
            controller=True,
            block_owner_deletion=True,
        )

    @classmethod
    def misread(cls, tree: Mapping[str, Any]) -> Iterator[Problem]:  # noqa: ARG003  a hook
        """Yield how a tree of an older form, which cannot be read, is written now."""
        return iter(())

    def defaulted(self) -> Self:
        """Return the object with the defaults that depend on other fields filled in."""
        return self

    def problems(self) -> Iterator[Problem]:
        """Yield everything that is wrong with the object, for every writer."""
        yield from self.metadata.problems(*self.name_rule)

    def advice(self) -> Iterator[str]:
        """Yield what its author should know of what is taken and not obeyed: warnings."""
        return iter(())

    def update_problems(self, old: Self) -> Iterator[Problem]:  # noqa: ARG002  a hook
        """Yield what may not change from old to this object."""
        return iter(())

    def status_problems(self, old: Self) -> Iterator[Problem]:
        """Yield what of all that is wrong is about the status.

        A kind that has no rule about it, or has it apart, says so: it costs a status write less.
        """
        for one in chain(self.problems(), self.update_problems(old)):
            if one.field.partition(".")[0] == "status":
                yield one


def immutable(field: str, old: object, new: object) -> Iterator[Problem]:
    """Yield a problem where a field that may not change has changed."""
    if old != new:
        yield Problem(field, "is immutable once set", "FieldValueForbidden")


def age_of(thing: Object, now: datetime) -> str:
    """Return how long ago it was created, as kubectl writes it: 5s, 3m20s, 4h, 2d."""
    created = thing.metadata.creation_timestamp
    return "<unknown>" if created is None else short_span((now - created).total_seconds())


def short_span(span_s: float) -> str:
    """Return a span in at most two units; a clock that runs behind shows 0s, never less."""
    seconds = max(0, int(span_s))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d"
