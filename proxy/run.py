"""The proxy's loop: follow Services and EndpointSlices, compile, apply; look again now and then.

Until both kinds are known whole, the kernel's rules are left as they are: what an earlier life
wrote keeps serving while the API server is away, and nothing is lost when it ends. Only a kernel
that holds none (the machine was started anew) is given those of the checkpoint meanwhile.

Which revision of the EndpointSlices the kernel's rules contain is acknowledged on a Lease
(`cubernetes.api.coordination.road`): pods end once no proxy leads to them any more.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.client.acknowledger import Acknowledger
from cubernetes.client.cache import Newest
from cubernetes.client.connect import connect
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.iptables import pause_after
from cubernetes.host.supervise import supervised
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.host.timing.waiting import wait_until
from proxy.announce.run import Announcer
from proxy.checkpoint import Checkpoint
from proxy.counts import Counts
from proxy.health.doors import HealthPorts
from proxy.health.verdict import verdicts_for
from proxy.services.backend import Backend
from proxy.services.choose import backend_of_this_node
from proxy.services.served import Facts
from proxy.settings import ProxySettings

log = Log(__name__)

ROAD = "proxy"  # what its Lease is called by
RETRY_BASE_S = 0.2
RETRY_MAX_S = 10.0
# Failures one after another from which balancers are told that this node follows no services.
UNHEALTHY_AFTER = 3
FILE = ("checkpoint", "rules")
SAVE_DEADLINE_S = 5.0


async def run(settings: ProxySettings, env: Env, client: Client | None = None) -> None:
    """Keep this node's service rules as the cluster says, until cancelled. Rules then stay."""
    own = client or connect(settings.client, env, "proxy")
    try:
        facts = Facts(
            IPv4Network(settings.pod_range),
            IPv4Network(settings.service_range),
            settings.node_name,
        )
        backend = await backend_of_this_node(settings, env, facts)
        await Proxy(settings, env, own, backend).run()
    finally:
        if client is None:
            await own.close()


