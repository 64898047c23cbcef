"""Strategies: what one kind asks for beyond the verbs, and the answers of most kinds. Pure.

The verbs are the same for every kind. Where kinds differ, a verb asks the strategy of its kind, as
in Kubernetes (rest.RESTCreateStrategy and its siblings). One file holds all that a kind answers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, cast

from apiserver.auth.authorize import NO_BUSINESS, Attempt
from apiserver.settings import Settings
from apiserver.state.items import Seen
from apiserver.storage.store import Entry, Op
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.errors import ApiError, Invalid, Problem
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Identity


class Cluster(Protocol):
    """What a strategy may ask for beside the object. All of it comes from memory."""

    @property
    def settings(self) -> Settings: ...

    @property
    def plain(self) -> Mapping[str, Entry]:
        """What the store keeps under keys that are no object's: claims, members."""
        ...

    def objects(self, kind: type[Object]) -> Iterable[Object]:
        """Return every object of a kind."""
        ...

    def within(self, kind: type[Object], namespace: str) -> Iterable[Object]:
        """Return every object of a kind in a namespace."""
        ...

    def find[K: Object](self, kind: type[K], name: str, namespace: str = "") -> K | None:
        """Return one object, None where there is none."""
        ...

    def fraction(self) -> float:
        """Return a random number in [0, 1)."""
        ...

    async def caught_up(self) -> int:
        """Wait until memory is as new as the store is now.

        Raises: ServiceUnavailable, Timeout.
        """
        ...


class Claimed(ApiError):
    """Another object holds what this one was to get: the verb lets the strategy choose again."""

    code, reason = 409, "Conflict"

    def __init__(self, what: str, key: str, holder: str) -> None:
        super().__init__(f"others took every {what} that was found free; please try again")
        self.key, self.holder = key, holder


