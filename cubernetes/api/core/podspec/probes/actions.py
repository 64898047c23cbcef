"""How a container is asked: a command in it, an HTTP request, a connection, a gRPC health check."""

from typing import Annotated, Literal

import msgspec

from cubernetes.api.meta import Model, PortNumber, Seconds, shown

HEADERS_MAX = 64


class ExecAction(Model):
    """A command in the container; code 0 is success.

    command: the program and its arguments; no shell reads it.
    """

    command: Annotated[tuple[str, ...], msgspec.Meta(max_length=256)] = ()


class HTTPHeader(Model):
    """A header of an HTTP request.

    name: letters, digits and `-`; Host replaces the one that would be sent.
    value: its value.
    """

    name: str
    value: str


class HTTPGetAction(Model):
    """A GET from the node; 200 to 399 is success. A redirect within the host is followed.

    path: what is asked for.
    port: a number, or the name of a port of the container.
    host: who is asked; empty is the pod's address.
    scheme: HTTP or HTTPS; a certificate is not verified.
    http_headers: further headers of the request.
    """

    path: str = shown("/")
    port: PortNumber | str
    host: str = ""
    scheme: Literal["", "HTTP", "HTTPS"] = shown("HTTP")
    http_headers: Annotated[tuple[HTTPHeader, ...], msgspec.Meta(max_length=HEADERS_MAX)] = ()


class TCPSocketAction(Model):
    """A TCP connection from the node; one that is accepted is success.

    port: a number, or the name of a port of the container.
    host: where to; empty is the pod's address.
    """

    port: PortNumber | str
    host: str = ""


class GRPCAction(Model):
    """The health check of gRPC (`grpc.health.v1.Health/Check`); SERVING is success.

    port: a number.
    service: which service is asked about; empty is the server as a whole.
    """

    port: PortNumber
    service: str = shown("")


class SleepAction(Model):
    """A pause.

    seconds: how long.
    """

    seconds: Seconds
