"""Stores to test against: one in memory, and a real etcd on loopback that can be killed and cut."""

import asyncio
import contextlib
import http.client
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import pytest

from apiserver.storage.etcd.store import EtcdStore, connect
from apiserver.storage.settings import EtcdSettings
from apiserver.storage.store import Change, Changes, Put, Store
from cubernetes.host.env import Env
from tests.ports import free_ports

START_DEADLINE_S = 60.0


def reason_to_skip_etcd() -> str:
    """Return why no real etcd can be tested here, or "" where one can."""
    if shutil.which("etcd") is None:
        return "no etcd on PATH (run scripts/install-etcd)"
    return ""


class EtcdServer:
    """One etcd process over its own folder; a kill leaves the folder, a start goes on with it."""

    def __init__(self, folder: Path, *flags: str, scheme: str = "http") -> None:
        self.client_port, self.peer_port, self.metrics_port = free_ports(3)
        self.address = f"127.0.0.1:{self.client_port}"
        self.name = f"member-{self.peer_port}"
        self.peer_url = f"http://127.0.0.1:{self.peer_port}"
        # Every member of the cluster, as etcd wants it said.
        self.cluster = f"{self.name}={self.peer_url}"
        self._folder, self._flags, self._scheme = folder, flags, scheme
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, is_awaited: bool = True) -> None:
        client = f"{self._scheme}://{self.address}"
        argv = [
            "etcd", "--name", self.name, "--data-dir", str(self._folder / self.name),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", self.cluster, "--log-level", "error",
            "--listen-metrics-urls", f"http://127.0.0.1:{self.metrics_port}",
            # A test needs little patience for elections, and no safety from power cuts.
            "--heartbeat-interval", "20", "--election-timeout", "200", "--unsafe-no-fsync",
            *self._flags,
        ]  # fmt: skip
        with (self._folder / "etcd.log").open("ab") as said:
            self._process = subprocess.Popen(argv, stdout=said, stderr=said)
        if is_awaited:
            self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._is_healthy():
            if (
                self._process is None
                or self._process.poll() is not None
                or time.monotonic() > deadline
            ):
                self.kill()
                raise AssertionError((self._folder / "etcd.log").read_text()[-2000:])
            time.sleep(0.02)

    def kill(self) -> None:
        """End the process as a power cut would: without a word."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let the process hold its connections and say nothing more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def metric(self, name: str) -> float:
        for line in self._page("/metrics").splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise KeyError(name)

    def _is_healthy(self) -> bool:
        try:
            return '"true"' in self._page("/health")
        except (OSError, http.client.HTTPException):
            return False

    def _page(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@contextmanager
def etcd_running(*flags: str, scheme: str = "http") -> Iterator[EtcdServer]:
    """Run a fresh etcd; skip the test where there is none on this machine."""
    if reason := reason_to_skip_etcd():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="etcd-test-") as folder:
        server = EtcdServer(Path(folder), *flags, scheme=scheme)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def etcd_cluster(count: int) -> Iterator[list[EtcdServer]]:
    """Run a fresh cluster of count members; skip the test where there is no etcd."""
    if reason := reason_to_skip_etcd():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="etcd-test-") as folder:
        members = [EtcdServer(Path(folder)) for _ in range(count)]
        try:
            for member in members:
                member.cluster = ",".join(f"{each.name}={each.peer_url}" for each in members)
                member.start(is_awaited=False)
            for member in members:
                member.wait_until_healthy()
            yield members
        finally:
            for member in members:
                member.kill()


@asynccontextmanager
async def etcd_store(
    *addresses: str, deadline_s: float = 5.0, quota_bytes: int = 0
) -> AsyncIterator[EtcdStore]:
    """Open our store over plain connections to these addresses, with an impatient watch."""
    settings = EtcdSettings(
        endpoints=addresses,
        deadline_s=deadline_s,
        watch_idle_s=0.5,
        watch_stall_s=2.0,
        quota_bytes=quota_bytes,
    )
    store = await connect(settings, Env())
    try:
        yield store
    finally:
        await store.close()


class Wire:
    """A connection in between that can be cut: what `cut` finds under way is lost."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        # Set while answers pass; cleared, they wait and requests still arrive.
        self.answers_pass = asyncio.Event()
        self.answers_pass.set()
        (self.port,) = free_ports(1)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def heal(self) -> None:
        self.answers_pass.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Close every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._open |= {writer, back}
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back, None))
                group.create_task(self._pump(there, writer, self.answers_pass))
        self._tasks.discard(task)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        gate: asyncio.Event | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while content := await source.read(65536):
                if gate is not None:
                    await gate.wait()
                target.write(content)
                await target.drain()
        self._open.discard(target)
        target.close()


@asynccontextmanager
async def wire_to(server: EtcdServer) -> AsyncIterator[Wire]:
    wire = Wire(server.client_port)
    await wire.heal()
    try:
        yield wire
    finally:
        await wire.cut()


def watching(store: Store, prefix: str, after: int) -> aclosing[AsyncGenerator[Changes]]:
    """Watch until the end of the `async with`."""
    return aclosing(cast("AsyncGenerator[Changes]", store.watch(prefix, after=after)))


async def next_of(watch: AsyncIterator[Changes], deadline_s: float = 60.0) -> Changes:
    async with asyncio.timeout(deadline_s):
        return await anext(watch)


async def changes_until(
    watch: AsyncIterator[Changes], revision: int, deadline_s: float = 60.0
) -> list[Change]:
    """Return all changes that the watch yields until it has told of revision."""
    seen: list[Change] = []
    async with asyncio.timeout(deadline_s):
        async for changes in watch:
            seen += changes.changes
            if changes.revision >= revision:
                break
    return seen


async def write(store: Store, key: str, value: bytes = b"x") -> int:
    """Put without a condition; return the revision."""
    return (await store.commit([], [Put(key, value)])).revision
