"""What a kubelet says of its pods, read: bounded, and believed of its own pods alone."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, cast

import msgspec

from apiserver.backend import KubeletLogs
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, ServiceUnavailable
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.metrics.use import ContainerMetrics, NodeMetrics, PodMetrics
from cubernetes.api.quantities import Quantity

SUMMARY_PATH = "/stats/summary"
SUMMARY_BYTES_MAX = 16 * 2**20
DEADLINE_S = 4.0
# Kubelets that are asked at the same time, for one client.
AT_ONCE_MAX = 16


class _Stats(msgspec.Struct, rename="camel"):
    time: datetime | None = None
    usage_nano_cores: int | None = None
    working_set_bytes: int | None = None


class _Container(msgspec.Struct, rename="camel"):
    name: str = ""
    cpu: _Stats = msgspec.field(default_factory=_Stats)
    memory: _Stats = msgspec.field(default_factory=_Stats)


class _PodRef(msgspec.Struct):
    uid: str = ""


class _Pod(msgspec.Struct, rename="camel"):
    pod_ref: _PodRef = msgspec.field(default_factory=_PodRef)
    containers: list[_Container] = []


class Summary(msgspec.Struct, rename="camel", dict=True):
    """What of a kubelet's summary is of use here."""

    node: _Container = msgspec.field(default_factory=_Container)
    pods: list[_Pod] = []
    window_seconds: float = 0.0

    @cached_property
    def by_uid(self) -> Mapping[str, _Pod]:
        """The pods by their uids; of two with one uid, the first."""
        return {one.pod_ref.uid: one for one in reversed(self.pods)}


async def summaries_of(kubelets: KubeletLogs, nodes: Iterable[Node]) -> Mapping[str, Summary]:
    """Return what each node's kubelet says, by the node's name; one that is silent is not there."""
    slots = asyncio.Semaphore(AT_ONCE_MAX)

    async def asked(node: Node) -> tuple[str, Summary | None]:
        async with slots:
            try:
                return node.metadata.name, await summary_of(kubelets, node)
            except ApiError:
                # A node that does not answer has no metrics: the others have.
                return node.metadata.name, None

    answers = await asyncio.gather(*(asked(node) for node in nodes))
    return {name: summary for name, summary in answers if summary is not None}


async def summary_of(kubelets: KubeletLogs, node: Node) -> Summary:
    """Raises: ApiError: the kubelet cannot be reached, or says what is no summary."""
    name, body = node.metadata.name, bytearray()
    try:
        async with asyncio.timeout(DEADLINE_S):
            pieces = cast(Any, await kubelets.open(node, SUMMARY_PATH, ""))
            async with aclosing(pieces):
                async for piece in pieces:
                    body += piece
                    if len(body) > SUMMARY_BYTES_MAX:
                        raise ServiceUnavailable(f"the kubelet of node {name} says too much")
        return msgspec.json.decode(bytes(body), type=Summary)
    except TimeoutError as error:
        message = f"the kubelet of node {name} did not answer within {DEADLINE_S:g} s"
        raise ServiceUnavailable(message, retry_after_s=5) from error
    except msgspec.DecodeError as error:
        message = f"the kubelet of node {name} tells no summary: {error}"
        raise ServiceUnavailable(message, retry_after_s=5) from error


def node_metrics(node: Node, summary: Summary) -> NodeMetrics | None:
    """Return what a node uses; None where its kubelet does not know it yet."""
    usage, at = _usage(summary.node), summary.node.memory.time
    if usage is None or at is None:
        return None
    meta = ObjectMeta(name=node.metadata.name, labels=node.metadata.labels, creation_timestamp=at)
    return NodeMetrics(metadata=meta, timestamp=at, window=_window(summary), usage=usage)


def pod_metrics(pod: Pod, summary: Summary) -> PodMetrics | None:
    """Return what a pod uses; None where one of its containers has no figures yet."""
    found = summary.by_uid.get(pod.metadata.uid)
    if found is None or not found.containers:
        return None
    usages = [(one, _usage(one)) for one in found.containers]
    at = max((one.memory.time for one in found.containers if one.memory.time), default=None)
    containers = [
        ContainerMetrics(name=one.name, usage=usage) for one, usage in usages if usage is not None
    ]
    if at is None or len(containers) < len(usages):
        return None
    meta = ObjectMeta(
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        labels=pod.metadata.labels,
        creation_timestamp=at,
    )
    return PodMetrics(
        metadata=meta, timestamp=at, window=_window(summary), containers=tuple(containers)
    )


def _usage(one: _Container) -> Mapping[str, Quantity] | None:
    nano, held = one.cpu.usage_nano_cores, one.memory.working_set_bytes
    if nano is None or held is None:
        return None
    return {"cpu": Quantity(f"{nano}n"), "memory": Quantity(f"{held // 1024}Ki")}


def _window(summary: Summary) -> str:
    return f"{timedelta(seconds=summary.window_seconds).total_seconds():g}s"