class Unread(Exception):
    """A change needs to know who has claimed these keys: the verb reads them with the object."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(", ".join(keys))
        self.keys = keys


class Exhausted(Invalid):
    """As far as memory shows, nothing is left: the verb asks again once it has caught up."""

    def __init__(self, one: Object, field: str, why: str) -> None:
        kind, name = one.resource.kind, one.metadata.name
        refusal = invalid(kind, name, [Problem(field, why)])
        super().__init__(refusal.message, kind=kind, name=name, problems=refusal.problems)


class Verdict(NamedTuple):
    """What is said of an object: why it is refused, what its author is warned of, what is audited.

    notes: by the names of Kubernetes' audit annotations.
    """

    refusal: str = ""
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, str] = {}


ADMITTED = Verdict()


@dataclass(frozen=True, slots=True)
class Draw:
    """By what a strategy chooses among what is free: the same for every try of one write.

    fraction: a random number in [0, 1). taken: keys that were found claimed, with their holders.
    """

    fraction: float
    taken: dict[str, str]


class Strategy[K: Object]:
    """The answers of most kinds; a kind that differs overrides some of them.

    is_charged_as_it_changes: whether quotas count what a change adds, beside what a new one uses.
    node_field: the field that names the node to which an object belongs. A node may list and watch
        only those that name it, and what it may do to one depends on that object.
    is_read_where_named: whether a node may read those that a pod bound to it names, one by one.
    messages: the kind's messages in Kubernetes' protobuf, a table as that of
        apiserver/wire/protomessages.py, where that does not have them.
    is_answered_with_object: whether a deletion answers with the object, as clients of some kinds
        expect, and not with a Status.
    is_deletion_awaited: whether a deletion is answered only once this server's memory shows it.
    """

    is_charged_as_it_changes: ClassVar[bool] = False
    node_field: ClassVar[str] = ""
    is_read_where_named: ClassVar[bool] = False
    messages: ClassVar[str] = ""
    is_answered_with_object: ClassVar[bool] = False
    is_deletion_awaited: ClassVar[bool] = False

    # How an object is prepared, before anything is read.

    def prepared(self, new: K) -> K:
        """Return a new object as it begins; its status is never its author's."""
        return with_status(new, type(cast(Any, new).status)()) if new.resource.has_status else new

    def creation_problems(self, new: K) -> Iterator[Problem]:  # noqa: ARG002  a hook
        """Yield what a new object may not have, but one that stands may."""
        return iter(())

    def updated(self, old: K, new: K) -> K:
        """Return what an update through the main resource makes of old: the status stays."""
        return with_status(new, cast(Any, old).status) if new.resource.has_status else new

    def with_status_of(self, one: K, new: K) -> K:
        """Return an object with the status of another: nothing else goes through /status."""
        return with_status(one, cast(Any, new).status)

    def update_problems(self, old: K, new: K) -> Iterator[Problem]:  # noqa: ARG002  a hook
        """Yield what an update through the main resource may not change, but a subresource may."""
        return iter(())

    async def allocated(
        self,
        cluster: Cluster,  # noqa: ARG002  a hook
        new: K,
        taken: Mapping[str, str],  # noqa: ARG002
    ) -> K:
        """Return a new object with what the cluster gives it: an address, for instance.

        taken: keys that were found claimed in this request, with their holders.

        Raises: ApiError: there is nothing left, or its author's own choice cannot be had.
        """
        return new

    # What is read and written beside the object, in the same transaction.

    def keys_beside(self, name: str, new: K | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Return the keys that a write reads beside the object; new is one to be created."""
        return ()

    def creation(
        self,
        cluster: Cluster,  # noqa: ARG002  a hook
        identity: Identity,  # noqa: ARG002
        new: K,
        seen: Seen,  # noqa: ARG002
    ) -> tuple[K, tuple[Op, ...]]:
        """Return the object that is created, and what is written beside it.

        Raises: ApiError; Claimed: `allocated` is to choose again.
        """
        return new, ()

    def changed(
        self,
        cluster: Cluster,  # noqa: ARG002  a hook
        old: K,  # noqa: ARG002
        new: K,
        seen: Seen,  # noqa: ARG002
        draw: Draw,  # noqa: ARG002
    ) -> tuple[K, tuple[Op, ...]]:
        """Return the object that a change makes of old, and what is written beside it.

        Raises: ApiError; Claimed and Exhausted: ask again; Unread: these keys are to be seen too.
        """
        return new, ()

    def check_change(
        self, cluster: Cluster, identity: Identity, old: K, new: K, seen: Seen
    ) -> None:
        """Refuse a change for what is seen beside the object.

        Raises: ApiError.
        """

    def verdict(
        self,
        cluster: Cluster,  # noqa: ARG002  a hook
        subresource: str,  # noqa: ARG002
        old: K | None,  # noqa: ARG002
        new: K,  # noqa: ARG002
        seen: Seen,  # noqa: ARG002
    ) -> Verdict:
        """Return what is said of an object that is otherwise in order; old is None at creation.

        Raises: Unread: these keys are to be seen too.
        """
        return ADMITTED

    def deletion(self, identity: Identity, one: K, seen: Seen) -> tuple[Op, ...]:  # noqa: ARG002
        """Return what is written beside the request to delete an object."""
        return ()

    def released(self, one: K) -> tuple[Op, ...]:  # noqa: ARG002
        """Return what gives back the claims of an object that is removed."""
        return ()

    # How an object goes.

    def deletion_refusal(self, name: str) -> str:  # noqa: ARG002  a hook
        """Return why an object of this name may not be deleted; empty where it may."""
        return ""

    def grace_s(self, one: K, asked_s: int | None) -> int:  # noqa: ARG002  a hook
        """Return how long an object is given to end; asked_s is what the request says."""
        return 0

    def terminating(self, one: K) -> K:
        """Return an object whose deletion has been asked for, with what its kind tells of that."""
        return one

    def is_held(self, one: K) -> bool:  # noqa: ARG002  a hook
        """Whether something beside finalizers and grace keeps a deleted object from removal."""
        return False

    # What others ask of the kind.

    def node_of(self, one: K) -> str:  # noqa: ARG002  a hook
        """Return the node that an object belongs to; empty where it belongs to none."""
        return ""

    def access_refusal(  # a hook
        self,
        node: str,  # noqa: ARG002
        attempt: Attempt,  # noqa: ARG002
        one: K | None,  # noqa: ARG002
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        """Return why a node may not attempt this, by its verb and name; empty where it may.

        one: the object that is there, where the kind has a node_field and the attempt a name.
        is_named: whether a pod bound to the node names it, where is_read_where_named.
        """
        return NO_BUSINESS

    def node_refusal(self, node: str, subresource: str, old: K | None, new: K) -> str:  # noqa: ARG002
        """Return why a node may not write this content; empty where it may.

        old is None at creation.
        """
        return ""

    def gateway_refusal(self, node: str, old: K | None, new: K) -> str:  # noqa: ARG002  a hook
        """Return why the gateway of a node may not write this content; empty where it may."""
        return ""

    def vital_bytes_max(self, namespace: str) -> int:  # noqa: ARG002  a hook
        """Return up to how many bytes an object is written also while the store is nearly full.

        0: a kind without which the cluster lives on.
        """
        return 0


def with_status[O: Object](one: O, status: object) -> O:
    return replaced(one, status=status)
