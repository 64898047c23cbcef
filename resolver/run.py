"""The resolver's loops: follow the objects that names are made of; answer; keep what is known.

It answers from the first moment: by its checkpoint until the API has told everything, and with
SERVFAIL about the cluster's names where it has none. Names of others need neither.
"""

import asyncio
import socket
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.client.connect import connect
from cubernetes.client.informer import Follower
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.loaded import keep_loaded
from cubernetes.host.log import Log
from cubernetes.host.names.machine import resolv_conf_here
from cubernetes.host.names.resolvconf import SERVERS_MAX
from cubernetes.host.supervise import supervised
from resolver import address, hostfile, overrides, resolved
from resolver.answers.compile import Facts
from resolver.answers.records import labels_of
from resolver.answers.zone import Zone, ZoneSettings
from resolver.checkpoint import Kept, NamesCheckpoint, Saved, Writing
from resolver.counts import Counts
from resolver.forwarding.forwarder import Forwarder
from resolver.forwarding.upstreams import Roads, Upstream
from resolver.objects import (
    KeptService,
    KeptSlice,
    dns_kept,
    namespace_kept,
    overrides_kept,
    service_kept,
    slice_kept,
)
from resolver.overrides import Overrides
from resolver.resolved import Resolved
from resolver.serving import Answers, Datagrams, Streams, bound
from resolver.settings import ResolverSettings

log = Log(__name__)

FILE = ("checkpoint", "names")
SAVE_DEADLINE_S = 5.0
# Ten thousand services took eleven seconds on a machine that thirty others wanted.
LOAD_DEADLINE_S = 120.0
BEGIN_S = 5.0  # after that, names of others are answered all the same
# After a change: many come together, and the disk need not have each of them.
SAVE_AFTER_S = 2.0
# What could not be kept: the disk may be full, and ten thousand services are to be encoded again.
SAVE_AGAIN_S = 15.0
LINES_AT_ONCE = 200  # encoded before a question has its turn
LOOK_S = 5.0  # between two looks at this machine's address and name servers


async def run(settings: ResolverSettings, env: Env, client: Client | None = None) -> None:
    """Answer on this node until cancelled."""
    own = client or connect(settings.client, env, f"resolver/{settings.node_name}")
    try:
        await Resolver(settings, env, own).run()
    finally:
        if client is None:
            await own.close()


