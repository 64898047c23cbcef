"""An API server on the memory store, a clock that only moves when told, and a way to ask it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apiserver.backend import JobOutputs, KubeletLogs, Signer, TokenKeys
from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Store
from cubernetes.host.env import Env
from cubernetes.host.random import SeededRng
from cubernetes.host.web.messages import Identity, Request
from cubernetes.reconcile.readings import SampleStore

ADMIN = Identity("kubernetes-admin", ("system:masters",))
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
NODES = "/api/v1/nodes"
SETTLE_TURNS = 60

type Tree = dict[str, Any]


class StillClock:
    """Time stands until `advance`: who sleeps is woken in the order of the times."""

    def __init__(self) -> None:
        self._passed_s = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        return self._passed_s

    async def sleep(self, span_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self._passed_s + span_s, waiter))
        await waiter

    async def advance(self, span_s: float) -> None:
        ends_at = self._passed_s + span_s
        while due := [one for one in self._sleeping if one[0] <= ends_at]:
            at, waiter = min(due, key=lambda one: one[0])
            self._sleeping.remove((at, waiter))
            self._passed_s = max(self._passed_s, at)
            if not waiter.done():
                waiter.set_result(None)
            await settled()
        self._passed_s = ends_at
        await settled()


async def settled() -> None:
    """Let everything that can run now run."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Answer:
    code: int
    body: bytes
    headers: Mapping[str, str]
    content_type: str

    @property
    def tree(self) -> Tree:
        tree: Tree = json.loads(self.body)
        return tree

    @property
    def revision(self) -> int:
        return int(self.tree["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.tree["items"]]


class Lines:
    """A watch, as its client reads it."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.stream = stream
        self._rest: list[Tree] = []

    async def next(self) -> Tree:
        async with asyncio.timeout(60):
            while not self._rest:
                piece = await anext(self.stream)
                self._rest = [json.loads(line) for line in piece.splitlines()]
        return self._rest.pop(0)

    async def told(self) -> tuple[str, str]:
        """Return the type of the next event and the name of its object."""
        event = await self.next()
        return event["type"], event["object"]["metadata"].get("name", "")

    async def ended(self) -> bool:
        try:
            async with asyncio.timeout(60):
                await anext(self.stream)
        except StopAsyncIteration:
            return True
        return False

    async def close(self) -> None:
        await self.stream.aclose()  # type: ignore[attr-defined]  # a stream has it


class World:
    def __init__(self, server: ApiServer, store: Store, clock: StillClock) -> None:
        self.server, self.store, self.clock = server, store, clock

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity = ADMIN,
        peer: str = "",
    ) -> Answer:
        content = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            content = json.dumps(body).encode()
        request = Request(
            method, path, tuple((query or {}).items()), dict(headers or {}), content, identity, peer
        )
        response = await self.server.handle(request)
        assert isinstance(response.body, bytes)
        return Answer(response.status, response.body, response.headers, response.content_type)

    async def watch(
        self, path: str, *, identity: Identity = ADMIN, accept: str = "", **query: str
    ) -> Lines:
        headers = {"accept": accept} if accept else {}
        fields = (("watch", "true"), *query.items())
        response = await self.server.handle(Request("GET", path, fields, headers, b"", identity))
        assert not isinstance(response.body, bytes), response.body
        return Lines(response.body)

    async def keys(self) -> list[str]:
        """Return every key of the store."""
        return [entry.key for entry in (await self.store.list("/")).entries]


@asynccontextmanager
async def a_world(
    *,
    limits: Limits | None = None,
    settings: Mapping[str, Any] | None = None,
    wrapped: Callable[[MemoryStore], Store] | None = None,
    logs: KubeletLogs | None = None,
    jobs: JobOutputs | None = None,
    signer: Signer | None = None,
    samples: SampleStore | None = None,
    accounts: TokenKeys | None = None,
) -> AsyncIterator[World]:
    clock = StillClock()
    env = Env(clock=clock, rng=SeededRng("api"))
    memory = MemoryStore(env)
    store = wrapped(memory) if wrapped else memory
    chosen = Settings(
        limits=limits or Limits(), advertise_addresses=("10.0.0.1",), **(settings or {})
    )
    server = ApiServer(
        store,
        env,
        chosen,
        logs=logs,
        signer=signer,
        samples=samples,
        accounts=accounts,
        jobs=jobs,
    )
    await server.start()
    try:
        yield World(server, store, clock)
    finally:
        await server.stop()
        await memory.close()


def a_pod(name: str = "web", **spec: object) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}], **spec},
    }


def a_set(name: str = "web", replicas: object = 1) -> Tree:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
    }
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}


def a_service(name: str = "web", **spec: object) -> Tree:
    ports = [{"port": 80}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": ports, **spec},
    }


def a_node(name: str = "n1") -> Tree:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def a_namespace(name: str) -> Tree:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
