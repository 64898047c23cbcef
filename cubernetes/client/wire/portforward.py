"""The words of port-forward: its protocol, its headers, and how a connection is told. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from cubernetes.client.wire.spdywords import SPDY

PROTOCOL = "portforward.k8s.io"
# SPDY within the messages of a WebSocket, as kubectl has asked since 1.31.
TUNNEL = f"{SPDY}+{PROTOCOL}"
PORT_MAX = 65535


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


def stream_headers(kind: str, port: int, request: int) -> dict[str, str]:
    """Return how a client opens a stream; kind is `error`, then `data`."""
    return {"streamtype": kind, "port": str(port), "requestid": str(request)}
