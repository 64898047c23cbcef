"""The gateway's loop against the real API server, with an nginx of paper."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import ROAD_NAMESPACE, applied_revision, is_serving_gateway
from cubernetes.api.core.data.configdata import encoded
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.secret import Secret
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.errors import Forbidden, NotFound
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.roads import RATES
from cubernetes.client.cache import revision_of
from cubernetes.client.connect import ClientSettings
from cubernetes.client.outcome import Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity, Request, Response
from cuberoot import pki
from cuberoot.program import Identity as Subject
from gateway.nginx.driver import Driver
from gateway.nginx.process import ConfigurationRefused
from gateway.nginx.tree import CONFIGURATION, CURRENT, FILE, TLS
from gateway.run import COMPILE_PAUSE_S_MAX, COMPILE_SHARE, Gateway, tree_of, turn_pause_s
from gateway.settings import GatewaySettings
from tests.direct import DirectTransport
from tests.given import NOW, a_service, a_slice
from tests.unit.gateway.roadworld import a_dns, an_ingress
from tests.unit.gateway.test_gateway_policies import a_policy

DEADLINE_S = 60.0
IDENTITY = Identity("system:gateway:n1", ("system:gateways",))


class PaperNginx:
    """Serves what is current when it is reloaded; refuses the configurations that hold a word."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._place = Path(settings.root) / CONFIGURATION
        self.refuses = ""
        self.is_running = False
        self.log_path = Path(settings.root) / "requests.log"
        self.generation = ""
        self.reload_count = 0

    @property
    def text(self) -> str:
        """What is served."""
        return (self._place / self.generation / FILE).read_text() if self.generation else ""

    async def ensure(self) -> bool:
        if self.is_running:
            return False
        self.is_running = True
        self.generation = (self._place / CURRENT).readlink().name
        return True

    async def test(self, generation: str) -> None:
        lines = (self._place / generation / FILE).read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if self.refuses and self.refuses in line:
                raise ConfigurationRefused(f"nginx: [emerg] no in /x/nginx.conf:{number}")

    async def reload(self) -> None:
        self.generation = (self._place / CURRENT).readlink().name
        self.reload_count += 1

    async def serving(self) -> str:
        return self.generation if self.is_running else ""

    async def request_log(self) -> Path | None:
        return self.log_path if self.is_running else None

    async def remove(self) -> None:
        self.is_running = False


class Away:
    """A transport to an API server that is not there."""

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        raise Unreachable("nobody")

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        raise Unreachable("nobody")

    async def close(self) -> None:
        """Nothing is open."""


class Running:
    """A gateway that runs, its nginx, and an administrator's client."""

    def __init__(self, folder: Path, server: ApiServer, env: Env) -> None:
        self.settings = GatewaySettings(
            client=ClientSettings(servers=(), ca=""),
            node_name="n1",
            root=str(folder / "root"),
            workers_gid=os.getgid(),
            reload_interval_s=0.01,
            check_interval_s=0.05,
            rates_interval_s=0.05,
        )
        self.nginx = PaperNginx(self.settings)
        self.admin = Client(DirectTransport(server), env)
        self.server, self._env = server, env
        self._task: asyncio.Task[None] | None = None

    def client(self, identity: Identity) -> Client:
        """Return a client of somebody else."""
        return Client(DirectTransport(self.server, identity), self._env)

    def begin(self, *, is_api_away: bool = False) -> None:
        transport = Away() if is_api_away else DirectTransport(self.server, IDENTITY)
        client = Client(transport, self._env)
        driver = Driver(self.nginx, tree_of(self.settings), self._env)

        async def load() -> None:
            """The image is there."""

        gateway = Gateway(self.settings, self._env, client, driver, load)
        self._task = asyncio.create_task(gateway.run())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended

    async def events(self) -> list[str]:
        listed = await self.admin.list(Event)
        return [f"{one.involved_object.name}: {one.message}" for one in listed.items]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    env = Env()
    server = ApiServer(MemoryStore(env), env, Settings(limits=Limits(bookmark_interval_s=0.2)))
    await server.start()
    made = Running(tmp_path, server, env)
    await made.admin.create(Node(metadata=ObjectMeta(name="n1"), spec=NodeSpec()))
    yield made
    await made.end()
    await server.stop()


def fresh[O: Object](one: O) -> O:
    """Return what a person would send: without what is the server's to write."""
    meta = ObjectMeta(name=one.metadata.name, namespace=one.metadata.namespace)
    return replaced(one, metadata=meta)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


