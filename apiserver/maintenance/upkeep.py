"""Keeping the store below its quota: history forgotten in time, the file made smaller, alarms off.

A look every few seconds. What is to be done is decided in room.py; here it is done, and told: to
the log, as an Event, and as figures.
"""

from apiserver.backend import Backend
from apiserver.maintenance import bootstrap
from apiserver.state.keys import ROOT
from apiserver.state.room import is_to_trim, is_worth_defragmenting, may_disarm
from apiserver.storage.store import StoreError, Usage
from apiserver.verbs.write import create_object
from cubernetes.api.core.event import MESSAGE_MAX, Event, EventSource, ObjectReference
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import ObjectMeta
from cubernetes.host.log import Log

LOOK_S = 2.0
# How much history is kept while it is forgotten sooner: watches that are this far behind go on.
LOOKS_KEPT_MAX = 15
ABOUT = ObjectReference(kind="Namespace", name="kube-system", api_version="v1")

log = Log(__name__)


class Upkeep:
    """Looks after the store of one server; several servers may do so at once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # The revisions of the last looks: history is forgotten up to the oldest.
        self._revisions: list[int] = []
        self._usage = Usage(0, 0, 0)
        # The revision up to which history was forgotten at the last defragmentation.
        self._defragmented_revision = 0
        # What the last Event said. One that a full store did not take is owed.
        self._told_tight = False
        figures = backend.env.metrics.gauge(
            "cube_apiserver_store_bytes", "The store's file, what is used of it, its quota.", "what"
        )
        figures.labels("size").set_function(lambda: self._usage.size_bytes)
        figures.labels("used").set_function(lambda: self._usage.used_bytes)
        figures.labels("quota").set_function(lambda: self._usage.quota_bytes)

    async def run(self) -> None:
        """Look for ever; a store without a quota is left to itself."""
        while True:
            try:
                await self.look()
            except StoreError as trouble:
                log.warning("the store is not looked after", trouble=trouble)
            else:
                if not self._usage.quota_bytes:
                    return
            await self._backend.env.clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once, and do what is to be done.

        Raises: StoreError.
        """
        backend, room = self._backend, self._backend.room
        usage = self._usage = await backend.store.usage()
        if not usage.quota_bytes:
            return
        _, revision = await backend.store.get(ROOT)
        self._revisions = [*self._revisions, revision][-LOOKS_KEPT_MAX:]
        room.looked(usage, backend.env.clock.monotonic())
        if is_to_trim(usage):
            usage = await self._trimmed(usage, is_urgent=room.is_tight)
            room.looked(usage, backend.env.clock.monotonic())
        room.kind_bytes = self._kind_bytes() if room.is_filling else {}
        if room.is_tight != self._told_tight:
            await self._tell()

    async def _trimmed(self, usage: Usage, *, is_urgent: bool) -> Usage:
        """Forget history, give back what is free, and let the store take what is put again."""
        store = self._backend.store
        revision = self._revisions[-1] if is_urgent else self._revisions[0]
        await store.compact(revision)
        usage = await store.usage()
        # A full store takes no write that would measure what the compaction has freed.
        is_untold = usage.is_full and revision > self._defragmented_revision
        if is_untold or is_worth_defragmenting(usage):
            log.info("defragmenting", size_bytes=usage.size_bytes, used_bytes=usage.used_bytes)
            await store.defragment()
            self._defragmented_revision = revision
            usage = await store.usage()
        if may_disarm(usage):
            await store.disarm()
            log.warning("the store was full and takes writes again", size_bytes=usage.size_bytes)
            usage = await store.usage()
        self._usage = usage
        return usage

    def _kind_bytes(self) -> dict[str, int]:
        """Return how much objects of each kind take."""
        kinds = self._backend.mirror.kinds.items()
        return {
            kind.resource.plural: sum(len(item.content) for item in cache.items.values())
            for kind, cache in kinds
        }

    async def _tell(self) -> None:
        room = self._backend.room
        reason = "StoreNearlyFull" if room.is_tight else "StoreHasRoom"
        message = room.sentence() if room.is_tight else "the store takes all writes again"
        log.warning("the store's room has changed", reason=reason, message=message)
        now = self._backend.env.clock.now()
        name = f"store.{self._backend.env.rng.chars(10)}"
        event = Event(
            metadata=ObjectMeta(name=name, namespace="default"),
            involved_object=ABOUT,
            reason=reason,
            message=message[:MESSAGE_MAX],
            type="Warning" if room.is_tight else "Normal",
            source=EventSource(component="apiserver"),
            first_timestamp=now,
            last_timestamp=now,
        )
        try:
            await create_object(self._backend, bootstrap.call_for(event), event)
        except ApiError as trouble:
            log.warning("the store's room is told later", trouble=trouble)
        else:
            self._told_tight = room.is_tight
