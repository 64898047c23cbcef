"""An HTTP request and its response, as plain values: without any HTTP library. Pure.

The API server answers these; the client asks with these; a simulation connects the two directly.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the CN and the Os of a client certificate, or what a token stands for.

    serial: the certificate's, in upper-case hexadecimal; empty where there is none.
    """

    user: str
    groups: tuple[str, ...] = ()
    serial: str = ""


ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. path is decoded once; header names are lower case; query keeps its order.

    address is where it came from, as text; empty where it came through no network.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    identity: Identity = ANONYMOUS
    address: str = ""

    def parameter(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered: a whole body, or a stream that ends when its server says so.

    Whoever takes a stream closes it (`aclose`) when it stops reading.
    """

    status: int
    body: bytes | AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
