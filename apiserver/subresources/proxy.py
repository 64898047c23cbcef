"""`pods/proxy`, `services/proxy`, `nodes/proxy`: a request handed on, and its answer handed back.

What is reached is what the path names and nothing else: a port of a pod through that pod's kubelet,
or a kubelet. No address that stands in an object is ever connected to, and no name looked up.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast
from urllib.parse import quote, unquote

from apiserver.backend import Backend, KubeletLogs
from apiserver.call import Call
from apiserver.fairness.sessions import Topic
from apiserver.proxying import heads
from apiserver.proxying.exchange import Answer, Asked, Target, Unreached
from apiserver.proxying.pages import Rewriter
from apiserver.proxying.targets import (
    Place,
    Spot,
    check_open,
    pod_port,
    service_places,
    spot_in,
)
from apiserver.state.statuses import absent
from apiserver.subresources.execution import refuse_other_sites
from apiserver.subresources.subresource import Method, Subresource
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import BadRequest, Forbidden, ServiceUnavailable
from cubernetes.api.meta import Object
from cubernetes.client.wire.paths import target_of
from cubernetes.host.web.messages import Response, Upgrade
from cubernetes.host.web.upgrade import relayed

# Verbs by which requests are authorized, as Kubernetes has them.
VERBS = (
    ("GET", "get"), ("HEAD", "get"), ("OPTIONS", "get"), ("POST", "create"), ("PUT", "update"),
    ("PATCH", "patch"), ("DELETE", "delete"),
)  # fmt: skip
READS = ("GET", "HEAD", "OPTIONS")
# How many pods of a service are tried, where one is not reached.
TRIES_MAX = 3


async def proxy(backend: Backend, call: Call) -> Response:
    """Hand a request on to what the path names, and its answer back as it comes.

    Raises: ApiError.
    """
    resource, request = call.kind.resource, call.request
    spot = spot_in(call.name, resource.singular)
    prefix, line = _split(call)
    if line.startswith("?") or not line:
        if request.method in ("GET", "HEAD"):
            # Relative links of the page at the root would lead out of it.
            return Response(301, b"", {"Location": f"{prefix}/{line}"}, content_type="")
        line = f"/{line}"
    is_switched = heads.is_switch(request.fields)
    is_act = is_switched or request.method not in READS
    if is_act and not heads.is_of_this_machine(request.headers.get("origin", "")):
        refuse_other_sites(request.headers)
    targets = await _targets(backend, call, spot)
    places, user = backend.proxied, call.identity.user
    places.check_room(user)
    uri = prefix + line.partition("?")[0]
    fields = heads.asked_fields(request.fields, request.address, uri, is_switched=is_switched)
    pieces = call.unread.pieces if call.unread is not None else None
    asked = Asked(request.method, line, fields, pieces() if pieces is not None else None)
    places.take(user)
    try:
        answer = await _answered(backend, targets, asked)
    except BaseException:
        places.leave(user)
        raise
    if answer.far is None:
        body = _Body(answer, prefix, lambda: places.leave(user))
        host = request.headers.get("host", "")
        told = heads.answered_fields(answer.fields, prefix, host)
        return Response(answer.status, body, content_type="", fields=body.fields(told))
    places.leave(user)
    return await _switched(backend, call, answer)


async def _switched(backend: Backend, call: Call, answer: Answer) -> Response:
    """Hand a connection on that the target has switched; it counts as a session."""
    far = answer.far
    assert far is not None  # noqa: S101  the caller has looked
    upgrade = Upgrade(heads.switched_fields(answer.fields), far)

    async def opening() -> Upgrade:
        return upgrade

    topic = Topic(call.identity.user, call.request.path, call.request.address)
    try:
        session = await backend.sessions.opened(topic, opening)
    except BaseException:
        far.abort()
        raise
    return Response(101, b"", switch=_relaying(session))


def _relaying(upgrade: Upgrade) -> Any:
    async def switch(incoming: Any) -> Any:
        return await relayed(upgrade, incoming)

    return switch


async def _answered(backend: Backend, targets: Sequence[Target], asked: Asked) -> Answer:
    """Ask one target; the next one where nothing was sent, for it was not reached.

    Raises: ApiError: of the last one.
    """
    kubelets = _kubelets(backend)
    for target in targets[:-1]:
        try:
            return await kubelets.exchange(target, asked)
        except Unreached:
            continue
    return await kubelets.exchange(targets[-1], asked)


async def _targets(backend: Backend, call: Call, spot: Spot) -> list[Target]:
    """Return what may be asked, in the order in which it is tried. Raises: ApiError."""
    await backend.caught_up()
    if call.kind is Node:
        return [_kubelet(backend, call, spot)]
    is_tls = spot.scheme == "https"
    if call.kind is Pod:
        pod = _found(backend, Pod, call.namespace, spot.name)
        place = Place(spot.name, pod_port(pod.spec, spot.port))
        return [_target(backend, call.namespace, place, is_tls=is_tls)]
    service = _found(backend, Service, call.namespace, spot.name)
    slices = cast(Iterable[EndpointSlice], backend.within(EndpointSlice, call.namespace))
    places = service_places(service, slices, spot)
    first = int(backend.fraction() * len(places))
    chosen = [*places[first:], *places[:first]][:TRIES_MAX]
    return [_target(backend, call.namespace, place, is_tls=is_tls) for place in chosen]


def _kubelet(backend: Backend, call: Call, spot: Spot) -> Target:
    """Return a node's kubelet, by whatever scheme: it is known by its certificate.

    Raises: ApiError.
    """
    node = _found(backend, Node, "", spot.name)
    if spot.port not in ("", str(node.kubelet_port)):
        raise BadRequest(
            f'address not allowed: of node "{spot.name}" only its kubelet is reached, at port '
            f"{node.kubelet_port}"
        )
    if heads.is_switch(call.request.fields):
        raise Forbidden(
            "a kubelet's streams are not reached through nodes/proxy: use pods/exec, pods/attach, "
            "pods/portforward or pods/proxy"
        )
    return Target(node)


def _target(backend: Backend, namespace: str, place: Place, *, is_tls: bool) -> Target:
    """Raises: ApiError."""
    pod = _found(backend, Pod, namespace, place.pod)
    check_open(pod, place.port)
    if not pod.spec.node_name:
        raise BadRequest(f'address not allowed: pod "{place.pod}" is not assigned to a node yet')
    node = backend.find(Node, pod.spec.node_name)
    if node is None:
        message = f'the node "{pod.spec.node_name}" of the pod is not there'
        raise ServiceUnavailable(message, retry_after_s=5)
    path = f"/podPort/{quote(namespace, safe='')}/{quote(place.pod, safe='')}/{place.port}"
    return Target(node, path, is_tls)


def _found[K: Object](backend: Backend, kind: type[K], namespace: str, name: str) -> K:
    """Raises: NotFound."""
    found = backend.find(kind, name, namespace)
    if found is None:
        raise absent(kind.resource, name)
    return found


def _kubelets(backend: Backend) -> KubeletLogs:
    if backend.logs is None:
        raise ServiceUnavailable("this server has no way to the kubelets")
    return backend.logs


def _split(call: Call) -> tuple[str, str]:
    """Return where the target's root is on this server, and what it is asked for, both encoded.

    What was authorized is the decoded path: its beginning must be the same in both.

    Raises: BadRequest.
    """
    request = call.request
    raw = request.target or target_of(request.path, request.query)
    path, mark, query = raw.lstrip("/").partition("?")
    known = call.route.pattern.strip("/").split("/")
    if known[-1].startswith("{"):
        known = known[:-1]
    segments = path.split("/")
    head = segments[: len(known)]
    if [unquote(one) for one in head] != request.path.strip("/").split("/")[: len(known)]:
        raise BadRequest("the path cannot be handed on: a part before /proxy is encoded twice")
    rest = segments[len(known) :]
    return "/" + "/".join(head), "".join(f"/{one}" for one in rest) + mark + query


class _Body:
    """A target's answer as its client is sent it. Closing it gives everything back, once."""

    def __init__(self, answer: Answer, prefix: str, left: Any) -> None:
        self._answer, self._left = answer, left
        self._rewriter = Rewriter(prefix) if heads.is_page(answer.fields) else None
        self._is_closed = self._is_done = False

    def fields(self, told: heads.Fields) -> heads.Fields:
        """Return the header fields of the answer; a page that is rewritten has another length."""
        if self._rewriter is None:
            return told
        return [(name, value) for name, value in told if name.lower() != "content-length"]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._is_done:
            try:
                piece = await anext(self._answer.body)
            except StopAsyncIteration:
                self._is_done = True
                piece = b""
            if self._rewriter is not None:
                feed = self._rewriter.finish() if self._is_done else self._rewriter.feed(piece)
                piece = feed
            if piece:
                return piece
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._left()
        await self._answer.body.aclose()


# Everything in the query is the target's.
PROXY = Subresource(
    "proxy",
    tuple(Method(method, verb, proxy, ()) for method, verb in VERBS),
    media="*/*",
    is_stream=True,
    is_relayed=True,
)
