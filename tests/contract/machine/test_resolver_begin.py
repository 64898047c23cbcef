"""How a resolver begins: by a checkpoint on a slow disk, by an API that tells some of it."""

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Object
from cubernetes.client.connect import ClientSettings
from cubernetes.client.outcome import Unreachable
from cubernetes.client.rest import Client
from cubernetes.client.transport import Transport
from cubernetes.host.blocking import Blocking, Key, StillHanging
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response
from cuberoot import pki
from resolver import run as resolver_run
from resolver.checkpoint import Kept, NamesCheckpoint, Writing
from resolver.forwarding.upstreams import Upstream
from resolver.objects import namespace_kept, service_kept
from resolver.run import FILE
from resolver.settings import ResolverSettings
from tests.contract.machine.test_resolver import (
    DEADLINE_S,
    LOOPBACK,
    NAME,
    address,
    by_datagram,
    other,
)
from tests.given import NOW, a_meta, a_namespace, a_service
from tests.ports import free_ports
from tests.scripted import listed
from tests.unit.resolver.asking import code_of, question


class SlowDisk:
    """Reads a checkpoint once it is let; other calls at once.

    hangs: also the few lines that are read first.
    """

    def __init__(self, *, hangs: bool = False) -> None:
        self.is_let = asyncio.Event()
        self.is_let_save = asyncio.Event()
        self.is_let_save.set()
        self.save_count = self.look_count = 0
        self._hangs = hangs

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = 10.0) -> T:
        if key == FILE:
            is_save = isinstance(work, partial)
            self.save_count += is_save
            if is_save and not self.is_let_save.is_set():
                raise StillHanging(errno.ETIMEDOUT, "the disk hangs")
            if not is_save and (self._hangs or getattr(work, "__name__", "") == "load"):
                async with asyncio.timeout(deadline_s):
                    await self.is_let.wait()
        else:
            self.look_count += 1
        return work()


class SmallApi:
    """Lists objects of some kinds and tells of no change; other kinds cannot be reached."""

    def __init__(self, kinds: Iterable[type[Object]], *objects: Object) -> None:
        self._plurals = {kind.resource.plural for kind in kinds}
        self._objects = objects
        self.listed: set[str] = set()

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        plural = request.path.rpartition("/")[2]
        if plural not in self._plurals:
            raise Unreachable(plural)
        self.listed.add(plural)
        return listed([one for one in self._objects if one.resource.plural == plural], 10)

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        return Response(200, self._lines())

    async def close(self) -> None:
        """Nothing is open."""

    async def _lines(self) -> AsyncGenerator[bytes]:
        await asyncio.Event().wait()
        yield b""


KINDS = (Service, EndpointSlice, Namespace, Dns, ConfigMap)
DNS = Dns(
    metadata=a_meta("d"),
    spec=DnsSpec(host="shop.example"),
    status=DnsStatus(gateways=("192.0.2.7",)),
)


def stub(upstream: Upstream) -> ConfigMap:
    """Return what says that names of corp.example are asked of one name server."""
    domains = f'{{"corp.example": ["{upstream.address}:{upstream.port}"]}}'
    meta = a_meta("resolver", namespace="kube-system")
    data = {"stubDomains": domains, "hosts": f"192.0.2.9 db{upstream.port}.example"}
    return ConfigMap(metadata=meta, data=data)


@asynccontextmanager
async def running(
    folder: Path, disk: Blocking, api: Transport | None = None
) -> AsyncIterator[Callable[[str], Awaitable[tuple[str, list[str]]]]]:
    """Run a resolver whole; yield what asks it, once it answers, for a code and addresses."""
    (folder / "ca").write_bytes(pki.new_ca("test", NOW).cert)
    (port,) = free_ports(1)
    settings = ResolverSettings(
        node_name="n1",
        client=ClientSettings(servers=("https://127.0.0.1:1",), ca=str(folder / "ca")),
        address=LOOPBACK,
        port=port,
        resolv_confs=(),
        checkpoint=str(folder / "names"),
    )
    env = replace(Env(), blocking=disk)
    client = Client(api, env) if api is not None else None
    task = asyncio.ensure_future(resolver_run.run(settings, env, client))

    async def ask(name: str) -> tuple[str, list[str]]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(ConnectionRefusedError):
                    answer = await by_datagram(port, question(name))
                    return code_of(answer), [str(one.rdata) for one in answer.rr]
                await asyncio.sleep(0.05)

    try:
        yield ask
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await is_so():  # noqa: ASYNC110  it is told by no one
            await asyncio.sleep(0.05)


def keep(folder: Path, *objects: Kept) -> None:
    writing = Writing()
    writing.take(objects)
    NamesCheckpoint(folder / "names").save(writing.end())


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEGIN_S", "LOOK_S", "SAVE_AFTER_S", "SAVE_AGAIN_S"):
        monkeypatch.setattr(resolver_run, name, 0.1)


