"""The functions' program: the brain and the gateway, in one process on the control plane's node.

Nothing is answered before all functions, routes and instances are known: a call that comes then is
refused by the closed port, and never led astray by half a view.
"""

import asyncio
from functools import partial
from pathlib import Path

from cubernetes.api.serverless.function import Function
from cubernetes.client.connect import connect
from cubernetes.client.rest import Client
from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.site import RoutedSite
from cubernetes.host.web.tls import server_tls
from serverless.board.decisions import Decision
from serverless.board.kept import KeptLogs
from serverless.board.key import FunctionKey
from serverless.board.routes import RouteTable
from serverless.brain.naming import INSTANCES_NAMESPACE, key_for
from serverless.brain.run import Brain
from serverless.bus.bus import Bus
from serverless.bus.kafka import KafkaBus
from serverless.durable.accept import Acceptor
from serverless.durable.dispatch import Dispatcher
from serverless.durable.letters import Letters
from serverless.gateway.admin import Admin
from serverless.gateway.front import FrontServer
from serverless.gateway.invoke import Invoker
from serverless.gateway.lasting import Lasting
from serverless.gateway.page import Page, Shown
from serverless.gateway.runs import Runs
from serverless.gateway.site import GatewaySite
from serverless.gateway.telling import Telling
from serverless.instances import HttpInstances, Instances
from serverless.running import Runner
from serverless.settings import ServerlessSettings
from serverless.triggers.run import Triggers
from serverless.workflow.engine import Engine
from serverless.workflow.statuses import Statuses

log = Log(__name__)

SECRET_FILE = "secret"  # noqa: S105  the name of a file
SECRET_CHARS = 48
BODY_BYTES_MAX = 8 * 1024 * 1024
QUERY_FIELDS_MAX = 200
CONNECTIONS_MAX = 4096
FILES = ("serverless", "files")


async def run(
    settings: ServerlessSettings,
    env: Env,
    client: Client | None = None,
    instances: Instances | None = None,
) -> None:
    """Serve functions until cancelled. Their instances stay as they are."""
    own = client or connect(settings.client, env, "serverless")
    spoken = HttpInstances()
    bus = KafkaBus(settings.bus, env.blocking) if settings.bus is not None else None
    try:
        platform = Platform(settings, env, own, instances or spoken, bus)
        await platform.run()
    finally:
        await spoken.close()
        if bus is not None:
            await bus.close()
        if client is None:
            await own.close()


