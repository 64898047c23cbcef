"""Looks at running programs from outside: is etcd there, is the API ready, is the node Ready."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.errors import ApiError
from cubernetes.client.connect import connect
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cuberoot.cluster import Cluster
from cuberoot.program import Health, client_for

LOOK_DEADLINE_S = 3.0
ANSWER_BYTES_MAX = 256 * 1024

type Look = Callable[[], Awaitable[str]]


def admin_client(cluster: Cluster, env: Env) -> Client:
    """Return a client with the administrator's certificate; only on a control plane."""
    return connect(client_for("admin", cluster), env, "cuberoot")


def node_client(cluster: Cluster, env: Env) -> Client:
    """Return a client with this node's own certificate."""
    return connect(client_for("kubelet", cluster), env, "cuberoot")


def health_missing(health: Health) -> Look:
    """Return a look at whether an address answers that its program is ready."""
    url = urlsplit(health.url)
    tls = _tls(health)

    async def look() -> str:
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                answer = await answer_of(url.hostname or "", url.port or 0, url.path, tls)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            return f"no answer on port {url.port}: {str(error) or 'time is up'}"
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0].split(b" ")[1:2]
        return "" if status == [b"200"] else f"{url.path} answers {body[-200:] or head[:200]!r}"

    return look


def _tls(health: Health) -> ssl.SSLContext | None:
    if health.ca is None:
        return None
    tls = ssl.create_default_context(cafile=str(health.ca))
    if health.own is not None:
        tls.load_cert_chain(health.own.cert, health.own.key)
    return tls


async def answer_of(
    host: str, port: int, path: str, tls: ssl.SSLContext | None, name: str | None = None
) -> bytes:
    """Ask for a path; return the answer, its head included. Raises: OSError.

    name: whose certificate is believed; by default the host's.
    """
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        found = bytearray()
        # One read returns what has come so far, which of a long answer is its beginning.
        while piece := await reader.read(ANSWER_BYTES_MAX - len(found)):
            found += piece
        return bytes(found)
    finally:
        writer.close()


def node_missing(client: Client, name: str) -> Look:
    """Return a look at whether the node is registered and Ready."""

    async def look() -> str:
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                node = await client.get(Node, name)
        except (ApiError, TransportError, TimeoutError) as error:
            return f"node {name}: {str(error) or 'no answer'}"
        if is_ready(node):
            return ""
        told = [one.message for one in node.status.conditions if one.type == "Ready"]
        return f"node {name} is not Ready: {told[0] if told else 'its kubelet has not reported'}"

    return look
