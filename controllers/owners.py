"""Who owns an object, and how each owner stands; changes of owners and finalizers."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apiextensions.definedkinds import followed_resource
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Object, OwnerReference, Ref, replaced
from cubernetes.reconcile.plan import Patch, View

# What keeps a deleted owner until its dependents have lost it, or are gone.
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
CIRCLE_MAX = 1000  # owners of owners that are looked at for a circle

type Standing = Literal["solid", "waiting", "absent", "unseen", "foreign"]


class Owners(NamedTuple):
    """The owners of an object, by how they stand.

    solid: it is there, and stays as far as anybody knows.
    waiting: its deletion has been asked for, and it waits for its dependents to go before it.
    absent: it is certainly not there: a reference to it dangles.
    unseen: nobody knows yet: the view of its kind lags, or is not there yet.
    foreign: nobody will know: its kind is not ours, or the reference says no place to look at.
    """

    solid: tuple[OwnerReference, ...] = ()
    waiting: tuple[OwnerReference, ...] = ()
    absent: tuple[OwnerReference, ...] = ()
    unseen: tuple[OwnerReference, ...] = ()
    foreign: tuple[OwnerReference, ...] = ()


def owners_of(thing: Object, view: View, kinds: Kinds, gone: Container[str] = ()) -> Owners:
    """Sort the owners of an object; gone has uids of which it is known that they are no more."""
    standings: dict[Standing, list[OwnerReference]] = {}
    for owner in thing.metadata.owner_references:
        standings.setdefault(_standing(owner, thing, view, kinds, gone), []).append(owner)
    return Owners(**{word: tuple(listed) for word, listed in standings.items()})


def unknown_kinds(view: View, kinds: Kinds) -> bool:
    """Whether a custom kind is served whose objects are not in the view yet."""
    if CustomResourceDefinition not in kinds:
        return False
    served = (followed_resource(one) for one in view.list(CustomResourceDefinition))
    known = {one.resource for one in kinds if one.resource.is_custom}
    return any(one is not None and one not in known for one in served)


def is_managed_by(thing: Object, uid: str) -> bool:
    """Tell whether the controller of an object is the one of this uid."""
    owner = thing.metadata.controller
    return owner is not None and owner.uid == uid


def is_waiting(thing: Object) -> bool:
    """It is deleted in the foreground: its dependents go before it."""
    return thing.metadata.is_deleted and FOREGROUND in thing.metadata.finalizers


def blocking_in_circle(
    thing: Object, waiting: Iterable[OwnerReference], view: View, kinds: Kinds
) -> frozenset[str]:
    """Return the uids of those owners that wait for it while, in the end, it waits for them."""
    mine = thing.metadata.uid
    return frozenset(
        owner.uid
        for owner in waiting
        if owner.block_owner_deletion and owner.uid != mine and _leads_to(owner, thing, view, kinds)
    )


def _leads_to(owner: OwnerReference, thing: Object, view: View, kinds: Kinds) -> bool:
    """Tell whether thing is an owner of this owner, over references that block their deletion.

    Only over owners that wait. A way longer than CIRCLE_MAX is taken for one that leads back: in
    doubt nothing waits for ever.
    """
    ways, seen = [owner], {owner.uid}
    while ways:
        found = _found(ways.pop(), thing, view, kinds)
        if found is None or not is_waiting(found):
            continue
        above = [one for one in found.metadata.owner_references if one.block_owner_deletion]
        if any(one.uid == thing.metadata.uid for one in above) or len(seen) > CIRCLE_MAX:
            return True
        ways += [one for one in above if one.uid not in seen]
        seen |= {one.uid for one in above}
    return False


def unblocked(thing: Object, uids: Container[str]) -> tuple[OwnerReference, ...]:
    """Return its owners, of which none of these uids waits for it any more."""
    return tuple(
        replaced(one, block_owner_deletion=False) if one.uid in uids else one
        for one in thing.metadata.owner_references
    )


def refs_of_owners(thing: Object, kinds: Kinds) -> Iterator[Ref]:
    """Yield where its owners are, those of kinds that are ours."""
    for owner in thing.metadata.owner_references:
        kind = _owning_kind(owner, thing, kinds)
        if kind is not None:
            namespace = thing.metadata.namespace if kind.resource.namespaced else ""
            yield Ref(kind.resource.word, namespace, owner.name)


def with_owners(thing: Object, owners: Sequence[OwnerReference]) -> Patch:
    """Return the change of owners: of this incarnation, and only as it was seen.

    A list is replaced as a whole, so the resourceVersion guards what others write into it.
    """
    return with_lists(thing, ownerReferences=owner_trees(owners))


def adopted_by(thing: Object, by: Object) -> Patch:
    """Return the change that makes an object a child of another, beside its owners."""
    return with_owners(thing, (*thing.metadata.owner_references, by.owner_reference()))


def disowned(thing: Object, uid: str) -> Patch:
    """Return the change after which an object is no child of that uid's any more."""
    return with_owners(thing, [one for one in thing.metadata.owner_references if one.uid != uid])