class Platform:
    """The parts, put together."""

    def __init__(
        self,
        settings: ServerlessSettings,
        env: Env,
        client: Client,
        instances: Instances,
        bus: Bus | None = None,
    ) -> None:
        self._settings, self._env = settings, env
        logs = KeptLogs()
        self.brain = Brain(client, env, instances, logs)
        self.brain.pool_size = settings.pool_size
        self.brain.look_interval_s = settings.look_interval_s
        self.brain.hands.image = settings.image
        runner = Runner(env, self.brain.calls, self, instances, logs)
        invoker = Invoker(env, runner)
        self.dispatcher = Dispatcher(env, bus, runner, self) if bus is not None else None
        self.triggers = Triggers(
            env,
            bus,
            self.dispatcher,
            self,
            self.brain.hands.triggers.cache.list,
            partial(self.brain.hands.write_status, self.brain.hands.triggers),
        )
        acceptor = Acceptor(env, self.dispatcher, self) if self.dispatcher else None
        self.engine: Engine | None = None
        if bus is not None and self.dispatcher is not None and acceptor is not None:
            self.engine = Engine(env, bus, self.dispatcher, acceptor, self)
        workflows = self.brain.hands.workflows
        self.statuses = Statuses(
            env,
            self.engine,
            self,
            workflows.cache.list,
            partial(self.brain.hands.write_status, workflows),
        )
        runs = Runs(self.engine, workflows.cache.get)
        self.letters = Letters(env, bus, acceptor) if bus and acceptor else None
        lasting = Lasting(acceptor)
        limits = Limits(
            body_bytes_max=BODY_BYTES_MAX,
            bodies_bytes_max=settings.bodies_bytes_max,
            query_fields_max=QUERY_FIELDS_MAX,
            connections_max=CONNECTIONS_MAX,
        )
        site = GatewaySite(self, invoker, lasting, limits, self._env.clock)
        self.server = FrontServer(site, limits)
        telling = Telling(self, logs, acceptor, self.letters)
        page = Page(env, self._shown(), logs, self.engine)
        more = (*telling.routes(), *runs.routes(), *page.routes())
        admin = Admin(invoker, lasting, logs, more)
        own = RoutedSite(admin.routes(), limits, check_may=admin.check_may)
        self.admin_server = HttpServer(own, limits, headers=("content-type",))

    def _shown(self) -> Shown:
        hands = self.brain.hands
        return Shown(
            hands.functions.cache.list,
            hands.routes.cache.list,
            hands.triggers.cache.list,
            hands.workflows.cache.list,
            self.in_hand,
        )

    async def run(self) -> None:
        """Run until cancelled."""
        self.brain.hands.secret = await self._secret()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervised("brain", self.brain.run, self._env))
            await self.brain.is_synced.wait()
            tasks.create_task(supervised("gateway", self._serve, self._env))
            if self.dispatcher is not None:
                tasks.create_task(supervised("dispatcher", self.dispatcher.run, self._env))
            tasks.create_task(supervised("triggers", self.triggers.run, self._env))
            if self.engine is not None:
                tasks.create_task(supervised("engine", self.engine.run, self._env))
            tasks.create_task(supervised("workflows", self.statuses.run, self._env))
            if self._settings.cert:
                tasks.create_task(supervised("admin", self._serve_admin, self._env))

    @property
    def table(self) -> RouteTable:
        """Return the routes of now."""
        return self.brain.table

    @property
    def missing(self) -> str:
        """Return what the program waits for; empty: it can do all that it was told to."""
        if self.dispatcher is not None and not self.dispatcher.is_ready.is_set():
            return "the broker has not answered yet"
        if self.engine is not None and not self.engine.is_ready.is_set():
            return "the runs of workflows are still being read"
        return ""

    def function(self, key: FunctionKey) -> Function | None:
        return self.brain.function(key)

    def instance_key(self, instance: str) -> str:
        pod = self.brain.hands.pods.cache.get(instance, INSTANCES_NAMESPACE)
        return key_for(self.brain.hands.secret, pod.metadata.uid) if pod is not None else ""

    def lost(self, instance: str, revision: str) -> None:
        self.brain.lost(instance, revision)

    def spoiled(self, instance: str, why: str) -> None:
        self.brain.spoiled(instance, why)

    def why_waiting(self, key: FunctionKey) -> str:
        return self.brain.why_waiting(key)

    def decisions(self, key: FunctionKey) -> tuple[Decision, ...]:
        return self.brain.decisions.of(key)

    def in_hand(self, key: FunctionKey) -> tuple[int, int]:
        board = self.brain.calls.board
        return board.waiting_count(key), board.in_hand_count(key)

    async def _serve(self) -> None:
        await self.server.listen(self._settings.host, self._settings.port)
        await self._answering(self.server)

    async def _serve_admin(self) -> None:
        told = self._settings
        tls = server_tls(told.cert, told.key, told.client_ca)
        await self.admin_server.listen(told.host, told.admin_port, tls)
        await self._answering(self.admin_server)

    async def _answering(self, server: HttpServer | FrontServer) -> None:
        log.info("answering", port=server.port)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await server.stop(self._settings.stop_grace_s)

    async def _secret(self) -> str:
        """Return the secret of this node's instances, made where there is none."""
        path = Path(self._settings.root) / SECRET_FILE
        known = await self._env.blocking.run(FILES, partial(read_or_none, path))
        if known:
            return known.decode()
        made = self._env.rng.chars(SECRET_CHARS)
        await self._env.blocking.run(FILES, partial(_keep, path, made))
        return made


def _keep(path: Path, secret: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(path, secret.encode())