class Resolver:
    """One node's resolver: informers that fill a zone, and the sockets that it is asked through."""

    def __init__(self, settings: ResolverSettings, env: Env, client: Client) -> None:
        self._settings, self._env = settings, env
        self._services = Follower(client, Service, env, self._service_kept)
        self._slices = Follower(client, EndpointSlice, env, self._slice_kept)
        self._namespaces = Follower(client, Namespace, env, namespace_kept)
        self._dnses = Follower(client, Dns, env, dns_kept)
        self._configs = Follower(
            client,
            ConfigMap,
            env,
            overrides_kept,
            namespace=overrides.NAMESPACE,
            fields=f"metadata.name={overrides.NAME}",
        )
        self._informers = (
            self._services,
            self._slices,
            self._namespaces,
            self._dnses,
            self._configs,
        )
        self._overrides = Overrides()
        path = Path(settings.checkpoint) if settings.checkpoint else None
        self._checkpoint = NamesCheckpoint(path)
        self._changed = asyncio.Event()
        counts = Counts(env.metrics)
        self._zone = Zone(place_of(settings))
        self._forwarder = Forwarder(env, counts)
        self.answers = Answers(self._zone, self._forwarder, counts)
        self._is_unsaved = False
        # What was told last of this machine's own resolv.conf.
        self._told = ""
        self._resolved = Resolved()
        self._is_reloaded = False
        # Set while this node answers.
        self.is_serving = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; each part begins again by itself where it fails."""
        self._follow()
        async with asyncio.TaskGroup() as tasks:
            beginning = tasks.create_task(self._begin_from_checkpoint())
            # A disk that is slow or hangs keeps the cluster's names back, and nobody else's.
            await asyncio.wait({beginning}, timeout=BEGIN_S)
            for informer in self._informers:
                tasks.create_task(informer.run())
            for name, work in (
                ("names", self._take_over),
                ("machine", self._look),
                ("datagrams", self._serve_datagrams),
                ("streams", self._serve_streams),
            ):
                tasks.create_task(supervised(name, work, self._env))

    def _service_kept(self, one: Service) -> KeptService:
        """Return what is kept of a service, which the checkpoint has mostly told of already."""
        return self.answers.zone.recalled_service(service_kept(one))

    def _slice_kept(self, one: EndpointSlice) -> KeptSlice:
        return self.answers.zone.recalled_slice(slice_kept(one))

    def _follow(self) -> None:
        """Let every change reach the zone at once, in order."""
        self._services.on_change(self._zone.take_service)
        self._slices.on_change(self._zone.take_slice)
        self._namespaces.on_change(self._zone.take_namespace)
        self._dnses.on_change(self._zone.take_dns)
        self._configs.on_change(lambda _, new: self._override(new))
        for informer in self._informers:
            informer.on_change(lambda _old, _new: self._changed.set())

    async def _begin_from_checkpoint(self) -> None:
        """Answer by what was known before: this node may have come up while nobody tells it."""
        try:
            # Few lines: nobody else is asked about names that they say.
            outside = await self._env.blocking.run(
                FILE, self._checkpoint.load_outside, deadline_s=LOAD_DEADLINE_S
            )
            if outside is not None:
                self._go_on_from(outside)
            saved = await self._env.blocking.run(
                FILE, self._checkpoint.load, deadline_s=LOAD_DEADLINE_S
            )
        except OSError as error:
            log.warning("names checkpoint not read", why=error)
            return
        if saved is not None and self._go_on_from(saved, is_whole=True):
            keep_loaded()
            log.info("going on from the checkpoint", services=len(saved.services))

    def _go_on_from(self, saved: Saved, *, is_whole: bool = False) -> bool:
        """Answer by what was saved; False where the API has told as much meanwhile.

        is_whole: beside names outside the cluster's domain, the cluster's are there.
        """
        if self._zone.is_known or (self._zone.are_hosts_known and not is_whole):
            return False
        zone = zone_of(self._settings, saved)
        zone.is_known, zone.are_hosts_known = is_whole, True
        self.answers.zone = zone
        # What the API has told is newer.
        configs = self._configs.cache.list() if self._configs.synced.is_set() else saved.overrides
        self._override(next(iter(configs), None))
        return True

    def _override(self, config: ConfigMap | None) -> None:
        """Do as an administrator says; other name servers are asked from the next look on."""
        before, self._overrides = self._overrides, overrides.overrides_in(config)
        for problem in self._overrides.problems:
            if problem not in before.problems:
                log.warning("left out of the resolver's ConfigMap", problem=problem)
        for zone in (self._zone, self.answers.zone):
            zone.override(self._overrides.hosts)

    async def _take_over(self) -> None:
        """Answer by what the API tells, once that is whole; keep it."""
        await self._configs.synced.wait()
        if not self._configs.cache.list():
            # What the checkpoint said of one that is gone.
            self._override(None)
        await self._dnses.synced.wait()
        self._zone.are_hosts_known = True
        for informer in self._informers:
            await informer.synced.wait()
        self._zone.is_known = True
        self.answers.zone = self._zone
        # A question would wait for each look through all of them.
        keep_loaded()
        while True:
            self._changed.clear()
            if await self._save():
                await self._env.clock.sleep(SAVE_AFTER_S)
                await self._changed.wait()
            else:
                await self._env.clock.sleep(SAVE_AGAIN_S)

    async def _save(self) -> bool:
        """Keep the names on disk; one that is full or hangs changes no answer."""
        objects: list[Kept] = [
            *self._dnses.cache.list(),
            *self._configs.cache.list(),
            *self._namespaces.cache.list(),
            *self._services.cache.list(),
            *self._slices.cache.list(),
        ]
        writing = Writing()
        for start in range(0, len(objects), LINES_AT_ONCE):
            writing.take(objects[start : start + LINES_AT_ONCE])
            await asyncio.sleep(0)
        try:
            save = partial(self._checkpoint.save, writing.end())
            await self._env.blocking.run(FILE, save, deadline_s=SAVE_DEADLINE_S)
        except OSError as error:
            if not self._is_unsaved:
                log.warning("names checkpoint not saved", why=error)
            self._is_unsaved = True
            return False
        self._is_unsaved = False
        return True

    async def _look(self) -> None:
        """See to it that this machine has the address, and whom it asks about others' names."""
        while True:
            if not address.is_here(self._settings.address):
                try:
                    await address.add(self._env.commands, self._settings.address)
                except CommandFailed as error:
                    log.warning("no address to answer at", why=error)
            read = partial(upstreams_of_this_machine, self._settings)
            upstreams = await self._env.blocking.run(("machine", "resolv.conf"), read)
            told = self._overrides
            self._forwarder.take(Roads(told.upstreams or upstreams, told.stubs))
            self.is_serving.set()
            if self._settings.host_resolv_conf:
                await self._ask_first()
            await self._env.clock.sleep(LOOK_S)

    async def _ask_first(self) -> None:
        """Let this machine's own programs ask here; where they cannot, they go on as they did."""
        path = Path(self._settings.host_resolv_conf)
        ask = partial(asked_first, path, self._resolved, self._settings)
        try:
            asked = await self._env.blocking.run(("machine", "resolv.conf"), ask)
            why = asked.why
            # Once: what it does not take up then it would not take up by more of them either.
            if asked.needs_reload and not self._is_reloaded:
                self._is_reloaded = True
                await resolved.reload(self._env.commands)
            elif not asked.needs_reload:
                self._is_reloaded = False
        except (OSError, CommandFailed) as error:
            why = str(error)
        if why and why != self._told:
            log.warning("this machine does not ask here", file=path, why=why)
        self._told = why

    async def _serve_datagrams(self) -> None:
        await self.is_serving.wait()
        with bound(self._settings.address, self._settings.port, socket.SOCK_DGRAM) as own:
            log.info("answering", address=self._settings.address, port=self._settings.port)
            await Datagrams(own, self.answers).run()

    async def _serve_streams(self) -> None:
        await self.is_serving.wait()
        with bound(self._settings.address, self._settings.port, socket.SOCK_STREAM) as own:
            await Streams(own, self.answers).run()


