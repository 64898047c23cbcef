"""What a plan may ask for: writes with their preconditions, as plain values.

A plan is a pure function from what is wanted and what exists to these. It may be cut anywhere:
the next round plans again from what is then found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from cubernetes.api.bodies.envelopes import Propagation
from cubernetes.api.meta import Object, Ref
from cubernetes.api.selectors import Selector
from cubernetes.reconcile.readings import (
    Absent,
    Metric,
    Question,
    Readings,
    Table,
    Value,
    Values,
    value_in,
    values_in,
)


@dataclass(frozen=True, slots=True)
class Create:
    """Make this object; that it exists already is fine if it has the same controlling owner."""

    object: Object


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object as it was seen: refused where someone wrote since (resourceVersion)."""

    object: Object


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """Replace only the status of an object as it was seen (resourceVersion)."""

    object: Object


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge `change` (RFC 7386) into an object; uid guards against a namesake."""

    kind: type[Object]
    ref: Ref
    uid: str
    change: Mapping[str, Any]
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the incarnation `uid` and no namesake; gone already is fine.

    resource_version, where given, asks that nobody has written since. grace_s None is the
    object's own; propagation says what becomes of its dependents, None leaves it to the object.
    """

    kind: type[Object]
    ref: Ref
    uid: str
    resource_version: str = ""
    grace_s: int | None = None
    propagation: Propagation | None = None


@dataclass(frozen=True, slots=True)
class Finalize:
    """Let a namespace go that is deleted and empty (PUT namespaces/<name>/finalize).

    `object` is the namespace as it was seen, without the spec.finalizers that are done.
    """

    object: Object


@dataclass(frozen=True, slots=True)
class Bind:
    """Put the pod `ref`, incarnation `uid`, on a node; bound there already is fine."""

    ref: Ref
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class Evict:
    """Delete the pod `ref`, incarnation `uid`, if its disruption budget allows it."""

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class Record:
    """Tell people what happened to an object: an Event. The same again counts up, at most.

    field_path: the part of the object that it happened to: `spec.containers{main}`.
    """

    about: Object
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"
    field_path: str = ""


class Number(Protocol):
    """A number of this moment, by its labels."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def value(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep numbers of this moment in the store of samples; without one they are lost."""

    numbers: Sequence[Number]
    series: str = "cube_autoscaler_decision"


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Plan this key again after `after_s` seconds, whatever happens until then."""

    after_s: float


type Action = (
    Create
    | Update
    | UpdateStatus
    | Patch
    | Delete
    | Finalize
    | Bind
    | Evict
    | Record
    | Keep
    | RequeueAfter
)


class View(Protocol):
    """What a planner sees: caches that follow the API, each kind as of some recent revision.

    Lists come in the order of (namespace, name). Only kinds that the planner declared are there.
    """

    def get[O: Object](self, kind: type[O], name: str, namespace: str = "") -> O | None: ...

    def list[O: Object](
        self, kind: type[O], namespace: str = "", selector: Selector | None = None
    ) -> Sequence[O]:
        """Return the objects of a kind; an empty namespace is all of them."""
        ...

    def owned[O: Object](self, kind: type[O], uid: str) -> Sequence[O]:
        """Return the objects whose ownerReferences name uid."""
        ...

    def on_node[O: Object](self, kind: type[O], node: str) -> Sequence[O]:
        """Return the objects whose spec.nodeName is node."""
        ...

    def revision(self, kind: type[Object]) -> int:
        """Return the revision up to which this view of a kind is complete.

        Kinds are watched apart and one may lag behind another: that an object is *absent* is known
        only when the view of its kind is as new as whatever speaks of it.
        """
        ...

    def reading(self, question: Metric) -> Value | Absent:
        """Return what was read for a question that `asks` returned, or why nothing was."""
        ...

    def table(self, question: Table) -> Values | Absent:
        """Return the rows that were read for a question that `asks` returned, or why none were."""
        ...


class Planner(Protocol):
    """One subject under the loop: a controller, or the scheduler."""

    @property
    def name(self) -> str:
        """Return the word by which logs, events and metrics call it: `replicaset`."""
        ...

    @property
    def kinds(self) -> tuple[type[Object], ...]:
        """Return every kind that keys and plan read."""
        ...

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """Return the keys that a change of this object concerns.

        Called with the object as it was and as it is: with both where it changed, so that a former
        owner's key is planned too, and with its last state where it is deleted. The view is as of
        after the change.
        """
        ...

    def plan(self, key: Ref, view: View, now: datetime) -> Iterable[Action]:
        """Return what to do so that the key's object is as wanted. Nothing, when it is."""
        ...


@runtime_checkable
class Reporting(Planner, Protocol):
    """A planner that tells people what the API has refused it."""

    def refused(
        self, key: Ref, action: Action, why: str, view: View, now: datetime
    ) -> Iterable[Action]:
        """Return what to write where the API refused an action by its rules (403, 422).

        The plan ends at the refused action, and the key is planned again after a pause.
        """
        ...


@runtime_checkable
class OfEveryKind(Planner, Protocol):
    """A planner that plans about objects of every kind, of custom ones too."""

    def know(self, kinds: Sequence[type[Object]]) -> None:
        """Plan about these custom kinds from now on, and about no others.

        The view has all objects of each of them already.
        """
        ...


@runtime_checkable
class Asking(Planner, Protocol):
    """A planner that decides on more than objects: on readings."""

    def asks(self, key: Ref, view: View) -> Sequence[Question]:
        """Return what plan will want to read for this key; answered before it is called."""
        ...


@dataclass(frozen=True, slots=True)
class StillView:
    """A view of objects at hand: for tests, and for planning on a snapshot."""

    objects: Sequence[Object] = field(default_factory=tuple)
    as_of: int = 2**62  # so new that nothing speaks of what it has not seen
    readings: Readings = field(default_factory=dict)

    def get[O: Object](self, kind: type[O], name: str, namespace: str = "") -> O | None:
        # As in a cache, no namespace is a place of its own here, and not every one.
        found = (one for one in self.list(kind, namespace) if one.metadata.name == name)
        return next((one for one in found if one.metadata.namespace == namespace), None)

    def list[O: Object](
        self, kind: type[O], namespace: str = "", selector: Selector | None = None
    ) -> Sequence[O]:
        chosen = [
            one
            for one in self.objects
            if isinstance(one, kind)
            and namespace in ("", one.metadata.namespace)
            and (selector is None or selector.matches(one.metadata.labels))
        ]
        return sorted(chosen, key=lambda one: (one.metadata.namespace, one.metadata.name))

    def owned[O: Object](self, kind: type[O], uid: str) -> Sequence[O]:
        return [
            one
            for one in self.list(kind)
            if any(owner.uid == uid for owner in one.metadata.owner_references)
        ]

    def on_node[O: Object](self, kind: type[O], node: str) -> Sequence[O]:
        return [
            one
            for one in self.list(kind)
            if getattr(getattr(one, "spec", None), "node_name", "") == node
        ]

    def revision(self, kind: type[Object]) -> int:  # noqa: ARG002  all kinds are as of one moment
        return self.as_of

    def reading(self, question: Metric) -> Value | Absent:
        return value_in(self.readings, question)

    def table(self, question: Table) -> Values | Absent:
        return values_in(self.readings, question)
