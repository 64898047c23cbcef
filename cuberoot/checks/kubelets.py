"""Asks kubelets, from the control plane: one, or every one the same."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from cubernetes.api.coding import codec
from cubernetes.api.core.node import Node, is_address
from cubernetes.api.meta import Model
from cubernetes.host.env import Env
from cuberoot import layout
from cuberoot.apply import NotInitialised, known_cluster
from cuberoot.host import probe
from cuberoot.layout import pair
from cuberoot.programs import kubelet

DEADLINE_S = 60.0
PARALLEL_MAX = 16


class Kubelets(NamedTuple):
    """Those of all nodes, by name, and as whom they are asked."""

    nodes: Mapping[str, Node]
    tls: ssl.SSLContext

    async def ask[T: Model](self, name: str, path: str, kind: type[T]) -> T | str:
        """Return what a node's kubelet answers, or why it tells nothing."""
        return await _asked(self.nodes[name], path, kind, self.tls)


async def answers_of[T: Model](kubelets: Kubelets, path: str, kind: type[T]) -> dict[str, T | str]:
    """Return what each node's kubelet answers, by node, or why it tells nothing."""
    gate = asyncio.Semaphore(PARALLEL_MAX)

    async def asked(name: str) -> T | str:
        async with gate:
            return await kubelets.ask(name, path, kind)

    answers = await asyncio.gather(*(asked(name) for name in kubelets.nodes))
    return dict(zip(kubelets.nodes, answers, strict=True))


async def known_kubelets(env: Env) -> Kubelets:
    """Raises: NotInitialised."""
    cluster = known_cluster()
    if cluster is None or not cluster.is_control_plane:
        raise NotInitialised("run this on the control plane: it alone may ask every kubelet")
    client = probe.admin_client(cluster, env)
    try:
        nodes = sorted((await client.list(Node)).items, key=lambda one: one.metadata.name)
    finally:
        await client.close()
    tls = ssl.create_default_context(cafile=str(layout.CLUSTER_CA.cert))
    own = pair("apiserver-kubelet")
    tls.load_cert_chain(own.cert, own.key)
    return Kubelets({one.metadata.name: one for one in nodes}, tls)


async def _asked[T: Model](node: Node, path: str, kind: type[T], tls: ssl.SSLContext) -> T | str:
    if not is_address(node.address):
        return "has no address"
    try:
        async with asyncio.timeout(DEADLINE_S):
            # By its name, as the API server believes it: its address may have changed.
            name = node.metadata.name
            answer = await probe.answer_of(node.address, kubelet.PORT, path, tls, name)
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.split(b" ")[1:2] != [b"200"]:
            return f"its kubelet answers {head.partition(b'\r\n')[0].decode(errors='replace')}"
        return codec.decode(kind, body)
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        return f"its kubelet does not answer: {str(error) or 'time is up'}"
