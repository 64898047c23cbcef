"""The gateway's loop: follow roads and services, compile, and have nginx serve it.

Until every kind is known whole, nginx serves what it served last: a gateway that starts while the
API server is away takes nothing away. An object whose part of the configuration nginx refuses is
left out and told so; the others are served.

Which revision of the EndpointSlices nginx leads by is acknowledged on the gateway's Lease, as every
road does (`cubernetes.api.coordination.road`); the first acknowledgement says that it serves.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from cubernetes.api.coordination.road import GATEWAY_ROAD, NO_SLICES
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Object, Ref
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.networking.ingressclass import IngressClass
from cubernetes.api.roads import RATES, roads_of
from cubernetes.client.acknowledger import Acknowledger
from cubernetes.client.cache import Newest
from cubernetes.client.connect import connect
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.durable.files import read_or_none
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import EventRecorder
from gateway.counts import Counts
from gateway.nginx.container import ContainerNginx, layers_in
from gateway.nginx.driver import Driver
from gateway.nginx.process import ConfigurationRefused, NginxTrouble
from gateway.nginx.quoting import Unquotable
from gateway.nginx.requestlog import RequestLog
from gateway.nginx.text import Configuration, Facts, configuration_for, guilty
from gateway.nginx.tree import Tree
from gateway.rates import rates_between
from gateway.requests import RequestCounts, read_log
from gateway.roads.compile import authorities_of, model_for, secrets_of
from gateway.roads.model import Model, SecretRef
from gateway.settings import GatewaySettings
from gateway.tls import secrets as reading
from gateway.tls.secrets import FollowedSecrets

log = Log(__name__)

RETRY_BASE_S = 0.5
RETRY_MAX_S = 10.0
# Objects that are left out in one turn, one after the other, because nginx refuses them.
REFUSALS_MAX = 16
# Where changes never cease, this share of the time goes into compiling them, not more.
COMPILE_SHARE = 1 / 4
# Pods wait for the acknowledgement of their end no longer than this for that.
COMPILE_PAUSE_S_MAX = 4.0
# How long a turn waits for Secrets of authorities that are named first.
AUTHORITIES_S = 3.0
ARCHIVE = ("gateway", "archive")
ARCHIVE_S = 30.0

type Key = tuple[Ref, str]


async def run(settings: GatewaySettings, env: Env, client: Client | None = None) -> None:
    """Keep this node's nginx as the cluster says, until cancelled. nginx then serves on."""
    own = client or connect(settings.client, env, "gateway")
    nginx = nginx_of(settings)
    try:
        driver = Driver(nginx, tree_of(settings), env)
        loader = partial(_load, nginx, settings, env)
        await Gateway(settings, env, own, driver, loader).run()
    finally:
        if client is None:
            await own.close()


def nginx_of(settings: GatewaySettings) -> ContainerNginx:
    """Return the nginx of this node."""
    return ContainerNginx(
        Path(settings.docker),
        settings.container,
        settings.image,
        Path(settings.root),
        settings.status_port,
    )


def tree_of(settings: GatewaySettings) -> Tree:
    return Tree(Path(settings.root), settings.workers_gid)


def facts_of(settings: GatewaySettings) -> Facts:
    return Facts(
        http_port=settings.http_port,
        https_port=settings.https_port,
        status_port=settings.status_port,
        drain_s=settings.drain_s,
    )


async def _load(nginx: ContainerNginx, settings: GatewaySettings, env: Env) -> None:
    """Give Docker the image where it has none, or another one. Raises: NginxTrouble, OSError."""
    path = Path(settings.archive)
    look = partial(layers_in, path)
    layers = await env.blocking.run(ARCHIVE, look) if settings.archive else ()
    if await nginx.has_image(layers):
        return
    read = partial(read_or_none, path)
    content = (
        await env.blocking.run(ARCHIVE, read, deadline_s=ARCHIVE_S) if settings.archive else None
    )
    if content is None:
        raise NginxTrouble(
            f"Docker has no image {settings.image}, and there is no archive of it at "
            f"{settings.archive or 'any path'}: scripts/build-images makes it"
        )
    await nginx.load(content)
    log.info("image loaded", image=settings.image)


