"""An HTTP request and its response, as plain values: without any HTTP library. Pure.

Our servers answer these; the client asks with these; a simulation connects the two directly.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from cubernetes.host.web.duplex import Duplex

TEXT = "text/plain; charset=utf-8"
# Given the request as the server's HTTP library has it; returns that library's answer when the
# connection is of no more use.
type Switch = Callable[[Any], Awaitable[Any]]
_BAD_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")


class Malformed(Exception):
    """What came is no request that can be understood; says why."""


class BodyTooLarge(Exception):
    """A body is over the limit, by its head or by what has come."""

    def __init__(self, bytes_max: int, found_bytes: float) -> None:
        super().__init__(f"the body has over {bytes_max} bytes")
        self.bytes_max, self.found_bytes = bytes_max, found_bytes


class BodyBroken(Exception):
    """A body did not come, or not as its head says; says which."""


class Identity(msgspec.Struct, frozen=True):
    """A client: the CN and the Os of its certificate, or what its token stands for.

    serial: the certificate's, in upper-case hexadecimal; empty where there is none.
    """

    user: str
    groups: tuple[str, ...] = ()
    serial: str = ""


ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))


class Request(msgspec.Struct, frozen=True):
    """What is asked. path is decoded once; header names are lower case; query keeps its order.

    address is where it came from, as text; empty where it came through no network. names are what
    the names in its route's pattern stand for, where the server has looked for one. target and
    fields are its first line's and every header field, as they came; empty without a network.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    identity: Identity = ANONYMOUS
    address: str = ""
    names: tuple[tuple[str, str], ...] = ()
    target: str = ""
    fields: Sequence[tuple[bytes, bytes]] = ()

    def parameter(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default


class Response(msgspec.Struct, frozen=True):
    """What is answered: a whole body, or a stream that ends when its server says so.

    The consumer of a stream closes it (`aclose`) when it stops reading. A header Content-Length
    tells how long it is, where that is known. Without a content_type the header is left out. fields
    are more header fields, whose names may repeat; they stand in place of the others. With switch
    nothing else counts: it takes the connection over from the server, and answers itself.
    """

    status: int
    body: bytes | AsyncIterator[bytes]
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    content_type: str = "application/json"
    switch: Switch | None = None
    fields: Sequence[tuple[str, str]] = ()


class Upgrade(msgspec.Struct, frozen=True):
    """A connection that a server agreed to switch: the headers of its 101, and the stream."""

    headers: Mapping[str, str]
    far: Duplex[bytes, bytes]


class Unread(NamedTuple):
    """A body that is still the client's: the most bytes that it has, by its head.

    read takes it whole, within the server's limit; pieces as it comes, however much it is.
    """

    bytes_max: int
    # Raises: BodyTooLarge, BodyBroken.
    read: Callable[[], Awaitable[bytes]]
    # Raises: BodyBroken.
    pieces: Callable[[], AsyncIterator[bytes]] | None = None


def target_of(raw: str, fields_max: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the path, decoded once, and the query of a request's target (RFC 9112, 3.2).

    Raises: Malformed.
    """
    path, _, query = raw.partition("?")
    try:
        if not path.startswith("/"):
            # A proxy is sent the whole URL.
            path = urlsplit(path).path or path
        if "%" in path:
            path = _unescaped(path)
        if not query:
            return path, ()
        query, _, _ = query.partition("#")
        if "%" not in query and "+" not in query and query.isascii():
            return path, _plain(query, fields_max)
        fields = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=fields_max
        )
    except ValueError as error:
        raise Malformed(f"the path or the query cannot be read: {error}") from error
    return path, tuple(fields)


def _plain(query: str, fields_max: int) -> tuple[tuple[str, str], ...]:
    """Return what a query says that has no escapes, as parse_qsl does. Raises: ValueError."""
    fields = query.split("&")
    if len(fields) > fields_max:
        raise ValueError(f"it has {len(fields)} fields, at most {fields_max}")
    pairs = (field.partition("=") for field in fields if field)
    return tuple([(name, value) for name, _, value in pairs])


def _unescaped(path: str) -> str:
    """Raises: ValueError."""
    if _BAD_ESCAPE.search(path):
        raise ValueError("a % without two hexadecimal digits")
    return unquote(path, errors="strict")


def identity_of(peer: Any) -> Identity:
    """Return who a certificate, as the ssl module tells it, is for: its CN and its Os."""
    pairs = [pair for part in peer.get("subject", ()) for pair in part]
    users = [str(value) for key, value in pairs if key == "commonName"]
    groups = tuple(str(value) for key, value in pairs if key == "organizationName")
    # A certificate without a name, or with several, is nobody's.
    if len(users) != 1 or not users[0]:
        return ANONYMOUS
    return Identity(users[0], groups, serial_of(peer))


def serial_of(peer: Any) -> str:
    """Return a certificate's serial number in one form: OpenSSL's text begins with zeros or not."""
    return f"{int(peer['serialNumber'], 16):X}" if "serialNumber" in peer else ""