class Asked(NamedTuple):
    """Whether this machine's programs ask here. why: why not; empty where they do."""

    why: str = ""
    needs_reload: bool = False


def asked_first(path: Path, one: Resolved, settings: ResolverSettings) -> Asked:
    """Have this machine's programs ask here, by whatever they use. May block. Raises: OSError."""
    if hostfile.ask_first(path, settings.address):
        return Asked()
    if not one.is_asked_by(path):
        return Asked("it is another program's")
    if one.has_servers():
        return Asked("systemd-resolved's configuration names servers (DNS=), which it asks instead")
    return Asked("", one.ask_about(settings.cluster_domain, settings.address))


def place_of(settings: ResolverSettings) -> ZoneSettings:
    return ZoneSettings(
        Facts(labels_of(settings.cluster_domain), settings.ttl_s),
        IPv4Address(settings.address),
        IPv4Network(settings.service_range),
        IPv4Network(settings.pod_range),
    )


def zone_of(settings: ResolverSettings, saved: Saved) -> Zone:
    """Return a zone of what was saved."""
    zone = Zone(place_of(settings))
    for namespace in saved.namespaces:
        zone.take_namespace(None, namespace)
    for service in saved.services:
        zone.take_service(None, service)
    for one in saved.slices:
        zone.take_slice(None, one)
    for dns in saved.dnses:
        zone.take_dns(None, dns)
    zone.is_known = True
    return zone


def upstreams_of_this_machine(settings: ResolverSettings) -> tuple[Upstream, ...]:
    """Return the name servers that this machine has beside us."""
    found = resolv_conf_here(settings.resolv_confs, [settings.address])
    return tuple(Upstream(one) for one in found.servers[:SERVERS_MAX])