SERVICES = (namespace_kept(a_namespace("default")), service_kept(a_service()))


@pytest.mark.usefixtures("_soon")
async def test_a_checkpoint_that_is_slow_to_read_keeps_back_no_names_of_others(
    tmp_path: Path,
) -> None:
    keep(tmp_path, *SERVICES)
    disk = SlowDisk(hangs=True)
    async with running(tmp_path, disk) as ask:
        for name in ("example.com.", NAME):
            assert await ask(name) == ("SERVFAIL", [])
        disk.is_let.set()
        await until(lambda: said_of(ask, NAME, "10.96.0.10"))


@pytest.mark.usefixtures("_soon")
async def test_what_is_said_of_others_names_is_there_before_the_clusters_many(
    tmp_path: Path,
) -> None:
    disk = SlowDisk()
    async with other(address) as (server, upstream):
        keep(tmp_path, DNS, stub(upstream), *SERVICES)
        async with running(tmp_path, disk) as ask:
            assert await ask("shop.example.") == ("NOERROR", ["192.0.2.7"])
            assert await ask(f"db{upstream.port}.example.") == ("NOERROR", ["192.0.2.9"])
            assert await ask("www.corp.example.") == ("NOERROR", ["192.0.2.1"])
            assert await ask(NAME) == ("SERVFAIL", [])
            assert server.asked == ["www.corp.example."]
            disk.is_let.set()
            await until(lambda: said_of(ask, NAME, "10.96.0.10"))
            assert await ask("shop.example.") == ("NOERROR", ["192.0.2.7"])


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("is_there", [True, False], ids=["changed", "gone"])
async def test_what_the_api_says_of_overrides_is_newer_than_a_checkpoint_read_late(
    tmp_path: Path, *, is_there: bool
) -> None:
    disk = SlowDisk(hangs=True)
    async with other(address) as (old, before), other(address) as (_, after):
        keep(tmp_path, *SERVICES, stub(before))
        api = SmallApi([ConfigMap], *[stub(after)] * is_there)
        async with running(tmp_path, disk, api) as ask:
            await ask(NAME)
            async with asyncio.timeout(DEADLINE_S):
                while not api.listed:  # noqa: ASYNC110  it is told by no one
                    await asyncio.sleep(0.01)
            disk.is_let.set()
            await until(lambda: said_of(ask, NAME, "10.96.0.10"))
            # What is said holds from the next look on.
            looked = disk.look_count + 2
            async with asyncio.timeout(DEADLINE_S):
                while disk.look_count <= looked:  # noqa: ASYNC110  it is told by no one
                    await asyncio.sleep(0.01)
            found = await ask("www.corp.example.")
            assert found == (("NOERROR", ["192.0.2.1"]) if is_there else ("SERVFAIL", []))
            assert old.asked == []
            assert await ask(f"db{before.port}.example.") == ("SERVFAIL", [])
            if is_there:
                assert await ask(f"db{after.port}.example.") == ("NOERROR", ["192.0.2.9"])


@pytest.mark.usefixtures("_soon")
async def test_what_a_disk_did_not_take_is_kept_later_without_a_change(tmp_path: Path) -> None:
    disk = SlowDisk()
    disk.is_let.set()
    disk.is_let_save.clear()
    api = SmallApi(KINDS, a_namespace("default"), a_service(), DNS)
    async with running(tmp_path, disk, api) as ask:
        await until(lambda: said_of(ask, NAME, "10.96.0.10"))
        async with asyncio.timeout(DEADLINE_S):
            while not disk.save_count:  # noqa: ASYNC110  it is told by no one
                await asyncio.sleep(0.01)
            disk.is_let_save.set()
            while not (tmp_path / "names").exists():  # noqa: ASYNC110  nor that
                await asyncio.sleep(0.01)
    checkpoint = NamesCheckpoint(tmp_path / "names")
    saved, outside = checkpoint.load(), checkpoint.load_outside()
    assert saved is not None
    assert outside is not None
    assert (len(saved.services), outside.dnses, outside.services) == (1, saved.dnses, [])


async def said_of(
    ask: Callable[[str], Awaitable[tuple[str, list[str]]]], name: str, address: str
) -> bool:
    return await ask(name) == ("NOERROR", [address])


@pytest.mark.usefixtures("_soon")
async def test_what_the_api_says_of_others_names_is_answered_before_the_clusters_are_listed(
    tmp_path: Path,
) -> None:
    api = SmallApi([ConfigMap, Dns], stub(Upstream(LOOPBACK, 9)), DNS)
    async with running(tmp_path, SlowDisk(hangs=True), api) as ask:
        await until(lambda: said_of(ask, "shop.example.", "192.0.2.7"))
        assert await ask("db9.example.") == ("NOERROR", ["192.0.2.9"])
        assert await ask(NAME) == ("SERVFAIL", [])
