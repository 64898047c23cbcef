"""A real API server on the memory store, over TLS on loopback, and cubectl as its client."""

import asyncio
import base64
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from apiserver.http.app import App
from apiserver.proxying.exchange import Answer, Asked, Target
from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubectl.kinds import Kinds, place_for
from cubernetes.api.core.node import Node
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Upgrade
from tests.contract.store.certificates import Authority, write_pair

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60.0
KNOWN_KINDS: dict[str, dict[str, Any]] = {
    "/apis": {"groups": []},
    "/api/v1": {
        "groupVersion": "v1",
        "resources": [
            {"name": "pods", "kind": "Pod", "namespaced": True},
            {"name": "replicasets", "kind": "ReplicaSet", "namespaced": True, "shortNames": ["rs"]},
            {"name": "replicasets/scale", "kind": "Scale", "namespaced": True},
        ],
    },
}


class SaidByKubelet:
    """Every container of every node has said the same."""

    async def open(self, node: Node, path: str, query: str) -> AsyncIterator[bytes]:
        return self._text(f"{node.metadata.name} {path} {query}\n".encode())

    async def exchange(self, target: Target, asked: Asked) -> Answer:
        raise ServiceUnavailable("nothing is handed on here")

    async def upgrade(
        self, node: Node, path: str, query: str, headers: Mapping[str, str]
    ) -> Upgrade:
        raise ServiceUnavailable("no sessions here")

    async def _text(self, line: bytes) -> AsyncIterator[bytes]:
        yield line


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


class Cluster:
    """An API server's address, and command lines against it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    async def start(
        self, line: str, *words: str, config: str = "admin"
    ) -> asyncio.subprocess.Process:
        return await self._started([sys.executable, "-m", "cubectl", *line.split(), *words], config)

    async def _started(self, argv: list[str], config: str) -> asyncio.subprocess.Process:
        environment = {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "KUBECONFIG": str(self.folder / config),
        }
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *argv, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def python(self, code: str, *words: str) -> Said:
        """Run a program whose arguments are a command line."""
        process = await self._started([sys.executable, "-c", code, *words], "admin")
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def cubectl(self, line: str, *words: str, stdin: str = "", config: str = "admin") -> Said:
        """Run a command line to its end; words are arguments that may hold blanks."""
        process = await self.start(line, *words, config=config)
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate(stdin.encode())
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def ok(self, line: str, *words: str, stdin: str = "") -> str:
        """Run a command line that must succeed; return what it printed."""
        said = await self.cubectl(line, *words, stdin=stdin)
        assert (said.code, said.err) == (0, ""), said
        return said.out

    async def interrupted(self, process: asyncio.subprocess.Process) -> Said:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())


def write_config(folder: Path, name: str, port: int, ca: bytes, cert: bytes, key: bytes) -> None:
    def data(content: bytes) -> str:
        return base64.b64encode(content).decode()

    user = {"client-certificate-data": data(cert), "client-key-data": data(key)} if cert else {}
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": data(ca)}
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "main", "user": "main"}}],
        "clusters": [{"name": "main", "cluster": server}],
        "users": [{"name": "main", "user": user}],
    }
    path = folder / name
    path.write_text(json.dumps(tree))
    path.chmod(0o600)


@asynccontextmanager
async def a_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Serve in this loop; configs: admin, nobody (no certificate), stranger (another authority)."""
    authority = Authority()
    ca = authority.own.cert
    (folder / "ca.crt").write_bytes(ca)
    write_pair(folder, "server", authority.sign("apiserver"))
    settings = Settings(
        listen_address="127.0.0.1",
        listen_port=0,
        advertise_addresses=("192.0.2.1",),
        cert=str(folder / "server.crt"),
        key=str(folder / "server.key"),
        client_ca=str(folder / "ca.crt"),
    )
    env = Env()
    store = MemoryStore(env)
    # It listens on any free port, and tells the cluster of the usual one.
    told = msgspec.structs.replace(settings, listen_port=6443)
    server = ApiServer(store, env, told, logs=SaidByKubelet())
    app = App(server, settings)
    await app.start()
    try:
        await server.start()
        admin = authority.sign("kubernetes-admin", "system:masters")
        write_config(folder, "admin", app.port, ca, *admin)
        write_config(folder, "nobody", app.port, ca, b"", b"")
        write_config(folder, "stranger", app.port, Authority().own.cert, b"", b"")
        yield Cluster(folder, app.port)
    finally:
        await server.stop()
        await app.stop()
        await store.close()


@asynccontextmanager
async def a_silent_server(folder: Path) -> AsyncIterator[Cluster]:
    """Take every request, and hang up without a word."""
    authority = Authority()
    ca = authority.own.cert
    (folder / "server.pem").write_bytes(b"".join(authority.sign("apiserver")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    write_config(folder, "admin", port, ca, b"", b"")
    # Its clients know the kinds already: they could not ask it.
    place = place_for({"HOME": str(folder)}, f"https://127.0.0.1:{port}", ca)
    _ = Kinds(KNOWN_KINDS.__getitem__, place, lambda: datetime.now(UTC)).catalog
    async with server:
        yield Cluster(folder, port)
