"""The announcer's loop: show that this node lives, see who else does, hold what is this node's.

While no service has an address of the pool it does nothing at all. A node that cannot renew its own
Lease changes nothing: what it announces stays announced while the API server is away, and it takes
over nothing on the word of old news.
"""

import asyncio
from collections.abc import Mapping, Sequence

from cubernetes.api.coordination.lease import Lease, LeaseSpec
from cubernetes.api.core.node import Node
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from proxy.announce.addresses import Interface, announcement, send
from proxy.announce.choice import (
    DEAD_AFTER_S,
    RENEW_S,
    Liveness,
    candidates_for,
    held_by,
    is_announced,
)

log = Log(__name__)

NAMESPACE, PREFIX = "kube-system", "announcer-"
LABEL = "cubernetes.io/announcer"
TICK_S = 0.2
# While there is nothing to announce, whether there is now.
IDLE_S = 1.0
# How often the interface is looked at, where nothing is to change.
LOOK_S = 4.0
# A gratuitous ARP may be lost: so often it is sent, one in each tick.
ANNOUNCEMENTS = 4
RENEW_DEADLINE_S = 1.0
RETRY_MAX_S = 10.0


class Announcer:
    """Holds this node's share of the addresses. services and slices are the proxy's own caches."""

    def __init__(
        self,
        client: Client,
        env: Env,
        node: str,
        services: Informer[Service],
        slices: Informer[EndpointSlice],
    ) -> None:
        self._client, self._env, self._node = client, env, node
        self._services, self._slices = services, slices
        self._nodes = Informer(client, Node, env)
        self._leases = Informer(client, Lease, env, namespace=NAMESPACE, labels=LABEL)
        self._liveness = Liveness()
        self._renewed_s = float("-inf")
        self._steady_s = 0.0
        self._held: frozenset[str] | None = None
        self._look_s = 0.0
        self._untold: dict[str, tuple[str, bytes, int]] = {}
        self._failure_count = 0
        self._retry_s = 0.0
        # Who stands ready, unless something has changed since.
        self._known: Mapping[str, Sequence[str]] | None = None
        for informer in (self._services, self._slices, self._nodes):
            informer.on_change(self._forget)

    async def run(self) -> None:
        """Run until cancelled. What is announced stays so: the kernel goes on answering."""
        await self._services.synced.wait()
        while not any(map(is_announced, self._services.cache.list())):
            await self._safely({})
            await self._env.clock.sleep(IDLE_S)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run())
            tasks.create_task(self._leases.run())
            tasks.create_task(self._renew())
            tasks.create_task(self._keep())

    async def _keep(self) -> None:
        for informer in (self._nodes, self._leases, self._slices):
            await informer.synced.wait()
        while True:
            now_s = self._env.clock.monotonic()
            for one in self._leases.cache.list():
                name = one.metadata.name.removeprefix(PREFIX)
                self._liveness.note(name, one.spec.renew_time, now_s)
            if self._is_current(now_s):
                await self._safely(self._candidates())
            await self._env.clock.sleep(TICK_S)

    def _is_current(self, now_s: float) -> bool:
        """Tell whether what this node knows of others is news, and has been for a while."""
        return now_s - self._renewed_s <= DEAD_AFTER_S and now_s >= self._steady_s

    async def _safely(self, candidates: Mapping[str, Sequence[str]]) -> None:
        """Hold what is this node's; trouble is told once a streak, and tried again."""
        now_s = self._env.clock.monotonic()
        if now_s < self._retry_s:
            return
        wanted = held_by(self._node, candidates, self._liveness.alive(now_s))
        try:
            if wanted != self._held or now_s >= self._look_s:
                await self._hold(wanted)
                self._held, self._look_s = wanted, now_s + LOOK_S
            self._tell()
        except (CommandFailed, OSError) as error:
            self._held = None
            self._failure_count += 1
            if self._failure_count == 1:
                log.warning("addresses not announced", why=error)
            pause_s = backoff_s(self._failure_count, base_s=TICK_S, limit_s=RETRY_MAX_S)
            self._retry_s = now_s + jittered_s(pause_s, self._env.rng.fraction())
            return
        self._failure_count = 0

    def _forget(self, _old: object, _new: object) -> None:
        self._known = None

    def _candidates(self) -> Mapping[str, Sequence[str]]:
        if self._known is None:
            self._known = candidates_for(
                self._services.cache.list(), self._slices.cache.list(), self._nodes.cache.list()
            )
        return self._known

    async def _hold(self, wanted: frozenset[str]) -> None:
        own = self._own()
        interface = Interface(self._env.commands, own.address if own else "")
        held = await interface.held()
        for address in sorted(held.keys() - wanted):
            await interface.remove(address, held[address])
            self._untold.pop(address, None)
            log.info("address let go", address=address)
        for address in sorted(wanted - held.keys()):
            device, mac = await interface.add(address)
            self._untold[address] = (device, mac, ANNOUNCEMENTS)
            log.info("address announced", address=address, device=device)

    def _own(self) -> Node | None:
        found = (one for one in self._nodes.cache.list() if one.metadata.name == self._node)
        return next(found, None)

    def _tell(self) -> None:
        for address, (device, mac, left) in list(self._untold.items()):
            send(device, announcement(address, mac))
            self._untold[address] = (device, mac, left - 1)
            if left <= 1:
                del self._untold[address]

    async def _renew(self) -> None:
        """Renew this node's Lease while it stands ready for an address."""
        await self._nodes.synced.wait()
        await self._slices.synced.wait()
        while True:
            began_s = self._env.clock.monotonic()
            if any(self._node in names for names in self._candidates().values()):
                try:
                    async with asyncio.timeout(RENEW_DEADLINE_S):
                        await self._client.update(self._lease())
                    if began_s - self._renewed_s > DEAD_AFTER_S:
                        # Others that were cut off too need as long to be seen again.
                        self._steady_s = began_s + DEAD_AFTER_S
                    self._renewed_s = began_s
                except (ApiError, TransportError, TimeoutError) as error:
                    log.debug("announcer's lease not renewed", why=error)
            else:
                self._renewed_s = began_s
            await self._env.clock.sleep(RENEW_S)

    def _lease(self) -> Lease:
        own = self._own()
        meta = ObjectMeta(
            name=PREFIX + self._node,
            namespace=NAMESPACE,
            labels={LABEL: "true"},
            owner_references=(replaced(own.owner_reference(), controller=False),) if own else (),
        )
        spec = LeaseSpec(
            holder_identity=self._node,
            lease_duration_seconds=2,
            renew_time=self._env.clock.now(),
        )
        return Lease(metadata=meta, spec=spec)
