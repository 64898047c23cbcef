"""Carry out what a plan asks for: each action once, under its precondition, and never in vain.

Every method returns when the API has answered, tells the barrier what the view has to show before
the next plan, and raises what the loop has to retry. What is done already is not an error: a plan
is made on a view that may be behind, and a repeated action must be harmless.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from cubernetes.api.causes import cause_of
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import AlreadyExists, Conflict, NotFound
from cubernetes.api.meta import Object, Ref
from cubernetes.client.cache import revision_of
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.rest import Client
from cubernetes.host.log import Log
from cubernetes.reconcile.barrier import Barrier, Outdated
from cubernetes.reconcile.plan import (
    Action,
    Bind,
    Create,
    Delete,
    Evict,
    Finalize,
    Keep,
    Patch,
    Record,
    RequeueAfter,
    Update,
    UpdateStatus,
)

log = Log(__name__)


class NameTaken(Exception):
    """The name of a child is held by an object of another owner, or by one that is going."""

    def __init__(self, ref: Ref) -> None:
        super().__init__(f"{ref} exists and is not ours")
        self.ref = ref


class Records(Protocol):
    """Where records go: see records.py."""

    def record(self, record: Record) -> None: ...


class Numbers(Protocol):
    """Where numbers go that are to be kept: see journal.py."""

    def keep(self, action: Keep) -> None: ...


class Executor:
    """The hands of one planner; without a journal no numbers are kept."""

    def __init__(
        self, client: Client, barrier: Barrier, records: Records, journal: Numbers | None = None
    ) -> None:
        self._client = client
        self._barrier = barrier
        self._records = records
        self._journal = journal

    async def carry_out(self, action: Action) -> None:
        """Do one thing.

        Raises: ApiError, Unreachable, Unknown, NameTaken.
        """
        try:
            await self._do(action)
        except (UnknownOutcome, Conflict, NotFound):
            # The view is behind, or nobody knows: the next plan must see what there is.
            if (target := _target(action)) is not None:
                self._barrier.doubted(*target)
            raise

    async def _do(self, action: Action) -> None:
        match action:
            case Create(one):
                await self._create(one)
            case Update() | UpdateStatus() | Finalize():
                await self._replace(action)
            case Patch():
                await self._patch(action)
            case Delete() | Evict():
                remove = self._delete(action) if isinstance(action, Delete) else self._evict(action)
                await remove
            case Bind():
                await self._bind(action)
            case Record() | Keep() | RequeueAfter():
                self._tell(action)

    def _tell(self, action: Record | Keep | RequeueAfter) -> None:
        match action:
            case Record():
                self._records.record(action)
            case Keep():
                if self._journal is not None:
                    self._journal.keep(action)
            case RequeueAfter():
                raise TypeError("RequeueAfter is the loop's, there is nothing to carry out")

    async def _replace(self, action: Update | UpdateStatus | Finalize) -> None:
        one = action.object
        # The view shows exactly this already: a write would change nothing.
        if self._barrier.seen(type(one), one.ref) == one:
            return
        match action:
            case Update():
                write = self._client.update
            case UpdateStatus():
                write = self._client.update_status
            case Finalize():
                write = self._client.finalize
        self._wrote(await write(one))

    def _wrote(self, one: Object) -> None:
        self._barrier.wrote(type(one), revision_of(one))

    async def _create(self, one: Object) -> None:
        try:
            made = await self._client.create(one)
            self._wrote(made)
            log.info("created", object=made.ref, cause=made.cause)
        except AlreadyExists as error:
            meta = one.metadata
            found = await self._client.get(type(one), meta.name, meta.namespace)
            self._wrote(found)
            if not _is_our_child(found, one):
                raise NameTaken(found.ref) from error

    async def _patch(self, patch: Patch) -> None:
        ref = patch.ref
        seen = self._barrier.seen(patch.kind, ref)
        is_known = seen is not None and seen.metadata.uid == patch.uid
        if seen is not None and is_known and changes_nothing(codec.to_tree(seen), patch.change):
            return
        meta = {**patch.change.get("metadata", {}), "uid": patch.uid}
        change = {**patch.change, "metadata": meta}
        try:
            self._wrote(
                await self._client.patch(
                    patch.kind, ref.name, ref.namespace, change, subresource=patch.subresource
                )
            )
        except NotFound:
            # Gone meanwhile; the view will show it, and the next plan knows what follows.
            self._barrier.doubted(patch.kind, ref)

    async def _delete(self, delete: Delete) -> None:
        ref = delete.ref
        seen = self._barrier.seen(delete.kind, ref)
        answered_at = 0
        try:
            revision = await self._client.delete(
                delete.kind,
                ref.name,
                ref.namespace,
                uid=delete.uid,
                resource_version=delete.resource_version,
                grace_s=delete.grace_s,
                propagation=delete.propagation,
            )
            answered_at = int(revision or 0)
            log.info("deleted", object=ref, cause=cause_of(delete.uid))
        except NotFound:
            pass
        except Conflict:
            if delete.resource_version:
                raise
            # Another incarnation has the name: the one that was meant is gone.
        if seen is not None and seen.metadata.uid == delete.uid:
            version = seen.metadata.resource_version
            state = Outdated(ref, delete.uid, version, answered_at or 2**62)
            self._barrier.outdated(delete.kind, state)

    async def _evict(self, evict: Evict) -> None:
        ref = evict.ref
        seen = self._barrier.seen(Pod, ref)
        try:
            await self._client.evict(ref.name, ref.namespace, uid=evict.uid)
            log.info("evicted", object=ref, cause=cause_of(evict.uid))
        except (NotFound, Conflict):
            # It is gone, or another incarnation has the name: the view will show it.
            self._barrier.doubted(Pod, ref)
            return
        if seen is not None and seen.metadata.uid == evict.uid:
            self._barrier.outdated(Pod, Outdated(ref, evict.uid, seen.metadata.resource_version))

    async def _bind(self, bind: Bind) -> None:
        ref = bind.ref
        seen = self._barrier.seen(Pod, ref)
        await self._client.bind(ref.name, ref.namespace, bind.uid, bind.node)
        log.info("bound", object=ref, node=bind.node, cause=cause_of(bind.uid))
        if isinstance(seen, Pod) and not seen.spec.node_name:
            meta = seen.metadata
            self._barrier.outdated(Pod, Outdated(ref, meta.uid, meta.resource_version))


def _target(action: Action) -> tuple[type[Object], Ref] | None:
    """Return which object an action writes."""
    match action:
        case Create(one) | Update(one) | UpdateStatus(one) | Finalize(one):
            return type(one), one.ref
        case Patch(kind, ref) | Delete(kind, ref):
            return kind, ref
        case Bind(ref) | Evict(ref):
            return Pod, ref
        case _:
            return None


def _is_our_child(found: Object, wanted: Object) -> bool:
    ours, theirs = wanted.metadata.controller, found.metadata.controller
    uid = ours.uid if ours is not None else ""
    their_uid = theirs.uid if theirs is not None else ""
    return uid == their_uid and not found.metadata.is_deleted


def changes_nothing(tree: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    """Tell whether merging change (RFC 7386) into a JSON tree leaves it as it is."""
    for key, wanted in change.items():
        found = tree.get(key)
        if isinstance(wanted, Mapping):
            if not isinstance(found, Mapping) or not changes_nothing(found, wanted):
                return False
        elif found != wanted or (wanted is not None and key not in tree):
            return False
    return True
