"""`pods/exec`, `pods/attach`, `pods/portforward`: a stream that leads to the kubelet of a pod.

The connection itself is handed over: what the client and the kubelet agree on (WebSocket and its
subprotocol, or SPDY/3.1) is theirs, and no message is unpacked on the way. The server looks at who
asks, for what, and how many sessions there are.
"""

import shlex
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode, urlsplit

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.fairness.sessions import Topic
from apiserver.subresources.pods import Way, way_to
from apiserver.subresources.subresource import Method, Subresource
from apiserver.wire.parameters import COMMON, TEXT, TRUTH, Parameter
from cubernetes.api.errors import Forbidden
from cubernetes.client.wire.execquery import (
    ExecQuery,
    attach_query,
    exec_query,
    exec_query_text,
)
from cubernetes.client.wire.portforward import NoPort, ports_in
from cubernetes.host.web.messages import Response
from cubernetes.host.web.upgrade import relayed

# What of a client's head the kubelet must see to switch. No extension is among them.
PASSED_ON = ("connection", "upgrade", "sec-websocket-key", "sec-websocket-version",
             "sec-websocket-protocol", "x-stream-protocol-version")  # fmt: skip


async def execute(backend: Backend, call: Call) -> Response:
    """Switch to a stream to the kubelet, which runs the command.

    A protocol that is not spoken is refused by the kubelet, last of all: kubectl asks again by SPDY
    when its WebSocket was refused, and shall be told the reason of the first refusal.
    """
    return await _reached(backend, call, "exec", exec_query(call.request.query))


async def attach(backend: Backend, call: Call) -> Response:
    """Switch to a stream to the kubelet, which reaches the program that runs."""
    return await _reached(backend, call, "attach", attach_query(call.request.query))


async def _reached(backend: Backend, call: Call, verb: str, asked: ExecQuery) -> Response:
    _note(call, command=shlex.join(asked.command), container=asked.container)
    refuse_other_sites(call.request.headers)
    way = await way_to(backend, call, asked.container)
    return await _handed_over(backend, call, way, f"/{verb}/{way.path}", exec_query_text(asked))


async def forward(backend: Backend, call: Call) -> Response:
    """Switch to a stream to the kubelet, which forwards ports of the pod over it."""
    ports = ports_in(call.request.query)
    _note(call, ports=",".join(map(str, ports)))
    refuse_other_sites(call.request.headers)
    way = await way_to(backend, call, None)
    query = urlencode({"ports": ",".join(map(str, ports))}) if ports else ""
    return await _handed_over(backend, call, way, f"/portForward/{way.path}", query)


def _note(call: Call, **facts: str) -> None:
    """Let the audit tell what is asked for beside the path."""
    call.trace.notes = {name: text for name, text in facts.items() if text}


async def _handed_over(backend: Backend, call: Call, way: Way, path: str, query: str) -> Response:
    """Hand a client's handshake on to a kubelet, and then the connection. Raises: ApiError."""
    headers = call.request.headers
    passed = {name: headers[name] for name in PASSED_ON if name in headers}
    opening = partial(way.kubelets.upgrade, way.node, path, query, passed)
    topic = Topic(call.identity.user, call.request.path, call.request.address)
    upgrade = await backend.sessions.opened(topic, opening)
    return Response(101, b"", switch=partial(relayed, upgrade))


def refuse_other_sites(headers: Mapping[str, str]) -> None:
    """Refuse a browser's page of another site: it would act with its user's certificate.

    Raises: Forbidden.
    """
    origin = headers.get("origin")
    if origin is not None and not _is_of(origin, headers.get("host", "")):
        raise Forbidden(f"the header Origin {origin[:80]!r} is not this server's")


def _is_of(origin: str, host: str) -> bool:
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(place) and place == host


STREAMS = (
    *COMMON,
    Parameter("container", TEXT, "Where it runs; a pod with one container needs no name."),
    Parameter("stdin", TRUTH, "Hand the client's stdin on."),
    Parameter("stdout", TRUTH, "Hand its stdout on."),
    Parameter("stderr", TRUTH, "Hand its stderr on."),
    Parameter("tty", TRUTH, "Give it a terminal; stdout and stderr are one then."),
)
WORD = Parameter("command", TEXT, "One word of the command; given once for each of them.")
QUERY = (*STREAMS, WORD)
EXEC = Subresource(
    "exec",
    # A WebSocket begins with a GET. It runs a command all the same: who may read may not.
    (Method("GET", "create", execute, QUERY), Method("POST", "create", execute, QUERY)),
    media="text/plain",
    is_stream=True,
)
ATTACH = Subresource(
    "attach",
    (Method("GET", "create", attach, STREAMS), Method("POST", "create", attach, STREAMS)),
    media="text/plain",
    is_stream=True,
)


def _ports_refusal(value: str) -> str:
    try:
        ports_in((("ports", value),))
    except NoPort as error:
        return str(error)
    return ""


PORTS = Parameter(
    "ports",
    TEXT,
    "The ports that a WebSocket of channels forwards, by commas; streams of SPDY name their own.",
    _ports_refusal,
)
FORWARD = (*COMMON, PORTS)
PORT_FORWARD = Subresource(
    "portforward",
    (Method("GET", "create", forward, FORWARD), Method("POST", "create", forward, FORWARD)),
    media="text/plain",
    is_stream=True,
)
