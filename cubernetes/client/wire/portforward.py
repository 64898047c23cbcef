"""The words of port-forward: its protocols, its headers, and how a connection is told. Pure.

Over SPDY a connection is two streams. Over channels of a WebSocket, as client libraries ask, the
ports stand in the query, and each has one connection and two channels: the first port 0 for bytes
and 1 for what went wrong, the next 2 and 3. On each the server first says which port it is of.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cubernetes.client.wire.spdywords import SPDY

PROTOCOL = "portforward.k8s.io"
# SPDY within the messages of a WebSocket, as kubectl has asked since 1.31.
TUNNEL = f"{SPDY}+{PROTOCOL}"
PORT_MAX = 65535
# Channels are bytes, and a port has two.
PORT_COUNT_MAX = 100


class Ports(NamedTuple):
    """local: where it is listened on the client's machine, 0 for any. remote: within the pod."""

    local: int
    remote: int


class NoPort(Exception):
    """A stream names no port; says so."""


def request_of(headers: Mapping[str, str], stream_id: int) -> str:
    """Return which connection a stream is of; old clients tell it by the order of their streams."""
    told = headers.get("requestid", "")
    if told:
        return f"request {told[:80]}"
    # The stream of errors is opened first, and numbers go by two.
    return f"stream {stream_id if headers.get('streamtype') == 'error' else stream_id - 2}"


def port_of(headers: Mapping[str, str]) -> int:
    """Raises: NoPort."""
    told = headers.get("port", "")
    is_number = told.isascii() and told.isdecimal() and len(told) <= len(str(PORT_MAX))
    if not is_number or not 0 < int(told) <= PORT_MAX:
        raise NoPort(f"port {told[:20]!r}: must be a number from 1 to {PORT_MAX}")
    return int(told)


def ports_in(parameters: Iterable[tuple[str, str]]) -> tuple[int, ...]:
    """Return the ports of a query, in their order: `ports=80,443`, or one by one. Raises: NoPort.

    One that stands twice has two connections.
    """
    told = [value for name, value in parameters if name == "ports" and value]
    words = [word for value in told for word in value.split(",", PORT_COUNT_MAX + 1)]
    if len(words) > PORT_COUNT_MAX:
        raise NoPort(f"ports: at most {PORT_COUNT_MAX} may be forwarded at once")
    return tuple(port_of({"port": word}) for word in words)


def greeting(channel: int, port: int) -> bytes:
    """Return the message by which a server says which port a channel is of."""
    return bytes((channel,)) + port.to_bytes(2, "little")


def stream_headers(kind: str, port: int, request: int) -> dict[str, str]:
    """Return how a client opens a stream; kind is `error`, then `data`."""
    return {"streamtype": kind, "port": str(port), "requestid": str(request)}
