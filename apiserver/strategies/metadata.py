"""The fields of an object that are the server's: given at creation, kept over every update."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cubernetes.api.causes import uid_for
from cubernetes.api.errors import BadRequest, Problem
from cubernetes.api.meta import Object, ObjectMeta, replaced

GENERATED_CHARS = 5
# So that a generated name is a label also with its letters.
GENERATED_PREFIX_CHARS_MAX = 58


@dataclass(frozen=True, slots=True)
class Stamp:
    """Identity and creation time of a new object."""

    name: str
    namespace: str
    uid: str
    now: datetime


def generated_name(prefix: str, letters: str) -> str:
    return prefix[:GENERATED_PREFIX_CHARS_MAX] + letters


def with_initial_metadata[O: Object](one: O, stamp: Stamp) -> O:
    """Return a new object as the server makes it, whatever its author wrote there."""
    metadata = replaced(
        one.metadata,
        name=stamp.name,
        generate_name=one.metadata.generate_name,
        namespace=stamp.namespace,
        uid=uid_for(stamp.uid, one.parent_uid),
        resource_version="",
        generation=1 if one.resource.counts_changes else 0,
        creation_timestamp=to_the_second(stamp.now),
        deletion_timestamp=None,
        deletion_grace_period_seconds=None,
    )
    return replaced(one, metadata=metadata)


def to_the_second(now: datetime) -> datetime:
    return now.replace(microsecond=0)


def with_server_fields[O: Object](old: O, new: O) -> O:
    """Return new with what the server keeps: an author may leave it out, but not change it."""
    was = old.metadata
    metadata = replaced(
        new.metadata,
        name=new.metadata.name or was.name,
        generate_name=was.generate_name,
        namespace=new.metadata.namespace or was.namespace,
        uid=new.metadata.uid or was.uid,
        resource_version="",
        generation=was.generation,
        creation_timestamp=new.metadata.creation_timestamp or was.creation_timestamp,
        deletion_timestamp=was.deletion_timestamp,
        deletion_grace_period_seconds=was.deletion_grace_period_seconds,
        managed_fields=was.managed_fields,
    )
    return replaced(new, metadata=metadata)


def metadata_problems(old: ObjectMeta, new: ObjectMeta) -> Iterator[Problem]:
    """Yield what an update may not do to metadata."""
    for field, wire_name in (
        ("name", "name"),
        ("namespace", "namespace"),
        ("uid", "uid"),
        ("creation_timestamp", "creationTimestamp"),
    ):
        if getattr(old, field) != getattr(new, field):
            yield Problem(f"metadata.{wire_name}", "field is immutable", "FieldValueForbidden")
    known = frozenset(old.finalizers)
    added = [one for one in new.finalizers if one not in known]
    if old.is_deleted and added:
        message = f"cannot be added to an object that is being deleted: {', '.join(added)[:200]}"
        yield Problem("metadata.finalizers", message, "FieldValueForbidden")


def revision_of(metadata: ObjectMeta) -> int | None:
    """Return the revision that an author saw, None where none is stated.

    Raises: BadRequest: it is not one of ours.
    """
    text = metadata.resource_version
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        message = f"metadata.resourceVersion: {text[:40]!r} is not a resource version"
        raise BadRequest(message)
    return int(text)


def with_next_generation[O: Object](old: O, new: O) -> O:
    """Return new with its generation one up where its spec is another."""
    changed = getattr(old, "spec", None) != getattr(new, "spec", None)
    if not changed or not new.resource.counts_changes:
        return new
    metadata = replaced(new.metadata, generation=old.metadata.generation + 1)
    return replaced(new, metadata=metadata)
