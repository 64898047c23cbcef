"""The way to the kubelets over real TLS: only the node's own certificate is believed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apiserver.http.kubelets import HttpsKubelets
from apiserver.settings import Settings
from cubernetes.api.core.node import DaemonEndpoint, DaemonEndpoints, Node, NodeAddress, NodeStatus
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.api.meta import ObjectMeta
from tests.contract.store.certificates import Authority, write_pair

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsaid\n"


class Listener:
    """Answers every request alike, and remembers that it was asked."""

    def __init__(self) -> None:
        self.request_count = 0
        self.answer = ANSWER
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.request_count += 1
                writer.write(self.answer)
                if self.answer != ANSWER:
                    await writer.drain()
                    writer.transport.abort()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


@asynccontextmanager
async def listening(
    folder: Path, authority: Authority, user: str, *names: str
) -> AsyncIterator[tuple[Listener, int]]:
    """Listen on loopback with a certificate for that address, and for names."""
    signed = authority.sign(user, "system:nodes", names)
    (folder / "own.pem").write_bytes(b"".join(signed))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "own.pem")
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield listener, server.sockets[0].getsockname()[1]
        # A client keeps its connections for a while, and the server waits for their ends.
        for writer in listener.writers:
            writer.transport.abort()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority()
    (tmp_path / "ca.crt").write_bytes(made.own.cert)
    write_pair(tmp_path, "client", made.sign("system:apiserver"))
    return made


@pytest.fixture
async def kubelets(tmp_path: Path, authority: Authority) -> AsyncIterator[HttpsKubelets]:
    settings = Settings(
        kubelet_ca=str(tmp_path / "ca.crt"),
        kubelet_cert=str(tmp_path / "client.crt"),
        kubelet_key=str(tmp_path / "client.key"),
    )
    made = HttpsKubelets(settings)
    yield made
    await made.close()


def node_at(name: str, port: int) -> Node:
    endpoint = DaemonEndpoint(port=port)
    status = NodeStatus(
        addresses=(NodeAddress(type="InternalIP", address="127.0.0.1"),),
        daemon_endpoints=DaemonEndpoints(kubelet_endpoint=endpoint),
    )
    return Node(metadata=ObjectMeta(name=name), status=status)


async def said(kubelets: HttpsKubelets, node: Node) -> bytes:
    pieces = await kubelets.open(node, "/containerLogs/default/web/main", "")
    return b"".join([piece async for piece in pieces])


async def test_a_kubelet_with_its_nodes_certificate_is_asked(
    tmp_path: Path, authority: Authority, kubelets: HttpsKubelets
) -> None:
    async with listening(tmp_path, authority, "system:node:n1", "n1") as (listener, port):
        assert await said(kubelets, node_at("n1", port)) == b"said\n"
        assert listener.request_count == 1


@pytest.mark.parametrize("name", ["n2", "localhost", "n1.example.com", ""])
async def test_who_answers_at_a_nodes_address_with_another_certificate_is_told_nothing(
    tmp_path: Path, authority: Authority, kubelets: HttpsKubelets, name: str
) -> None:
    """Its certificate is the cluster's, and good for that very address."""
    names = (name,) if name else ()
    async with listening(tmp_path, authority, "kube-apiserver", *names) as (listener, port):
        with pytest.raises(ServiceUnavailable, match="n1"):
            await said(kubelets, node_at("n1", port))
        assert listener.request_count == 0


async def test_a_connection_to_one_node_is_not_used_for_another(
    tmp_path: Path, authority: Authority, kubelets: HttpsKubelets
) -> None:
    """A node may state the address of another: the way there is open already."""
    async with listening(tmp_path, authority, "system:node:n1", "n1") as (listener, port):
        assert await said(kubelets, node_at("n1", port)) == b"said\n"
        with pytest.raises(ServiceUnavailable, match="n2"):
            await said(kubelets, node_at("n2", port))
        assert listener.request_count == 1


async def test_a_refusal_that_breaks_off_is_the_kubelets_trouble_not_ours(
    tmp_path: Path, authority: Authority, kubelets: HttpsKubelets
) -> None:
    async with listening(tmp_path, authority, "system:node:n1", "n1") as (listener, port):
        listener.answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100\r\n\r\n"
        with pytest.raises(ServiceUnavailable, match="n1"):
            await said(kubelets, node_at("n1", port))
