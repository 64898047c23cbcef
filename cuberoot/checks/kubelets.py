"""Asks every kubelet one question, from the control plane."""

import asyncio
import ssl

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


async def answers_of[T: Model](env: Env, path: str, kind: type[T]) -> dict[str, T | str]:
    """Return what each node's kubelet answers, by node, or why it tells nothing.

    Raises: NotInitialised.
    """
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
    gate = asyncio.Semaphore(PARALLEL_MAX)
    answers = await asyncio.gather(*(_asked(one, path, kind, tls, gate) for one in nodes))
    return {one.metadata.name: got for one, got in zip(nodes, answers, strict=True)}


async def _asked[T: Model](
    node: Node, path: str, kind: type[T], tls: ssl.SSLContext, gate: asyncio.Semaphore
) -> T | str:
    if not is_address(node.address):
        return "has no address"
    try:
        async with gate, asyncio.timeout(DEADLINE_S):
            # By its name, as the API server believes it: its address may have changed.
            name = node.metadata.name
            answer = await probe.answer_of(node.address, kubelet.PORT, path, tls, name)
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.split(b" ")[1:2] != [b"200"]:
            return f"its kubelet answers {head.partition(b'\r\n')[0].decode(errors='replace')}"
        return codec.decode(kind, body)
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        return f"its kubelet does not answer: {str(error) or 'time is up'}"
