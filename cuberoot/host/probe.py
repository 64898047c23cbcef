"""Looks at running programs from outside: is etcd there, is the API ready, is the node Ready."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.errors import ApiError
from cubernetes.client.connect import ClientSettings, connect
from cubernetes.client.outcome import Trouble
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cuberoot import layout
from cuberoot.cluster import ETCD_PORT, Cluster
from cuberoot.layout import Pair, pair

LOOK_DEADLINE_S = 3.0

type Look = Callable[[], Awaitable[str]]


def admin_client(cluster: Cluster, env: Env) -> Client:
    """Return a client with the administrator's certificate; only on a control plane."""
    return connect(_client_settings(cluster, pair("admin")), env, "cuberoot")


def node_client(cluster: Cluster, env: Env) -> Client:
    """Return a client with this node's own certificate."""
    return connect(_client_settings(cluster, pair("kubelet")), env, "cuberoot")


def _client_settings(cluster: Cluster, own: Pair) -> ClientSettings:
    return ClientSettings(
        servers=cluster.servers,
        ca=str(layout.CLUSTER_CA.cert),
        cert=str(own.cert),
        key=str(own.key),
    )


async def etcd_missing() -> str:
    """Say why etcd is not healthy; empty where it is."""
    own = pair("apiserver-etcd")
    tls = ssl.create_default_context(cafile=str(layout.ETCD_CA.cert))
    tls.load_cert_chain(own.cert, own.key)
    try:
        async with asyncio.timeout(LOOK_DEADLINE_S):
            answer = await _get("127.0.0.1", ETCD_PORT, "/health", tls)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return f"no answer on port {ETCD_PORT}: {str(error) or 'time is up'}"
    return "" if b'"true"' in answer else f"it says {answer[-200:]!r}"


async def _get(host: str, port: int, path: str, tls: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def api_missing(client: Client) -> Look:
    async def look() -> str:
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                response = await client.raw("GET", "/readyz")
        except (ApiError, Trouble, TimeoutError) as error:
            return f"/readyz: {str(error) or 'no answer'}"
        return "" if response.status == 200 else f"/readyz answers {response.status}"

    return look


def node_missing(client: Client, name: str) -> Look:
    """Return a look at whether the node is registered and Ready."""

    async def look() -> str:
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                node = await client.get(Node, name)
        except (ApiError, Trouble, TimeoutError) as error:
            return f"node {name}: {str(error) or 'no answer'}"
        if is_ready(node):
            return ""
        told = [one.message for one in node.status.conditions if one.type == "Ready"]
        return f"node {name} is not Ready: {told[0] if told else 'its kubelet has not reported'}"

    return look
