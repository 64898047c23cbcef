"""A road's acknowledgements: its Lease says which revision of EndpointSlices is in force there.

Changes come in bursts: the newest revision is written, at most once in PAUSE_S. What is not written
holds up nobody for longer than a deadline, so that a write which fails is tried again with the
newest revision, and nothing waits for it.
"""

import asyncio
from collections.abc import Awaitable

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import (
    ROAD_NAMESPACE,
    acknowledged,
    applied_revision,
    road_lease,
    road_lease_name,
)
from cubernetes.api.core.node import Node
from cubernetes.api.errors import AlreadyExists, ApiError, NotFound
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s

log = Log(__name__)

PAUSE_S = 0.2  # between two writes
WRITE_DEADLINE_S = 2.0
RETRY_BASE_S = 0.2
RETRY_MAX_S = 5.0


class Acknowledger:
    """The one writer of the Lease `<program>-<node>`. Run `run` beside what applies revisions."""

    def __init__(self, client: Client, env: Env, program: str, node: str) -> None:
        self._client, self._env = client, env
        self._program, self._node = program, node
        self._lease: Lease | None = None  # as the API has it, as far as known
        self._applied = 0
        self._notes: dict[str, str] = {}
        self._due = asyncio.Event()

    def acknowledge(self, revision: int) -> None:
        """Say that callers are led by this revision from now on; nothing waits."""
        if revision != self._applied:
            self._applied = revision
            self._due.set()

    def note(self, key: str, value: str) -> None:
        """Have the Lease say something beside, by an annotation; nothing waits."""
        if self._notes.get(key, "") != value:
            self._notes[key] = value
            self._due.set()

    async def claim(self) -> None:
        """See to it that there is a Lease: from then on this road is waited for.

        Gives up after a deadline: callers are led all the same.
        """
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await self._tried()
        except (ApiError, TransportError, TimeoutError) as error:
            log.warning("road not claimed", program=self._program, why=error)
            self._due.set()

    async def run(self) -> None:
        """Write the newest revision whenever it has changed, until cancelled."""
        failure_count = 0
        while True:
            await self._due.wait()
            self._due.clear()
            pause_s = PAUSE_S
            try:
                await self._tried()
                failure_count = 0
            except (ApiError, TransportError, TimeoutError) as error:
                # The outcome may be unknown, or somebody else has written: read it again.
                self._lease = None
                self._due.set()
                failure_count += 1
                if failure_count == 1:
                    log.warning("not acknowledged", program=self._program, why=error)
                base_s = backoff_s(failure_count, base_s=RETRY_BASE_S, limit_s=RETRY_MAX_S)
                pause_s = jittered_s(base_s, self._env.rng.fraction())
            await self._env.clock.sleep(pause_s)

    async def _tried(self) -> None:
        """Read the Lease if it is not known, and write it; each call has a time of its own."""
        if self._lease is None:
            self._lease = await self._found()
        known = self._lease.metadata.annotations
        is_noted = all(known.get(key, "") == self._notes[key] for key in self._notes)
        is_applied = applied_revision(self._lease) == self._applied
        if self._applied and not (is_applied and is_noted):
            now = self._env.clock.now()
            wanted = acknowledged(self._lease, self._applied, now, self._notes)
            self._lease = await _in_time(self._client.update(wanted))

    async def _found(self) -> Lease:
        """Return the Lease, made where there is none. Raises: NotFound: there is no Node yet."""
        name = road_lease_name(self._program, self._node)
        try:
            return await _in_time(self._client.get(Lease, name, ROAD_NAMESPACE))
        except NotFound:
            node = await _in_time(self._client.get(Node, self._node))
        made = road_lease(self._program, node, self._applied, self._env.clock.now())
        try:
            # By its name, not into the collection: a road may write this Lease and no other.
            return await _in_time(self._client.update(made))
        except AlreadyExists:
            return await _in_time(self._client.get(Lease, name, ROAD_NAMESPACE))


async def _in_time[T](call: Awaitable[T]) -> T:
    """Bound one call. Raises: TimeoutError."""
    async with asyncio.timeout(WRITE_DEADLINE_S):
        return await call
