"""Records: tell people what happened, once for each thing, without ever holding up the work.

The same thing happening again raises a count. Records are the least that matters: they wait in a
bounded place, are written behind the work, and are dropped where there are too many or where the
API does not take them.

A program may *hold* them while it has work: then they are written once it has none, or some seconds
later, or where half of their place is taken.
"""

import asyncio
import hashlib
from collections import OrderedDict

from cubernetes.api.core.event import MESSAGE_MAX, Event, EventSource, ObjectReference
from cubernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.plan import Record

log = Log(__name__)

NAME_CHARS = 230  # of an object's name, in that of its record
PENDING_MAX = 256
HELD_S_MAX = 5.0  # so long records wait for a program that has work all the time
KNOWN_MAX = 1024
# Kubernetes' bounds for what one source may say of one object: a burst, then one in five minutes.
BURST = 25
REFILL_S = 300.0


class Allowances:
    """How much may still be said of each object: a token bucket for each, the oldest forgotten."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, uid: str, now_s: float) -> bool:
        tokens, since_s = self._buckets.pop(uid, (float(BURST), now_s))
        tokens = min(float(BURST), tokens + (now_s - since_s) / REFILL_S)
        is_allowed = tokens >= 1
        self._buckets[uid] = (tokens - 1 if is_allowed else tokens, now_s)
        if len(self._buckets) > KNOWN_MAX:
            self._buckets.popitem(last=False)
        return is_allowed


class EventRecorder:
    """Writes the records of one program."""

    def __init__(
        self,
        client: Client,
        env: Env,
        component: str,
        host: str = "",
        *,
        pending_max: int = PENDING_MAX,
    ) -> None:
        self._client = client
        self._env = env
        self._source = EventSource(component=component, host=host)
        self._pending: dict[tuple[str, str], tuple[Record, int]] = {}
        self._known: OrderedDict[tuple[str, str], Event] = OrderedDict()
        self._allowances = Allowances()
        self._wake = asyncio.Event()
        self._is_failing = False
        self._pending_max = pending_max
        # Set while records may be written as they come.
        self._is_free = asyncio.Event()
        self._is_free.set()

    def hold(self) -> None:
        """Let records wait: work that matters more has come."""
        self._is_free.clear()

    def release(self) -> None:
        """Write what waits: the work is done."""
        self._is_free.set()

    def record(self, record: Record) -> None:
        """Note that something happened; never waits, never fails."""
        key = self._place_of(record)
        _, count = self._pending.get(key, (record, 0))
        if count == 0:
            if len(self._pending) >= self._pending_max:
                log.debug("record dropped, too many wait", about=record.about.ref)
                return
            now_s = self._env.clock.monotonic()
            if not self._allowances.spend(record.about.metadata.uid, now_s):
                return
            about = record.about
            log.info(
                "event",
                reason=record.reason,
                about=about.ref,
                told=record.message,
                cause=about.cause,
            )
        self._pending[key] = (record, count + 1)
        self._wake.set()
        if len(self._pending) * 2 > self._pending_max:
            self._is_free.set()

    async def run(self) -> None:
        """Write what was noted, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await wait_until(self._is_free, HELD_S_MAX)
                self._is_free.set()
                key = next(iter(self._pending))
                record, count = self._pending.pop(key)
                await self._write_or_drop(key, record, count)
                # The program has its turn first, also where no write makes us wait.
                await asyncio.sleep(0)

    async def _write_or_drop(self, key: tuple[str, str], record: Record, count: int) -> None:
        try:
            event = await self._write(key, record, count)
        except (ApiError, TransportError) as error:
            self._known.pop(key, None)
            if not self._is_failing:
                log.warning("records are dropped", about=record.about.ref, error=error)
            self._is_failing = True
            return
        self._is_failing = False
        self._known[key] = event
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    async def _write(self, key: tuple[str, str], record: Record, count: int) -> Event:
        known = self._known.get(key)
        if known is not None:
            try:
                return await self._client.update(self._counted(known, count))
            except (Conflict, NotFound):
                # Another instance counted, or the record has aged out.
                self._known.pop(key)
        namespace, name = key
        try:
            return await self._client.create(self._event(key, record, count))
        except AlreadyExists:
            # A node may write events and not read them; what a patch answers with is enough.
            now = {"lastTimestamp": self._env.clock.now().isoformat()}
            found = await self._client.patch(Event, name, namespace, now)
            return await self._client.update(self._counted(found, count))

    def _counted(self, event: Event, count: int) -> Event:
        return replaced(event, count=event.count + count, last_timestamp=self._env.clock.now())

    def _place_of(self, record: Record) -> tuple[str, str]:
        """Return namespace and name: the same for the same thing at any time."""
        meta = record.about.metadata
        told: tuple[str, ...] = (
            meta.uid,
            record.type,
            record.reason,
            record.message,
            self._source.component,
        )
        # Of the whole object the name stays what it was before there were parts.
        told += (record.field_path,) if record.field_path else ()
        digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        return meta.namespace or "default", f"{meta.name[:NAME_CHARS].rstrip('-.')}.{digest}"

    def _event(self, key: tuple[str, str], record: Record, count: int) -> Event:
        namespace, name = key
        now = self._env.clock.now()
        return Event(
            metadata=ObjectMeta(name=name, namespace=namespace),
            involved_object=reference_to(record.about, record.field_path),
            reason=record.reason,
            message=record.message[:MESSAGE_MAX],
            type=record.type,
            source=self._source,
            first_timestamp=now,
            last_timestamp=now,
            count=count,
            reporting_component=self._source.component,
            reporting_instance=self._source.host,
        )


def reference_to(one: Object, field_path: str = "") -> ObjectReference:
    meta = one.metadata
    return ObjectReference(
        api_version=one.api_version,
        kind=one.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        field_path=field_path,
    )