def owner_trees(owners: Sequence[OwnerReference]) -> Sequence[object]:
    """Return owners as a change spells them."""
    return [
        {
            "apiVersion": one.api_version,
            "kind": one.kind,
            "name": one.name,
            "uid": one.uid,
            "controller": one.controller,
            "blockOwnerDeletion": one.block_owner_deletion,
        }
        for one in owners
    ]


def without_finalizer(thing: Object, finalizer: str) -> Patch:
    """Return the change that takes a finalizer away; the last one lets a deleted object go."""
    left = [one for one in thing.metadata.finalizers if one != finalizer]
    return with_lists(thing, finalizers=left)


def with_lists(thing: Object, **lists: Sequence[object]) -> Patch:
    """Return the change of lists of metadata, by their wire names, only as the thing was seen."""
    changed = {field: list(value) or None for field, value in lists.items()}
    metadata = {"resourceVersion": thing.metadata.resource_version, **changed}
    return Patch(type(thing), thing.ref, thing.metadata.uid, {"metadata": metadata})


def _standing(
    owner: OwnerReference, of: Object, view: View, kinds: Kinds, gone: Container[str]
) -> Standing:
    """Say how an owner stands, by its uid: a namesake is somebody else.

    Absent is said only where the view of its kind is as new as the object that names it: an owner
    is older than the reference to it, so such a view would have it.
    """
    kind = _owning_kind(owner, of, kinds)
    if owner.uid in gone:
        return "absent"
    if kind is None:
        return "unseen" if _may_be_followed(owner, of, view, kinds) else "foreign"
    found = _found(owner, of, view, kinds)
    if found is not None:
        return "waiting" if is_waiting(found) else "solid"
    return "absent" if view.revision(kind) >= revision_of(of) else "unseen"


def _may_be_followed(owner: OwnerReference, of: Object, view: View, kinds: Kinds) -> bool:
    """Whether an owner is, or may be, of a custom kind that is served and not in the view yet."""
    is_known = kinds.owning(owner.api_version, owner.kind) is not None
    if is_known or CustomResourceDefinition not in kinds:
        return False
    if view.revision(CustomResourceDefinition) < revision_of(of):
        return True
    group = owner.api_version.rpartition("/")[0]
    return any(
        followed_resource(one) is not None
        for one in view.list(CustomResourceDefinition)
        if (one.spec.group, one.spec.names.kind) == (group, owner.kind)
    )


def _found(owner: OwnerReference, of: Object, view: View, kinds: Kinds) -> Object | None:
    kind = _owning_kind(owner, of, kinds)
    if kind is None:
        return None
    namespace = of.metadata.namespace if kind.resource.namespaced else ""
    found = view.get(kind, owner.name, namespace)
    return found if found is not None and found.metadata.uid == owner.uid else None


def _owning_kind(owner: OwnerReference, of: Object, kinds: Kinds) -> type[Object] | None:
    """Return the kind of an owner; None where it is not ours.

    As in Kubernetes, also where the owner would be in a namespace and what it owns is in none: such
    a reference says no place to look at.
    """
    kind = kinds.owning(owner.api_version, owner.kind)
    is_placeless = kind is not None and kind.resource.namespaced and not of.metadata.namespace
    return None if is_placeless else kind


def revision_of(thing: Object) -> int:
    """Return the revision as of which an object was seen; 0 for one that was never stored."""
    text = thing.metadata.resource_version
    return int(text) if text.isascii() and text.isdigit() else 0
