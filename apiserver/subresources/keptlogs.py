"""Logs of pods that are gone: every kubelet is asked what it has kept of a name."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from apiserver.backend import Backend, KubeletLogs
from apiserver.call import Call
from apiserver.state.statuses import absent
from apiserver.wire.bodies import warned
from cubernetes.api.bodies.keptlogs import KeptLog, KeptLogList
from cubernetes.api.coding import codec
from cubernetes.api.condition import condition_of
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, BadRequest, NotFound, ServiceUnavailable
from cubernetes.client.wire.logquery import LogQuery, query_text
from cubernetes.host.web.messages import Response

ASKED_AT_ONCE = 16
ASKED_S = 5.0
# All nodes together: who has not answered by then is silent.
ALL_ASKED_S = 15.0
ANSWER_BYTES_MAX = 1024 * 1024


class Place(NamedTuple):
    """A log that is kept, and the node that has it."""

    node: Node
    log: KeptLog


async def kept_log(backend: Backend, call: Call, asked: LogQuery) -> Response:
    """Hand on a log of the pod that was called so, of which nothing else is there any more.

    Raises: ApiError: none is kept, or which is not said.
    """
    if backend.logs is None:
        raise ServiceUnavailable("this server has no way to the kubelets")
    nodes = [one for one in backend.objects(Node) if isinstance(one, Node)]
    path = f"/keptLogs/{quote(call.namespace, safe='')}/{quote(call.name, safe='')}"
    answers = await _answers(backend.logs, nodes, path)
    silent = [one.metadata.name for one, kept in zip(nodes, answers, strict=True) if kept is None]
    found = [
        Place(one, log) for one, kept in zip(nodes, answers, strict=True) for log in kept or ()
    ]
    place, told = chosen(_readable(backend, call, found), asked.container, asked.back)
    if place is None:
        if silent:
            said = (
                f"no log of pod {call.name} is found, but {', '.join(sorted(silent)[:5])} did not"
            )
            # No time to come back after: clients would ask all nodes again and again.
            raise ServiceUnavailable(f"{said} answer, and may have it")
        raise absent(Pod.resource, call.name)
    log = place.log
    path += f"/{quote(log.uid, safe='')}/{quote(log.container, safe='')}/{log.attempt}"
    lines = await backend.logs.open(place.node, path, query_text(asked))
    return warned(Response(200, lines, content_type="text/plain"), told)


async def _answers(
    kubelets: KubeletLogs, nodes: Sequence[Node], path: str
) -> list[Sequence[KeptLog] | None]:
    """Return what each node has kept; None of one whose kubelet is silent."""
    gate = asyncio.Semaphore(ASKED_AT_ONCE)
    asked = [
        asyncio.create_task(_asked(kubelets, one, path, gate)) if _is_heard(one) else None
        for one in nodes
    ]
    tasks = [one for one in asked if one is not None]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=ALL_ASKED_S)
    finally:
        for one in tasks:
            one.cancel()
    return [one.result() if one is not None and one.done() else None for one in asked]


def _is_heard(node: Node) -> bool:
    """Whether a node's kubelet reports: a node that is not ready may have what is asked for."""
    ready = condition_of(node.status.conditions, "Ready")
    return ready is None or ready.status != "Unknown"


async def _asked(
    kubelets: KubeletLogs, node: Node, path: str, gate: asyncio.Semaphore
) -> Sequence[KeptLog] | None:
    """Return what a node has kept; None where it does not answer."""
    try:
        async with gate, asyncio.timeout(ASKED_S):
            text = b""
            async for piece in await kubelets.open(node, path, ""):
                text += piece
                if len(text) > ANSWER_BYTES_MAX:
                    return None
        return codec.decode(KeptLogList, text).items
    except NotFound:
        return ()
    except (ApiError, TimeoutError, msgspec.DecodeError):
        return None


def _readable(backend: Backend, call: Call, found: Sequence[Place]) -> list[Place]:
    """Leave out what is of the pod that has the name now, and of a namespace that had this name."""
    pod = backend.find(Pod, call.name, call.namespace)
    namespace = backend.find(Namespace, call.namespace)
    since = namespace.metadata.creation_timestamp if namespace is not None else None
    if since is None:
        return []
    oldest, uid = int(since.timestamp()), pod.metadata.uid if pod is not None else ""
    return [one for one in found if one.log.made_at >= oldest and one.log.uid != uid]


class Chosen(NamedTuple):
    """The log that is meant, and what its reader is to know of the choice."""

    place: Place | None = None
    told: tuple[str, ...] = ()


def chosen(found: Sequence[Place], container: str, back: int) -> Chosen:
    """Return the log that is meant; back: how many lives ago, 1 is the last one.

    Raises: BadRequest: nobody knows of which container, or it has no such life.
    """
    # A kubelet that ended in the middle may have kept a life twice.
    each = {(one.log.uid, one.log.container, one.log.attempt): one for one in found}.values()
    newest = sorted(
        each, key=lambda one: (one.log.made_at, one.log.uid, one.log.attempt), reverse=True
    )
    if not newest:
        return Chosen()
    last = [one.log for one in newest if one.log.uid == newest[0].log.uid]
    names = sorted({log.container for log in last})
    wanted, told = container or names[0], ""
    if not container and len(names) > 1:
        wanted = next((log.container for log in last if log.is_default), "")
        if not wanted:
            listed = " ".join(names)
            raise BadRequest(f"a container name must be specified, logs are kept of: [{listed}]")
        told = f'Defaulted container "{wanted}" out of: {", ".join(names)}'
    lives = [one for one in newest if one.log.container == wanted]
    if not lives:
        raise BadRequest(f"container {wanted}: no log of it is kept, but of: [{' '.join(names)}]")
    if back > len(lives):
        raise BadRequest(f"life {back}: of container {wanted} only {len(lives)} are kept")
    return Chosen(lives[max(0, back - 1)], (told,) if told else ())
