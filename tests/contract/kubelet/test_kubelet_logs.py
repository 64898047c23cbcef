"""The kubelet's log server over real TLS: who may ask, what is obeyed, and who cannot stop it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.host.env import Env
from cubernetes.host.web.httpserver import HttpServer
from cubernetes.host.web.messages import Identity, Request
from cubernetes.host.web.site import HttpRefusal
from cubernetes.host.web.tls import server_tls
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.logserver import LIMITS, ContainerLogs, Sources, Uses, log_server
from kubelet.measure.measuring import Measuring
from kubelet.measure.usage import PodGroup, Tree, Usage
from kubelet.observer import Observer
from kubelet.runtime.driver import SANDBOX, ContainerSpec, SandboxSpec
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from tests.contract.store.certificates import write_certificates
from tests.given import a_pod

LINES = [b"one\n", b"two\n", b"three\n"]
GROUPS = Tree(Usage(9, 9, 9), {a_pod("web-0").metadata.uid: PodGroup(Usage(10**9, 20, 30))})
CLIENT = "client"  # the name in the certificate of the only one who may ask


@dataclass
class OnePod:
    pod: Pod

    def named(self, namespace: str, name: str) -> Pod | None:
        here = (self.pod.metadata.namespace, self.pod.metadata.name)
        return self.pod if (namespace, name) == here else None

    async def address_of(self, pod: Pod) -> str:
        return "127.0.0.1" if pod.spec.containers else ""


@dataclass
class LogWorld:
    server: HttpServer
    session: aiohttp.ClientSession
    machine: FakeMachine

    async def asked(self, query: str = "", path: str = "default/web-0/main") -> tuple[int, bytes]:
        url = f"https://127.0.0.1:{self.server.port}/containerLogs/{path}?{query}"
        async with self.session.get(url) as answer:
            return answer.status, await answer.read()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LogWorld]:
    write_certificates(tmp_path)
    names = {name: str(tmp_path / name) for name in ("ca.crt", "server.crt", "server.key")}
    env, pod = Env(), a_pod("web-0")
    machine = FakeMachine(env, {"talks": Behaviour(output=LINES)}, ["talks", "pause:1"])
    runtime, uid = FakeRuntime(machine), pod.metadata.uid
    box = await runtime.start_sandbox(SandboxSpec(uid, "web-0", "default", "web-0", "pause:1"))
    await runtime.start_container(ContainerSpec(uid, "web-0", "default", "main", "talks"), box.id)
    observer = Observer(runtime)
    kept = KeptLogs(None, runtime, env)
    logs = ContainerLogs(CLIENT, Sources(OnePod(pod), runtime, observer, kept), env.clock)
    # Within a test no silence ends by its deadline.
    measuring = Measuring(lambda: [pod], lambda _: GROUPS, env)
    uses = Uses("n1", measuring).routes()
    server = log_server(logs, replace(LIMITS, head_deadline_s=600), uses)
    tls = server_tls(names["server.crt"], names["server.key"], names["ca.crt"])
    await server.listen("127.0.0.1", 0, tls)
    ours = ssl.create_default_context(cafile=names["ca.crt"])
    ours.load_cert_chain(str(tmp_path / "client.crt"), str(tmp_path / "client.key"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ours)) as session:
        yield LogWorld(server, session, machine)
    await server.stop(0.1)
    await observer.close()
    machine.close()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/metrics/resource", b'pod_cpu_usage_seconds_total{namespace="default",pod="web-0"} 1 '),
        ("/stats/summary", b'"workingSetBytes":30'),
        ("/metrics/cadvisor", b'namespace="default",pod="web-0"} 30 '),
    ],
)
async def test_what_pods_use_is_told(world: LogWorld, path: str, words: bytes) -> None:
    async with world.session.get(f"https://127.0.0.1:{world.server.port}{path}") as answer:
        assert (answer.status, words in await answer.read()) == (200, True)


def test_monitors_read_what_pods_use_and_no_logs() -> None:
    env = Env()
    runtime = FakeRuntime(FakeMachine(env))
    observer, kept = Observer(runtime), KeptLogs(None, runtime, env)
    logs = ContainerLogs(CLIENT, Sources(OnePod(a_pod("a")), runtime, observer, kept), env.clock)
    monitor = Identity("tsdb", ("system:monitoring",))
    for path in ("/metrics/resource", "/metrics/cadvisor", "/stats/summary"):
        logs.check_may(Request("GET", path, identity=monitor))
        with pytest.raises(HttpRefusal):
            logs.check_may(Request("GET", path, identity=Identity("system:node:n1")))
    with pytest.raises(HttpRefusal):
        logs.check_may(Request("GET", "/containerLogs/a/b/c", identity=monitor))


async def test_a_log_is_what_was_written(world: LogWorld) -> None:
    assert await world.asked() == (200, b"one\ntwo\nthree\n")
    assert await world.asked("tailLines=1") == (200, b"three\n")


async def test_a_container_that_is_only_made_has_no_log_yet(world: LogWorld) -> None:
    """It may be taken away and made anew, which would break off an answer that had begun."""
    runtime = FakeRuntime(world.machine)
    (first, box) = sorted(await runtime.containers(), key=lambda one: one.name == SANDBOX)
    again = ContainerSpec(first.pod_uid, "web-0", "default", "main", "talks", attempt=1)
    await runtime.make_container(again, box.id)

    assert await world.asked() == (200, b"one\ntwo\nthree\n")
    status, said = await world.asked("previous=true")
    assert (status, said) == (400, b"there is no previous container 'main' to read")


async def test_a_log_ends_at_the_byte_that_is_the_limit(world: LogWorld) -> None:
    for limit in (1, 4, 6, 13, 14, 99):
        assert await world.asked(f"limitBytes={limit}") == (200, b"one\ntwo\nthree\n"[:limit])
    # One that is followed ends there as well.
    assert await world.asked("follow=true&limitBytes=5") == (200, b"one\nt")


async def test_a_log_begins_at_the_time_asked_for(world: LogWorld) -> None:
    assert await world.asked("sinceTime=2020-01-01T00:00:00Z") == (200, b"one\ntwo\nthree\n")
    assert await world.asked("sinceTime=2199-01-01T00:00:00%2B01:00") == (200, b"")
    assert await world.asked("sinceSeconds=3600") == (200, b"one\ntwo\nthree\n")


@pytest.mark.parametrize(
    "query",
    [
        "tailLines=-1", "tailLines=x", "sinceSeconds=0", "limitBytes=0", "limitBytes=1.5",
        "sinceTime=yesterday", "sinceTime=2026-13-01T00:00:00Z", "follow=perhaps",
        "sinceTime=2026-01-01T00:00:00Z&sinceSeconds=1",
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(world: LogWorld, query: str) -> None:
    status, said = await world.asked(query)
    assert status == 400
    assert said.decode().startswith(f"{query.partition('=')[0]}: ")


async def test_what_is_not_here_is_said(world: LogWorld) -> None:
    assert (await world.asked(path="default/other/main"))[0] == 404
    assert (await world.asked(path="default/web-0/else"))[0] == 400
    assert (await world.asked("previous=true"))[0] == 400
    assert (await world.asked(path="default/web-0"))[0] == 404


async def test_silent_connections_cost_few_descriptors_and_keep_nobody_from_reading(
    world: LogWorld,
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    silent = [
        await asyncio.open_connection("127.0.0.1", world.server.port, local_addr=("127.0.0.2", 0))
        for _ in range(400)
    ]
    assert await world.asked() == (200, b"one\ntwo\nthree\n")
    async with asyncio.timeout(60):
        # All but those few are refused; each of ours is a descriptor too.
        while True:
            open_count = len(list(Path("/proc/self/fd").iterdir())) - before - len(silent)
            if open_count <= LIMITS.unknown_max + 4:
                break
            await asyncio.sleep(0.05)
    # Of one address they become fewer still as others come: see the tests of the doorstep.
    assert world.server.unknown_count <= LIMITS.unknown_max
    for _, writer in silent:
        writer.close()
    assert (
        max(LIMITS.connections_max, LIMITS.unknown_max) <= 1024 / 3
    )  # the rest is for starting pods