async def until_served(running: Running, *words: str, without: str = "never") -> None:
    async def is_served() -> bool:
        text = running.nginx.text
        return all(word in text for word in words) and without not in text

    await until(is_served)


async def test_a_road_is_served_as_soon_as_its_service_is_there_and_the_lease_tells_of_us(
    running: Running,
) -> None:
    running.begin()
    await running.admin.create(fresh(a_dns("d", "a.example", "/x web")))
    await until_served(running, '"a.example"', "return 503;")

    async def is_told() -> bool:
        return "d: Prefix /x of a.example: there is no service web" in await running.events()

    await until(is_told)
    service = await running.admin.create(fresh(a_service("web", cluster_ip="")))
    await until_served(running, f"server {service.spec.cluster_ip}:80;", without="return 503;")

    async def has_lease() -> bool:
        try:
            lease = await running.admin.get(Lease, "gateway-n1", ROAD_NAMESPACE)
        except NotFound:
            return False
        return lease.spec.holder_identity == "n1" and is_serving_gateway(lease)

    await until(has_lease)
    await running.admin.delete(Dns, "d", "default")
    await until_served(running, without='"a.example"')


async def test_an_object_that_nginx_refuses_is_left_out_and_told_and_the_others_are_served(
    running: Running,
) -> None:
    """W3: at the forerunner one bad object froze the proxies of every node."""
    running.nginx.refuses = "bad.example"
    running.begin()
    await running.admin.create(fresh(a_dns("bad", "bad.example")))
    await running.admin.create(fresh(a_dns("good", "good.example")))
    await until_served(running, '"good.example"', without="bad.example")

    async def is_told() -> bool:
        return any(one.startswith("bad: nginx refuses it: ") for one in await running.events())

    await until(is_told)
    # Edited, it is looked at anew.
    bad = await running.admin.get(Dns, "bad", "default")
    spec = replaced(bad.spec, host="better.example")
    await running.admin.update(replaced(bad, spec=spec))
    await until_served(running, '"good.example"', '"better.example"', without="bad.example")


async def test_a_restart_without_the_api_server_takes_nothing_away(running: Running) -> None:
    running.begin()
    await running.admin.create(fresh(a_dns("d", "a.example")))
    await until_served(running, '"a.example"')
    await running.end()
    # The machine begins anew as well.
    running.nginx.is_running, running.nginx.generation = False, ""

    running.begin(is_api_away=True)

    await until_served(running, '"a.example"')
    await running.end()
    reload_count = running.nginx.reload_count
    running.begin()

    async def is_followed() -> bool:
        leases = (await running.admin.list(Lease, ROAD_NAMESPACE)).items
        return any(is_serving_gateway(one) for one in leases)

    await until(is_followed)
    assert running.nginx.reload_count == reload_count
    assert '"a.example"' in running.nginx.text


async def test_every_change_of_endpoints_is_acknowledged_so_that_pods_may_go(
    running: Running,
) -> None:
    running.begin()
    made = await running.admin.create(fresh(a_slice(addresses=("10.244.1.2",))))

    async def is_acknowledged() -> bool:
        try:
            lease = await running.admin.get(Lease, "gateway-n1", ROAD_NAMESPACE)
        except NotFound:
            return False
        return applied_revision(lease) == revision_of(made)

    await until(is_acknowledged)
    made = await running.admin.update(replaced(made, endpoints=()))
    await until(is_acknowledged)


class SlowMachine(SystemClock):
    """A second goes by at each look at the clock; sleeps are noted, and short."""

    def __init__(self) -> None:
        self._late_s = 0.0
        self.spans: list[float] = []

    def monotonic(self) -> float:
        self._late_s += 1.0
        return super().monotonic() + self._late_s

    async def sleep(self, span_s: float) -> None:
        self.spans.append(span_s)
        await super().sleep(min(span_s, 0.02))


async def test_a_turn_that_compiles_for_long_is_followed_by_a_pause(
    running: Running, tmp_path: Path
) -> None:
    """Endpoints change all the time: the gateway did nothing else any more."""
    clock = SlowMachine()
    slow = Running(tmp_path / "slow", running.server, Env(clock=clock))

    async def has_paused() -> bool:
        return COMPILE_PAUSE_S_MAX in clock.spans

    slow.begin()
    try:
        await until(has_paused)
    finally:
        await slow.end()


