"""Leadership: one of several instances works, by a lease; its late writes are refused.

An instance that does not hold the lease watches for its renewal by its own monotonic clock, never
by the times that the holder wrote: clocks differ. One that holds it stops its work when it could
not renew in time, measured from before the renewal was sent. Should it be late all the same (a
stopped process cannot know), every write carries the fence: the number of the lease's changes of
hands, which the API server compares in the same transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cubernetes.api.coordination.lease import Lease, LeaseSpec
from cubernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client, FencingToken
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import jittered_s

log = Log(__name__)

RELEASE_S = 2.0
RENEW_TRIES = 4  # a call is given at least this part of the time until a holder stops
RETRY_S = 0.5  # between two tries to renew


class LeaseLost(Exception):
    """Another instance holds the lease, or nobody does: it has been deleted."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """name is the lease's, the same for all who compete; identity must be one process' own.

    A holder that does not renew is replaced after duration_s; it stops itself after stop_s,
    which must be less. Both ask each renew_s.
    """

    name: str
    identity: str
    namespace: str = "kube-system"
    duration_s: int = 15
    stop_s: float = 10.0
    renew_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """The lease as it was when it last changed, and when that was noticed, by our clock."""

    revision: str
    at_s: float


@dataclass(slots=True)
class HeldLease:
    """The lease as we last knew it to be ours, and when we asked for that, by our clock.

    doubted_at_s: when we asked first for what may have renewed it since; None: all was answered.
    """

    lease: Lease
    since_s: float
    doubted_at_s: float | None = None


class Election:
    """Takes part in the election for one lease."""

    def __init__(self, client: Client, env: Env, settings: LeaseSettings) -> None:
        if settings.stop_s >= settings.duration_s:
            raise ValueError("a holder must stop before others may take over")
        self._client = client
        self._env = env
        self._settings = settings
        self._sighting = Sighting("", 0.0)
        is_leading = "1 while this instance holds the lease."
        gauge = env.metrics.gauge("cube_lease_is_held", is_leading, "lease")
        self._is_leading = gauge.labels(settings.name)

    async def lead(self, work: Callable[[Client], Awaitable[None]]) -> None:
        """Run work whenever the lease is ours, with a client whose writes are fenced; for ever.

        Work is cancelled when the lease is lost. What work raises is raised, after the lease has
        been given back; so is cancellation.
        """
        while True:
            held = await self._acquire()
            meta, spec = held.lease.metadata, held.lease.spec
            fence = FencingToken(meta.namespace, meta.name, spec.lease_transitions, meta.uid)
            log.info("leading", lease=meta.name, epoch=spec.lease_transitions)
            self._is_leading.set(1)
            task = asyncio.ensure_future(work(self._client.fenced(fence)))
            try:
                await self._renew_beside(task, held)
            finally:
                await _ended(task)
                self._is_leading.set(0)
                log.info("not leading any more", lease=meta.name)
                await self._release(held.lease)
            if not task.cancelled():
                task.result()
                return

    async def _acquire(self) -> HeldLease:
        """Wait until the lease is ours."""
        while True:
            try:
                held = await self._try_acquire()
            except (ApiError, TransportError) as error:
                log.debug("lease not acquired", lease=self._settings.name, error=error)
            else:
                if held is not None:
                    return held
            await self._pause()

    async def _try_acquire(self) -> HeldLease | None:
        settings, clock = self._settings, self._env.clock
        try:
            lease = await self._client.get(Lease, settings.name, settings.namespace)
        except NotFound:
            meta = ObjectMeta(name=settings.name, namespace=settings.namespace)
            asked_at_s = clock.monotonic()
            try:
                made = await self._client.create(Lease(metadata=meta, spec=self._taken(0)))
            except AlreadyExists:
                return None
            return HeldLease(made, asked_at_s)
        # It may be ours by an attempt of unknown outcome, or from before we lost touch. Then too
        # it is taken by a write: only from that moment on do the others wait their full time.
        is_free = lease.spec.holder_identity in ("", settings.identity)
        if not is_free and not self._has_lapsed(lease):
            return None
        taken = replaced(lease, spec=self._taken(lease.spec.lease_transitions + 1))
        # From here on: how long the look before it took costs nothing of the term.
        asked_at_s = clock.monotonic()
        try:
            return HeldLease(await self._client.update(taken), asked_at_s)
        except Conflict:
            return None

    def _taken(self, transitions: int) -> LeaseSpec:
        now = self._env.clock.now()
        return LeaseSpec(
            holder_identity=self._settings.identity,
            lease_duration_seconds=self._settings.duration_s,
            acquire_time=now,
            renew_time=now,
            lease_transitions=transitions,
        )

    def _has_lapsed(self, lease: Lease) -> bool:
        """Tell whether nobody has renewed it for its whole duration, as far as we have watched."""
        now_s = self._env.clock.monotonic()
        revision = lease.metadata.resource_version
        if revision != self._sighting.revision:
            self._sighting = Sighting(revision, now_s)
        # A holder that says nothing has as long as we would have.
        told_s = lease.spec.lease_duration_seconds
        duration_s = self._settings.duration_s if told_s is None else told_s
        return now_s - self._sighting.at_s > duration_s

    async def _renew_beside(self, task: asyncio.Future[None], held: HeldLease) -> None:
        """Renew until the work ends or the lease is lost."""
        settings, is_answered = self._settings, True
        while not task.done():
            left_s = self._left_s(held)
            if left_s <= 0:
                log.warning("lease not renewed in time", lease=settings.name)
                return
            # Counted from when it asked last: answers that take long leave less time to the next.
            spent_s = settings.stop_s - left_s
            pause_s = settings.renew_s - spent_s if is_answered else RETRY_S
            await asyncio.wait([task], timeout=min(max(0.0, pause_s), left_s))
            is_answered = False
            try:
                await self._renew(held)
                is_answered = True
            except LeaseLost:
                log.warning("lease lost", lease=settings.name)
                return
            except (ApiError, TransportError, TimeoutError) as error:
                log.debug("lease not renewed", lease=settings.name, error=error)

    def _left_s(self, held: HeldLease) -> float:
        """Return how long the lease is held yet, if it is not renewed."""
        return held.since_s + self._settings.stop_s - self._env.clock.monotonic()

    def _in_time(self, held: HeldLease) -> asyncio.Timeout:
        """Bound one call: one lost packet must not cost the leadership, nor a slow answer."""
        left_s, share_s = self._left_s(held), self._settings.stop_s / RENEW_TRIES
        return asyncio.timeout(max(0.0, min(left_s, max(left_s / 2, share_s))))

    async def _renew(self, held: HeldLease) -> None:
        """Renew once. What is learned on the way is noted at once: the rest may be cut off.

        Raises: LeaseLost, ApiError, Unreachable, Unknown, TimeoutError.
        """
        asked_at_s = self._env.clock.monotonic()
        if held.doubted_at_s is None:
            held.doubted_at_s = asked_at_s
        try:
            async with self._in_time(held):
                renewed = await self._client.update(self._renewed(held.lease))
        except NotFound as error:
            raise LeaseLost from error
        except Conflict:
            # Perhaps by a renewal of our own of which the answer was lost.
            await self._look_again(held, held.doubted_at_s)
            asked_at_s = self._env.clock.monotonic()
            async with self._in_time(held):
                renewed = await self._client.update(self._renewed(held.lease))
        held.lease, held.since_s, held.doubted_at_s = renewed, asked_at_s, None

    async def _look_again(self, held: HeldLease, doubted_at_s: float) -> None:
        """Take the lease as it is now; one that was renewed is ours from when we first asked."""
        meta, spec = held.lease.metadata, held.lease.spec
        async with self._in_time(held):
            found = await self._client.get(Lease, meta.name, meta.namespace)
        holder = (found.spec.holder_identity, found.spec.lease_transitions)
        if holder != (spec.holder_identity, spec.lease_transitions):
            raise LeaseLost
        # Somebody else may have changed a label: that renews nothing.
        if found.spec.renew_time != spec.renew_time:
            held.since_s = max(held.since_s, doubted_at_s)
        held.lease = found

    def _renewed(self, lease: Lease) -> Lease:
        return replaced(lease, spec=replaced(lease.spec, renew_time=self._env.clock.now()))

    async def _release(self, lease: Lease) -> None:
        """Give the lease back, so that nobody needs to wait for its end; in vain if it is lost."""
        spec = replaced(lease.spec, holder_identity="", lease_duration_seconds=None)
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._client.update(replaced(lease, spec=spec))
        except (ApiError, TransportError, TimeoutError) as error:
            log.debug("lease not given back", lease=self._settings.name, error=error)

    async def _pause(self) -> None:
        await self._env.clock.sleep(jittered_s(self._settings.renew_s, self._env.rng.fraction()))


async def run_as_leader(
    lease: str, program: str, client: Client, env: Env, work: Callable[[Client], Awaitable[None]]
) -> None:
    """Run a program's work: while the lease is ours; at once where it has no name.

    Without a lease somebody else sees to it that there is only one instance.
    """
    if lease:
        settings = LeaseSettings(name=lease, identity=f"{program}-{env.rng.uuid()}")
        await Election(client, env, settings).lead(work)
    else:
        await work(client)


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
