"""The nftables backend: each service to elements of maps; those that differ are written."""

import asyncio
from functools import partial

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Ref
from cubernetes.host.command import Commands
from cubernetes.host.packetfilter.conntrack import Flows
from cubernetes.host.packetfilter.flows import stale_flows
from proxy.services.apply import ServiceRules
from proxy.services.backend import Outcome, Snapshot
from proxy.services.flows import wide_fronts
from proxy.services.nftables.saved import decoded, encoded
from proxy.services.nftables.skeleton import SERVICES, forwarding
from proxy.services.nftables.table import Table
from proxy.services.nftables.wanted import Difference, Wanted
from proxy.services.served import Facts, Key, Served, key_of, served_by

# Services that are compiled before other work of the program has its turn: a few milliseconds.
SERVICES_AT_ONCE = 16
# Keys whose messages are made on the loop; a thread for so few would only be later.
UNWRITTEN_AT_ONCE = 256


class NftablesBackend:
    """Implements `proxy.services.backend.Backend`."""

    def __init__(
        self,
        table: Table,
        commands: Commands,
        beside: ServiceRules,
        facts: Facts,
    ) -> None:
        """beside: the rules in iptables, of which it keeps those that a table cannot have."""
        self._table, self._facts = table, facts
        self._beside, self._forwarding = beside, forwarding(facts)
        self._flows = Flows(commands)
        self._wanted = Wanted(facts)
        self._services: dict[Key, Service] = {}
        self._slices: dict[Key, dict[Ref, EndpointSlice]] = {}
        self._stale: set[Key] = set()
        # Whether the kernel holds what was written last, as far as is known.
        self._is_known = False
        # At this generation the table was found to be right.
        self._right_at: int | None = None
        self._version = 0

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        for one in (old, new):
            if one is not None:
                self._stale.add(key_of(one))
        if new is not None:
            self._services[key_of(new)] = new
        elif old is not None:
            self._services.pop(key_of(old), None)

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if old is not None and (key := _service_of(old)):
            self._stale.add(key)
            mine = self._slices.get(key, {})
            mine.pop(old.ref, None)
            if not mine:
                self._slices.pop(key, None)
        if new is not None and (key := _service_of(new)):
            self._stale.add(key)
            self._slices.setdefault(key, {})[new.ref] = new

    @property
    def skipped(self) -> tuple[str, ...]:
        return self._wanted.skipped

    async def apply(self) -> Outcome:
        await self._compile()
        if not self._is_known:
            return await self._compared(self._wanted)
        return await self._write(self._wanted, await self._unwritten())

    async def check(self) -> Outcome:
        await self._compile()
        beside = await self._beside.check(self._forwarding) if self._is_known else None
        # Before the reading: what changes after it is found by the next look.
        now = self._table.generation_now()
        if self._is_known and now is not None and now == self._right_at:
            done = await self._write(self._wanted, await self._unwritten())
        else:
            done = await self._compared(self._wanted)
            self._right_at = now
        return done._replace(is_written=done.is_written or bool(beside and beside.is_written))

    async def are_there(self) -> bool:
        held = await self._table.read(())
        return held is not None and SERVICES in held.chains

    async def restore(self, saved: bytes) -> Outcome:
        before = Wanted(self._facts)
        for key, ports in decoded(saved).items():
            before.take(key, Served(tuple(ports)))
        # What the services of now want is compared with it at the first turn.
        outcome, self._is_known = await self._compared(before), False
        return outcome

    def snapshot(self) -> Snapshot:
        return Snapshot(self._version, partial(encoded, self._wanted.ports))

    async def _compile(self) -> None:
        """Compile what has changed, all of it at the first turn."""
        stale = sorted(self._stale)
        self._version += bool(stale)
        for count, key in enumerate(stale, 1):
            # Before it is looked at: what changes meanwhile is stale again.
            self._stale.discard(key)
            service, slices = self._services.get(key), self._slices.get(key, {}).values()
            served = served_by(service, slices, self._facts) if service else None
            self._wanted.take(key, served)
            if count % SERVICES_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _compared(self, wanted: Wanted) -> Outcome:
        """Read what the kernel holds, and write what differs."""
        self._is_known = False
        held = await self._table.read()
        # Reads all of it: not on the loop, and harmless where it ends late.
        difference = await self._table.worked_out(partial(wanted.against, held))
        done = await self._write(wanted, difference)
        # After the table: what served until now is taken away there.
        beside = await self._beside.apply(self._forwarding)
        self._is_known = True
        return done._replace(is_written=done.is_written or beside.is_written)

    async def _unwritten(self) -> Difference:
        """Return what is to be written; of much, not on the loop."""
        if self._wanted.unwritten_count <= UNWRITTEN_AT_ONCE:
            return self._wanted.unwritten()
        return await self._table.worked_out(self._wanted.unwritten)

    async def _write(self, wanted: Wanted, difference: Difference) -> Outcome:
        if difference.messages:
            self._is_known, was_known = False, self._is_known
            await self._table.transact(difference.messages)
            self._is_known = was_known
        wanted.written()
        # After the rules, never before: a flow forgotten too early would come back by the old ones.
        if stale := stale_flows(difference.before, difference.after):
            wide = wide_fronts(stale, str(self._facts.service_range))
            await self._flows.forget(stale, sorted(wide))
        return Outcome(bool(difference.messages), difference.changed_count, wanted.size)


def _service_of(one: EndpointSlice) -> Key | None:
    return (one.metadata.namespace, one.service_name) if one.service_name else None
