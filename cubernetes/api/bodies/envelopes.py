"""Bodies that are not kept: lists, watch events, errors, options, bindings and scales."""

from typing import Literal

import msgspec

from cubernetes.api.core.event import ObjectReference
from cubernetes.api.errors import ApiError, Problem, error_for
from cubernetes.api.meta import Count, Model, Object, ObjectMeta, shown, wire

# The header by which a leader states its lease: <namespace>/<lease>:<leaseTransitions>:<uid>.
FENCE_HEADER = "cubernetes-fence"


class ListMeta(Model):
    """As of when a list is, and what is left of it.

    resource_version: the revision that the list shows, and a watch can begin at.
    continue_: where the next page begins; empty where this is the last.
    remaining_item_count: how many are on the pages behind, where that is known.
    """

    resource_version: str = ""
    continue_: str = wire("continue", "")
    remaining_item_count: int | None = None


class Listing[O: Object](Model):
    """A page of objects as of one revision.

    metadata: as of when it is, and what is left.
    items: the objects.
    """

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: tuple[O, ...] = ()
    api_version: str = ""
    kind: str = ""


class Cause(Model):
    """One thing that is wrong.

    reason: what, as one word for programs.
    message: what, as a sentence for people.
    field: where: `spec.containers[0].image`.
    """

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Model):
    """What a call was about, and everything that was wrong with it.

    name: the object's name.
    group: the group of its kind.
    kind: its kind, or its plural.
    uid: which incarnation of that name it was.
    causes: everything that was wrong.
    retry_after_seconds: when to try again, where that may help.
    """

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0


class Status(Model):
    """How a call ended: the body of every error, and of a delete that left nothing.

    metadata: empty.
    status: whether it succeeded.
    message: what happened, as a sentence for people.
    reason: what happened, as one word for programs.
    details: what it was about, and everything that was wrong.
    code: the HTTP status code.
    """

    api_version: str = shown("v1")
    kind: str = shown("Status")
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    status: Literal["Success", "Failure"] = shown("Failure")
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int = 0


def status_of(error: ApiError) -> Status:
    """Return the Status that tells of an error."""
    causes = tuple(
        Cause(reason=one.reason, message=one.message, field=one.field) for one in error.problems
    )
    details = StatusDetails(
        name=error.name,
        group=error.group,
        kind=error.kind,
        causes=causes,
        retry_after_seconds=error.retry_after_s,
    )
    return Status(message=error.message, reason=error.reason, code=error.code, details=details)


def error_of(status: Status) -> ApiError:
    """Return the error that a Status tells of."""
    details = status.details or StatusDetails()
    return error_for(status.code, status.reason)(
        status.message,
        kind=details.kind,
        group=details.group,
        name=details.name,
        problems=[Problem(one.field, one.message, one.reason) for one in details.causes],
        retry_after_s=details.retry_after_seconds,
    )


class Preconditions(Model):
    """What must hold of an object for it to be deleted.

    uid: it is this incarnation.
    resource_version: nobody has written it since.
    """

    uid: str = ""
    resource_version: str = ""


type Propagation = Literal["Background", "Orphan", "Foreground"]


class DeleteOptions(Model):
    """How to delete.

    grace_period_seconds: how long a pod may take to end; 0 is at once. Left out, as its spec says.
    preconditions: what must hold of the object.
    propagation_policy: whether what it owns goes after it, before it, or stays.
    orphan_dependents: the older way to say Orphan.
    dry_run: All: decide and answer, but write nothing.
    """

    api_version: str = ""
    kind: str = ""
    grace_period_seconds: Count | None = None
    preconditions: Preconditions | None = None
    propagation_policy: Propagation | None = None
    orphan_dependents: bool | None = None
    dry_run: tuple[Literal["All"], ...] = ()


class Binding(Model):
    """Puts the pod `metadata.name` on the node `target.name`.

    target: the node.
    """

    api_version: str = shown("v1")
    kind: str = shown("Binding")
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    target: ObjectReference


class Eviction(Model):
    """Asks that the pod `metadata.name` be deleted, if the budgets of disruption allow it.

    delete_options: how it is deleted.
    """

    api_version: str = shown("policy/v1")
    kind: str = shown("Eviction")
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    delete_options: DeleteOptions | None = None


class ScaleSpec(Model):
    """How large a workload should be.

    replicas: how many pods there should be.
    """

    replicas: Count = shown(0)


class ScaleStatus(Model):
    """How large a workload is.

    replicas: how many pods there are.
    selector: which pods they are, in the query form of a label selector.
    """

    replicas: Count = shown(0)
    selector: str = ""


class Scale(Model):
    """The size of a workload, whatever its kind."""

    api_version: str = shown("autoscaling/v1")
    kind: str = shown("Scale")
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: ScaleSpec = msgspec.field(default_factory=ScaleSpec)
    status: ScaleStatus = msgspec.field(default_factory=ScaleStatus)


type EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]


class WatchEvent(Model):
    """One line of a watch; object is an object, a bookmark's metadata, or a Status."""

    type: EventType
    object: msgspec.Raw


class PartialMeta(Model, forbid_unknown_fields=False):
    """An object of any kind, of which only the identity is read."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    api_version: str = ""
    kind: str = ""
