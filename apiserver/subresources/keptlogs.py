"""Logs of pods that are gone, and how containers ended: kubelets are asked what they have kept."""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from apiserver.backend import Backend, KubeletLogs
from apiserver.call import Call
from apiserver.state.statuses import absent
from apiserver.wire.bodies import warned
from cubernetes.api.bodies.keptlogs import KeptLog, KeptLogList
from cubernetes.api.bodies.postmortem import PostMortem, PostMortemList
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
# What is held of the answers of all nodes together: the newest. As much may be on its way from
# those that are asked at once.
ANSWERS_BYTES_MAX = 8 * 1024 * 1024


class Place[L: (KeptLog, PostMortem)](NamedTuple):
    """A life of which something is kept, and the node that has it."""

    node: Node
    log: L


type Order = tuple[int, str, int]


class Newest[L: (KeptLog, PostMortem)]:
    """What nodes have told, as far as there is room; the newest pods and lives are given it first.

    Nothing older than one that had no room is held, however small. omitted: how many had none.
    """

    def __init__(self, bytes_max: int = ANSWERS_BYTES_MAX) -> None:
        self._left, self._count, self.omitted = bytes_max, 0, 0
        self._held: list[tuple[Order, int, int, Place[L]]] = []
        self._dropped: Order | None = None  # the newest of them

    def take(self, node: Node, lives: Sequence[L]) -> None:
        for one in lives:
            order = (one.made_at, one.uid, one.attempt)
            if self._dropped is not None and order <= self._dropped:
                self.omitted += 1
                continue
            # The same life may be told twice: what is compared behind it must never be equal.
            self._count += 1
            size_bytes = len(codec.encode(one))
            heapq.heappush(self._held, (order, self._count, size_bytes, Place(node, one)))
            self._left -= size_bytes
            while self._left < 0:
                self._dropped, _, freed_bytes, _ = heapq.heappop(self._held)
                self._left += freed_bytes
                self.omitted += 1

    @property
    def places(self) -> list[Place[L]]:
        """The newest first."""
        return [place for *_, place in sorted(self._held, key=lambda one: one[:2], reverse=True)]


async def kept_log(backend: Backend, call: Call, asked: LogQuery) -> Response:
    """Hand on a log of the pod that was called so, of which nothing else is there any more.

    Raises: ApiError: none is kept, or which is not said.
    """
    if backend.logs is None:
        raise ServiceUnavailable("this server has no way to the kubelets")
    nodes = [one for one in backend.objects(Node) if isinstance(one, Node)]
    path = f"/keptLogs/{quote(call.namespace, safe='')}/{quote(call.name, safe='')}"
    newest = Newest[KeptLog]()
    silent = await ask(backend.logs, nodes, path, kept_in, newest)
    found = _readable(backend, call, newest.places)
    place, told = chosen(found, asked.container, asked.back)
    if place is None:
        if silent:
            said = f"no log of pod {call.name} is found, but {', '.join(silent[:5])} did not"
            # No time to come back after: clients would ask all nodes again and again.
            raise ServiceUnavailable(f"{said} answer, and may have it")
        raise absent(Pod.resource, call.name)
    log = place.log
    path += f"/{quote(log.uid, safe='')}/{quote(log.container, safe='')}/{log.attempt}"
    lines = await backend.logs.open(place.node, path, query_text(asked))
    return warned(Response(200, lines, content_type="text/plain"), told)


async def post_mortems(backend: Backend, call: Call) -> Response:
    """Tell how containers of the pods of a name ended: of the one that is here, its node is asked.

    Raises: ApiError.
    """
    if backend.logs is None:
        raise ServiceUnavailable("this server has no way to the kubelets")
    pod = backend.find(Pod, call.name, call.namespace)
    nodes = [one for one in backend.objects(Node) if isinstance(one, Node)]
    if pod is not None:
        nodes = [one for one in nodes if one.metadata.name == pod.spec.node_name]
    path = f"/postMortems/{quote(call.namespace, safe='')}/{quote(call.name, safe='')}"
    newest = Newest[PostMortem]()
    silent = await ask(backend.logs, nodes, path, ends_in, newest)
    oldest = _since(backend, call.namespace)
    every = [place.log for place in newest.places]
    found = [one for one in every if oldest is not None and one.made_at >= oldest]
    # A namespace's older ones are nobody's to count.
    omitted = newest.omitted if len(found) == len(every) else 0
    told = PostMortemList(items=tuple(found), silent=tuple(silent), omitted=omitted)
    return Response(200, codec.encode(told))


def _since(backend: Backend, namespace: str) -> int | None:
    """Return when a namespace was made, in seconds since 1970; None where it is not there."""
    found = backend.find(Namespace, namespace)
    since = found.metadata.creation_timestamp if found is not None else None
    return int(since.timestamp()) if since is not None else None


def kept_in(answer: bytes) -> Sequence[KeptLog]:
    return codec.decode(KeptLogList, answer).items


def ends_in(answer: bytes) -> Sequence[PostMortem]:
    return codec.decode(PostMortemList, answer).items


async def ask[L: (KeptLog, PostMortem)](
    kubelets: KubeletLogs,
    nodes: Sequence[Node],
    path: str,
    read: Callable[[bytes], Sequence[L]],
    newest: Newest[L],
) -> list[str]:
    """Take what each node has kept; return the names of those whose kubelets are silent.

    read: takes an answer apart. Raises: DecodeError.
    """
    gate = asyncio.Semaphore(ASKED_AT_ONCE)
    silent = {one.metadata.name for one in nodes}

    async def hear(node: Node) -> None:
        async with gate:
            kept = await _asked(kubelets, node, path, read)
        if kept is not None:
            silent.discard(node.metadata.name)
            newest.take(node, kept)

    tasks = [asyncio.create_task(hear(one)) for one in nodes if _is_heard(one)]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=ALL_ASKED_S)
    finally:
        for one in tasks:
            one.cancel()
    for one in tasks:
        if one.done():
            one.result()
    return sorted(silent)


def _is_heard(node: Node) -> bool:
    """Whether a node's kubelet reports: a node that is not ready may have what is asked for."""
    ready = condition_of(node.status.conditions, "Ready")
    return ready is None or ready.status != "Unknown"


async def _asked[L: (KeptLog, PostMortem)](
    kubelets: KubeletLogs, node: Node, path: str, read: Callable[[bytes], Sequence[L]]
) -> Sequence[L] | None:
    """Return what a node has kept; None where it does not answer."""
    try:
        async with asyncio.timeout(ASKED_S):
            text = bytearray()
            async for piece in await kubelets.open(node, path, ""):
                text += piece
                if len(text) > ANSWER_BYTES_MAX:
                    return None
        return read(bytes(text))
    except NotFound:
        return ()
    except (ApiError, TimeoutError, msgspec.DecodeError):
        return None


def _readable(
    backend: Backend, call: Call, found: Sequence[Place[KeptLog]]
) -> list[Place[KeptLog]]:
    """Leave out what is of the pod that has the name now, and of a namespace that had this name."""
    pod = backend.find(Pod, call.name, call.namespace)
    oldest, uid = _since(backend, call.namespace), pod.metadata.uid if pod is not None else ""
    if oldest is None:
        return []
    return [one for one in found if one.log.made_at >= oldest and one.log.uid != uid]


class Chosen(NamedTuple):
    """The log that is meant, and what its reader is to know of the choice."""

    place: Place[KeptLog] | None = None
    told: tuple[str, ...] = ()


def chosen(found: Sequence[Place[KeptLog]], container: str, back: int) -> Chosen:
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