class Gateway:
    """One node's gateway: informers, one compiler, and the one task that drives nginx."""

    def __init__(
        self, settings: GatewaySettings, env: Env, client: Client, driver: Driver, load: Any
    ) -> None:
        self._settings, self._env, self._driver, self._load = settings, env, driver, load
        self._facts = facts_of(settings)
        self._ingresses = Informer(client, Ingress, env)
        self._classes = Informer(client, IngressClass, env)
        self._dnses = Informer(client, Dns, env)
        self._policies = Informer(client, RoutePolicy, env)
        self._services = Informer(client, Service, env)
        self._slices = Informer(client, EndpointSlice, env)
        self._changed = asyncio.Event()
        self._informers: tuple[Informer[Any], ...] = (
            self._policies,
            self._slices,
            self._ingresses,
            self._classes,
            self._dnses,
            self._services,
        )
        self._recorder = EventRecorder(client, env, "gateway", settings.node_name)
        changed = self._changed.set
        self._secrets = FollowedSecrets(client, env, changed, reading.pair_of)
        self._authorities = FollowedSecrets(client, env, changed, reading.authorities_of)
        self._road = Acknowledger(client, env, GATEWAY_ROAD, settings.node_name)
        self._newest_slice = Newest(NO_SLICES)
        # Objects that nginx refused, as they were then, and what it said.
        self._refused: dict[Key, str] = {}
        self._told: dict[Ref, frozenset[str]] = {}
        self._failure_count = 0
        self._look_at_s = 0.0  # when the container is looked at again
        self._pause_s = 0.0  # after the turn of now
        self._counts = Counts(env.metrics)
        self._requests = RequestCounts(env.metrics)

    async def run(self) -> None:
        """Run until cancelled."""
        self._slices.on_change(self._newest_slice.note)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for informer in self._informers:
                informer.on_change(lambda _old, _new: self._changed.set())
                tasks.create_task(informer.run())
            tasks.create_task(supervised("records", self._recorder.run, self._env))
            # A call that ends late goes on in the one file, also where its task is begun anew.
            place, opened = self._driver.request_log, RequestLog()
            read = partial(read_log, place, opened, self._requests, self._env)
            tasks.create_task(supervised("log", read, self._env))
            tasks.create_task(self._road.run())
            tasks.create_task(supervised("rates", self._report_rates, self._env))
            tasks.create_task(self._keep())

    async def _keep(self) -> None:
        while not await self._is_begun():
            await self._pause()
        for informer in self._informers:
            await self._synced(informer)
        # It is waited for from before it leads anybody.
        await self._road.claim()
        while True:
            self._changed.clear()
            revision = self._newest_slice.revision
            if not await self._turn():
                await self._pause()
                continue
            self._failure_count = 0
            self._road.acknowledge(revision)
            await self._env.clock.sleep(self._pause_s)
            await wait_until(self._changed, self._settings.check_interval_s)

    async def _report_rates(self) -> None:
        """Have the Lease say every few seconds what roads were asked for since the last time."""
        before, at_s = dict(self._requests.tallies), self._env.clock.monotonic()
        while True:
            await self._env.clock.sleep(self._settings.rates_interval_s)
            after, now_s = dict(self._requests.tallies), self._env.clock.monotonic()
            self._road.note(RATES, rates_between(before, after, now_s - at_s))
            before, at_s = after, now_s

    async def _synced(self, informer: Informer[Any]) -> None:
        """Wait until a kind is known; look after the container meanwhile."""
        while not informer.synced.is_set():
            await wait_until(informer.synced, self._settings.check_interval_s)
            await self._is_begun()

    async def _is_begun(self) -> bool:
        """Have nginx run with what it served last; tell whether that worked."""
        try:
            await self._load()
            if await self._driver.begin(configuration_for(Model(), self._facts)):
                log.info("nginx started", container=self._settings.container)
        except (NginxTrouble, OSError) as error:
            self._failed("nginx does not run", error)
            return False
        return True

    async def _turn(self) -> bool:
        began_s = self._env.clock.monotonic()
        # Also where changes never cease; not at each of them.
        if began_s >= self._look_at_s:
            if not await self._is_begun():
                return False
            self._look_at_s = began_s + self._settings.check_interval_s
        # Without its authorities a road that asks for certificates refuses everybody.
        await self._authorities.follow_until_known(self._wanted(), self._tasks, AUTHORITIES_S)
        compiled_s = 0.0
        for _ in range(REFUSALS_MAX):
            at_s = self._env.clock.monotonic()
            model = self._model()
            try:
                wanted = configuration_for(model, self._facts)
            except Unquotable as error:
                self._failed("a text cannot stand in a configuration", error)
                return False
            compiled_s += self._env.clock.monotonic() - at_s
            try:
                await self._driver.certify(model.certificates, model.files)
                is_new = await self._driver.apply(wanted)
                await self._driver.keep_certificates(model.files)
            except ConfigurationRefused as error:
                self._counts.refused.inc()
                if not self._leave_out(wanted, error.said):
                    self._failed("nginx refuses the configuration", error)
                    return False
                continue
            except (NginxTrouble, OSError) as error:
                self._failed("nginx does not serve the configuration", error)
                return False
            # Pods wait for an acknowledgement; only reloads must be few.
            told = self._settings
            interval_s = told.reload_interval_s if is_new else told.look_interval_s
            self._pause_s = turn_pause_s(compiled_s, interval_s)
            self._applied(model, wanted, is_new, self._env.clock.monotonic() - began_s)
            return True
        # More are refused than one turn leaves out: the next goes on with the rest.
        self._failure_count += 1
        return False

    def _model(self) -> Model:
        roads = roads_of(
            [one for one in self._ingresses.cache.list() if key_of(one) not in self._refused],
            self._classes.cache.list(),
            [one for one in self._dnses.cache.list() if key_of(one) not in self._refused],
        )
        secrets = secrets_of(roads)
        self._secrets.follow(secrets, self._tasks)
        return model_for(
            roads,
            self._services.cache.list(),
            self._secrets.pairs(secrets),
            [one for one in self._policies.cache.list() if key_of(one) not in self._refused],
            self._slices.cache.list(),
            self._authorities.pairs(self._wanted()),
        )

    def _wanted(self) -> frozenset[SecretRef]:
        return authorities_of(self._policies.cache.list())

    def _leave_out(self, wanted: Configuration, said: str) -> bool:
        """Leave the objects out whose lines nginx names; tell whether there are such."""
        culprits = guilty(wanted, said)
        found = [one for one in self._objects() if one.ref in culprits]
        for one in found:
            self._refused[key_of(one)] = said
            log.warning("left out: nginx refuses it", about=one.ref, said=said)
        return bool(found)

    def _applied(self, model: Model, wanted: Configuration, is_new: bool, spent_s: float) -> None:
        there = {key_of(one) for one in self._objects()}
        self._refused = {key: said for key, said in self._refused.items() if key in there}
        self._counts.applied(model, is_new=is_new)
        if is_new:
            log.info(
                "configuration served",
                generation=wanted.generation,
                hosts=len(model.hosts),
                spent_ms=round(spent_s * 1000, 1),
            )
        problems = dict(model.problems)
        for (ref, _), said in self._refused.items():
            problems[ref] = (f"nginx refuses it: {said}",)
        for one in self._objects():
            known = self._told.get(one.ref, frozenset())
            for sentence in problems.get(one.ref, ()):
                if sentence not in known:
                    self._recorder.record(Record(one, "NotServed", sentence, "Warning"))
        self._told = {ref: frozenset(whys) for ref, whys in problems.items()}

    def _objects(self) -> list[Ingress | Dns | RoutePolicy]:
        ingresses, dnses = self._ingresses.cache.list(), self._dnses.cache.list()
        return [*ingresses, *dnses, *self._policies.cache.list()]

    def _failed(self, sentence: str, error: Exception) -> None:
        self._look_at_s = 0.0
        self._counts.failed.inc()
        # Once a streak; what was served before is served on.
        if self._failure_count == 0:
            log.warning(sentence, why=error)
        self._failure_count += 1

    async def _pause(self) -> None:
        pause_s = backoff_s(self._failure_count, base_s=RETRY_BASE_S, limit_s=RETRY_MAX_S)
        await self._env.clock.sleep(jittered_s(pause_s, self._env.rng.fraction()))


def turn_pause_s(compiled_s: float, interval_s: float) -> float:
    """Return when the next turn may begin after one that compiled for so long."""
    return max(interval_s, min(compiled_s / COMPILE_SHARE, COMPILE_PAUSE_S_MAX))


def key_of(one: Object) -> Key:
    """Return an object as it is now: an edited one is looked at anew."""
    return one.ref, f"{one.metadata.uid} {one.metadata.generation}"
