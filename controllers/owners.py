"""Who owns an object, and whether that owner is still there; changes of owners and finalizers."""

from collections.abc import Sequence
from typing import Literal

from cubernetes.api.meta import Object, OwnerReference
from cubernetes.api.registry import kind_of
from cubernetes.reconcile.plan import Patch, View

type Presence = Literal["present", "absent", "unknown"]


def with_owners(thing: Object, owners: Sequence[OwnerReference]) -> Patch:
    """Return the change of owners: of this incarnation, and only as it was seen.

    A list is replaced as a whole, so the resourceVersion guards what others write into it.
    """
    tree = [
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
    return _with_list(thing, "ownerReferences", tree)


def without_finalizer(thing: Object, finalizer: str) -> Patch:
    """Return the change that takes a finalizer away; the last one lets a deleted object go."""
    left = [one for one in thing.metadata.finalizers if one != finalizer]
    return _with_list(thing, "finalizers", left)


def _with_list(thing: Object, field: str, value: Sequence[object]) -> Patch:
    metadata = {"resourceVersion": thing.metadata.resource_version, field: list(value) or None}
    return Patch(type(thing), thing.ref, thing.metadata.uid, {"metadata": metadata})


def presence(owner: OwnerReference, of: Object, view: View) -> Presence:
    """Say whether an owner is there, by its uid: a namesake is somebody else.

    Absent is said only where the view of its kind is as new as the object that names it: an owner
    is older than the reference to it, so such a view would have it. Of a kind that is not ours
    nothing is known.
    """
    kind = owning_kind(owner, of)
    if kind is None:
        return "unknown"
    namespace = of.metadata.namespace if kind.resource.namespaced else ""
    found = view.get(kind, owner.name, namespace)
    if found is not None and found.metadata.uid == owner.uid:
        return "present"
    return "absent" if view.revision(kind) >= revision_of(of) else "unknown"


def owning_kind(owner: OwnerReference, of: Object) -> type[Object] | None:
    """Return the kind of an owner; None where it is not ours.

    As in Kubernetes, also where the owner would be in a namespace and what it owns is in none: such
    a reference says no place to look at.
    """
    kind = kind_of(owner.api_version, owner.kind)
    is_placeless = kind is not None and kind.resource.namespaced and not of.metadata.namespace
    return None if is_placeless else kind


def revision_of(thing: Object) -> int:
    """Return the revision as of which an object was seen; 0 for one that was never stored."""
    text = thing.metadata.resource_version
    return int(text) if text.isascii() and text.isdigit() else 0