class Proxy:
    """One node's proxy: two informers, one backend, and the one task that writes rules."""

    def __init__(self, settings: ProxySettings, env: Env, client: Client, backend: Backend) -> None:
        self._settings, self._env, self._backend = settings, env, backend
        self._services = Informer(client, Service, env)
        self._slices = Informer(client, EndpointSlice, env)
        node = settings.node_name
        self._announcer = Announcer(client, env, node, self._services, self._slices)
        self._health = HealthPorts()
        self._changed = asyncio.Event()
        self._newest_slice = Newest()
        self._road = Acknowledger(client, env, ROAD, settings.node_name)
        path = Path(settings.checkpoint) if settings.checkpoint else None
        self._checkpoint = Checkpoint(path)
        self._is_unsaved = False
        self._is_news = True  # whether an object has changed since the last turn
        self._saved_version: int | None = None  # of the rules on disk
        self._skipped: tuple[str, ...] = ()
        self._told_healthy = True
        self._failure_count = 0
        self._check_at_s = 0.0
        self._counts = Counts(env.metrics)

    async def run(self) -> None:
        """Run until cancelled."""
        self._services.on_change(self._on_service)
        self._slices.on_change(self._on_slice)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._services.run())
                tasks.create_task(self._slices.run())
                tasks.create_task(self._keep())
                if self._settings.node_name:
                    tasks.create_task(self._road.run())
                    tasks.create_task(supervised("announcer", self._announcer.run, self._env))
        finally:
            await self._health.close()

    def _on_service(self, old: Service | None, new: Service | None) -> None:
        self._backend.service_changed(old, new)
        self._changed.set()

    def _on_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        self._newest_slice.note(old, new)
        self._backend.slice_changed(old, new)
        self._changed.set()

    async def _keep(self) -> None:
        try:
            async with asyncio.timeout(self._settings.checkpoint_after_s):
                await self._both_synced()
        except TimeoutError:
            await self._begin_from_checkpoint()
            await self._both_synced()
        if self._settings.node_name:
            await self._road.claim()
        while True:
            self._is_news |= self._changed.is_set()
            self._changed.clear()
            if await self._turn():
                await self._env.clock.sleep(self._settings.apply_interval_s)
                await self._wait_for_change()
            else:
                await self._pause()

    async def _both_synced(self) -> None:
        await self._services.synced.wait()
        await self._slices.synced.wait()

    async def _begin_from_checkpoint(self) -> None:
        """Serve by the rules of before: this node may have come up while nobody answers."""
        try:
            saved = await self._env.blocking.run(FILE, self._checkpoint.load)
        except OSError as error:
            log.warning("rules checkpoint not read", why=error)
            return
        if saved is None:
            return
        try:
            # The kernel's rules are those of the last change; the file may be a check older.
            if await self._backend.are_there():
                return
            done = await self._backend.restore(saved)
        except ValueError as error:
            self._checkpoint.distrust(error)
            return
        except CommandFailed as error:
            log.warning("rules of the checkpoint not applied", reason=error)
            return
        log.info("going on from the checkpoint", chains=done.chain_count, new=done.is_written)

    async def _wait_for_change(self) -> None:
        """Return at a change, or when it is time to look at the kernel's rules again."""
        until_check_s = self._check_at_s - self._env.clock.monotonic()
        await wait_until(self._changed, max(0.0, until_check_s))

    async def _turn(self) -> bool:
        is_news, self._is_news = self._is_news, False
        is_done = await self._rules_turn()
        is_healthy = is_done or self._failure_count < UNHEALTHY_AFTER
        is_told = is_healthy == self._told_healthy and self._health.is_complete
        if is_done and not is_news and is_told:
            return True
        verdicts = verdicts_for(
            self._services.cache.list(),
            self._slices.cache.list(),
            self._settings.node_name,
            is_proxy_healthy=is_healthy,
        )
        await self._health.serve(verdicts)
        self._told_healthy = is_healthy
        return is_done

    async def _rules_turn(self) -> bool:
        began_s = self._env.clock.monotonic()
        # Also where changes never cease: somebody's flush is repaired in time.
        is_due = began_s >= self._check_at_s
        revision = self._newest_slice.revision
        try:
            done = await (self._backend.check() if is_due else self._backend.apply())
        except CommandFailed as error:
            # Once per streak; the rules of before keep serving.
            self._counts.failed.inc()
            if self._failure_count == 0:
                log.warning("service rules not applied", reason=error)
            return False
        self._road.acknowledge(revision)
        self._counts.applied(done)
        self._tell_skipped()
        self._counts.turns.observe(self._env.clock.monotonic() - began_s)
        self._failure_count = 0
        if is_due:
            spent_s = self._env.clock.monotonic() - began_s
            self._check_at_s = began_s + pause_after(spent_s, self._settings.check_interval_s)
            await self._save()
        if done.is_written:
            spent_ms = round((self._env.clock.monotonic() - began_s) * 1000, 1)
            log.info("service rules applied", changed=done.changed_count, spent_ms=spent_ms)
        return True

    async def _save(self) -> None:
        """Keep the rules on disk; one that is full or hangs keeps no change from the kernel."""
        version, encode = self._backend.snapshot()
        if version == self._saved_version:
            return
        try:
            save = partial(_save, self._checkpoint, encode)
            await self._env.blocking.run(FILE, save, deadline_s=SAVE_DEADLINE_S)
        except OSError as error:
            if not self._is_unsaved:
                log.warning("rules checkpoint not saved", why=error)
            self._is_unsaved = True
            return
        self._is_unsaved = False
        self._saved_version = version

    def _tell_skipped(self) -> None:
        skipped = self._backend.skipped
        if skipped and skipped != self._skipped:
            log.warning("left out of the service rules", first=skipped[0], count=len(skipped))
        self._skipped = skipped
        self._counts.skipped.set(len(skipped))

    async def _pause(self) -> None:
        self._failure_count += 1
        pause_s = backoff_s(self._failure_count, base_s=RETRY_BASE_S, limit_s=RETRY_MAX_S)
        await self._env.clock.sleep(jittered_s(pause_s, self._env.rng.fraction()))


def _save(checkpoint: Checkpoint, encode: Callable[[], bytes]) -> None:
    checkpoint.save(encode())