def test_a_pause_is_a_share_of_what_was_compiled_within_its_limits() -> None:
    assert turn_pause_s(0.001, 0.05) == 0.05
    assert turn_pause_s(0.5, 0.05) == 0.5 / COMPILE_SHARE
    assert turn_pause_s(0.1, 1.0) == 1.0
    assert turn_pause_s(60.0, 1.0) == COMPILE_PAUSE_S_MAX


async def test_a_secret_that_an_ingress_names_is_read_and_followed_and_no_other(
    running: Running,
) -> None:
    running.begin()
    rule = ("a.example", ("/ web",))
    ingress = an_ingress("shop", rule, tls=(("web-tls", ("a.example",)),))
    await running.admin.create(fresh(ingress))
    await until_served(running, '"a.example"', "ssl_certificate")
    missing = "TLS of a.example: secret web-tls: it is not there; the self-made certificate serves"

    async def is_told() -> bool:
        return f"shop: {missing}" in await running.events()

    await until(is_told)
    folder = Path(running.settings.root) / TLS
    (own,) = {one.read_bytes() for one in folder.glob("*.pem")}
    made = pki.new_cert(Subject("a.example"), pki.new_ca("test", NOW), NOW)
    data = {"tls.crt": encoded(made.cert), "tls.key": encoded(made.key)}
    meta = ObjectMeta(name="web-tls", namespace="default")
    await running.admin.create(Secret(metadata=meta, data=data, type="kubernetes.io/tls"))

    async def is_followed() -> bool:
        found = {one.read_bytes() for one in folder.glob("*.pem")}
        return found == {own, made.cert + made.key}

    await until(is_followed)
    gateway = running.client(IDENTITY)
    assert (await gateway.get(Secret, "web-tls", "default")).data == data
    other = ObjectMeta(name="other", namespace="default")
    await running.admin.create(Secret(metadata=other))
    for forbidden in (
        gateway.get(Secret, "other", "default"),
        gateway.list(Secret, "default"),
        gateway.delete(Secret, "web-tls", "default"),
    ):
        with pytest.raises(Forbidden):
            await forbidden
    await running.admin.delete(Ingress, "shop", "default")

    async def is_forbidden() -> bool:
        try:
            await gateway.get(Secret, "web-tls", "default")
        except Forbidden:
            return True
        return False

    await until(is_forbidden)


async def test_authorities_that_a_policy_names_are_read_and_followed(running: Running) -> None:
    running.begin()
    meta = ObjectMeta(name="clients", namespace="default")
    authority = pki.new_ca("one", NOW).cert
    await running.admin.create(Secret(metadata=meta, data={"ca.crt": encoded(authority)}))
    ingress = an_ingress("shop", ("a.example", ("/ web",)), tls=(("web-tls", ()),))
    tls = {"clientCertificates": {"secretName": "clients"}}
    policy = a_policy(target={"kind": "Ingress", "name": "shop"}, tls=tls)
    await running.admin.create(fresh(policy))
    await running.admin.create(fresh(ingress))
    # Known before the road is served the first time: nobody is refused meanwhile.
    await until_served(running, '"a.example"', "ssl_client_certificate", "ssl_client_verify")
    assert "return 403;" not in running.nginx.text.replace("SUCCESS) { return 403; }", "")
    folder = Path(running.settings.root) / TLS
    assert authority in {one.read_bytes() for one in folder.glob("*.pem")}

    other = pki.new_ca("two", NOW).cert
    secret = await running.admin.get(Secret, "clients", "default")
    await running.admin.update(replaced(secret, data={"ca.crt": encoded(other)}))

    async def is_followed() -> bool:
        found = {one.read_bytes() for one in folder.glob("*.pem")}
        return other in found and authority not in found

    await until(is_followed)


async def test_what_roads_are_asked_for_is_told_by_the_gateways_lease(running: Running) -> None:
    running.begin()
    await running.admin.create(fresh(a_dns("d", "a.example", "/ web")))
    await until_served(running, '"a.example"')
    row = {"host": "a.example", "path": "/", "service": "default/web:80", "status": 502, "s": 0.5}
    said = json.dumps(row) + "\n"

    async def is_told() -> bool:
        # Again and again: the span of a report may end between two of them.
        with running.nginx.log_path.open("a") as log:
            log.write(said)
        lease = await running.admin.get(Lease, "gateway-n1", ROAD_NAMESPACE)
        told = json.loads(lease.metadata.annotations.get(RATES, "") or "[]")
        return [(row[:3], row[3] == row[4] > 0, row[5]) for row in told] == [
            (["a.example", "/", "default/web:80"], True, 500.0)
        ]

    await until(is_told)
