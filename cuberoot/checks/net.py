"""`cuberoot net check`: every node is asked how it reaches every other, in one table."""

import asyncio
import ssl

import msgspec

from cubernetes.api.bodies.reach import PathReport, ReachReport
from cubernetes.api.coding import codec
from cubernetes.api.core.node import Node, is_address
from cubernetes.host.env import Env
from cuberoot import layout
from cuberoot.apply import NotInitialised, Say, known_cluster
from cuberoot.host import probe
from cuberoot.layout import pair
from cuberoot.programs import kubelet

DEADLINE_S = 60.0
PARALLEL_MAX = 16
FORM = "{:<12} {:<12} {:>9} {:>9} {:>9}  {}"


class PathsBlocked(Exception):
    """Not every node reaches every other; the table says which, and what blocks."""


async def check_net(env: Env, say: Say) -> None:
    """Raises: PathsBlocked, NotInitialised."""
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
    answers = await asyncio.gather(*(_asked(one, tls, gate) for one in nodes))
    lines, bad = table({one.metadata.name: got for one, got in zip(nodes, answers, strict=True)})
    for line in lines:
        say(line)
    if bad:
        raise PathsBlocked(f"{bad} of {len(lines) - 1} ways are not whole")


async def _asked(node: Node, tls: ssl.SSLContext, gate: asyncio.Semaphore) -> ReachReport | str:
    """Return what a node's kubelet found, or why it tells nothing."""
    if not is_address(node.address):
        return "has no address"
    try:
        async with gate, asyncio.timeout(DEADLINE_S):
            # By its name, as the API server believes it: its address may have changed.
            name = node.metadata.name
            answer = await probe.answer_of(node.address, kubelet.PORT, "/reach", tls, name)
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.split(b" ")[1:2] != [b"200"]:
            return f"its kubelet answers {head.partition(b'\r\n')[0].decode(errors='replace')}"
        return codec.decode(ReachReport, body)
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        return f"its kubelet does not answer: {str(error) or 'time is up'}"


def table(answers: dict[str, ReachReport | str]) -> tuple[list[str], int]:
    """Return the lines to print, a title first, and how many of them tell of something bad."""
    lines, bad = [FORM.format("FROM", "TO", "NODE ms", "PODS ms", "PODS MTU", "BLOCKED")], 0
    for name, answer in sorted(answers.items()):
        if isinstance(answer, str):
            lines.append(FORM.format(name, "*", "-", "-", "-", answer))
            bad += 1
            continue
        for path in answer.paths:
            lines.append(_line(name, path))
            bad += bool(path.blocked)
    return lines, bad


def _line(name: str, path: PathReport) -> str:
    node, pods = (("-" if one is None else f"{one:.2f}") for one in (path.node_ms, path.pods_ms))
    return FORM.format(name, path.to, node, pods, path.pods_mtu or "-", path.blocked or "no")
