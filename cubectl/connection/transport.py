"""HTTPS to one API server, blocking and small: no event loop, one connection kept alive.

Nothing here knows an object. Trouble of the world becomes `Unreachable`, with its cause; what the
server answered, errors included, is given back as it is.
"""

import io
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from cubectl.connection.http1 import Broken, Response, request_bytes, response_in
from cubectl.connection.kubeconfig import Access
from cubernetes.client.wire.frames import LINE_BYTES_MAX
from cubernetes.client.wire.warnings import warnings_in
from cubernetes.host.web.keepalive import KEEPALIVE

CONNECT_DEADLINE_S = 5.0
ANSWER_BYTES_MAX = 512 * 1024 * 1024
# A watch says something every ten seconds (bookmarks); one that is silent for longer is dead.
WATCH_SILENCE_S = 90.0
READ_BYTES = 64 * 1024
AGENT = "cubectl"
JSON = "application/json"
_SERVER = re.compile(r"https://(\[[0-9A-Fa-f:.]+\]|[^/:@?#\[\]\s]+)(?::([0-9]{1,5}))?(/[^?#\s]*)?")


class Unreachable(Exception):
    """No answer: the sentence says why, and whether a change may have happened."""


class Answer(NamedTuple):
    """What the server said, whole; warnings are what it said beside it."""

    status: int
    body: bytes
    warnings: tuple[str, ...] = ()


class ServerAddress(NamedTuple):
    """A server: its url without a path, and what proves who is who."""

    url: str
    tls: ssl.SSLContext
    server_name: str | None
    headers: Mapping[str, str]


class Stream(Protocol):
    """An answer that goes on."""

    @property
    def status(self) -> int: ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server said beside the answer."""
        ...

    def lines(self) -> Iterator[bytes]:
        """Yield lines as they come. Raises: Unreachable, when it breaks."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield bytes as they come, in pieces of any size. Raises: Unreachable."""
        ...


def _whole(body: io.BufferedReader) -> bytes:
    """Return a body, of which one byte more than may be is enough. Raises: OSError."""
    pieces, size_bytes = [], 0
    while size_bytes <= ANSWER_BYTES_MAX and (piece := body.read1(READ_BYTES)):
        pieces.append(piece)
        size_bytes += len(piece)
    return b"".join(pieces)


class Transport(Protocol):
    """How verbs reach the API server; a target is a path with its query, percent-encoded."""

    def send(
        self, method: str, target: str, *, body: bytes = b"", media: str = "", accept: str = JSON
    ) -> Answer:
        """Ask, and return the whole answer. Raises: Unreachable."""
        ...

    def stream(
        self, target: str, *, silence_s: float | None, accept: str = JSON
    ) -> AbstractContextManager[Stream]:
        """GET, and give the answer while it comes; None waits for ever. Raises: Unreachable."""
        ...


class HttpsTransport:
    """One server, one certificate. Proxies of the environment are not used: TLS ends at the API."""

    def __init__(self, access: Access, *, timeout_s: float) -> None:
        given = access.server if "//" in access.server else f"https://{access.server}"
        parts = _SERVER.fullmatch(given)
        if parts is None or int(parts[2] or 443) not in range(1, 65536):
            raise Unreachable(f"server {access.server!r}: must be https://address:port")
        self._host, self._port = parts[1].strip("[]"), int(parts[2] or 443)
        self._prefix = (parts[3] or "").rstrip("/")
        self._name = f"{parts[1]}:{self._port}"
        self._access, self._timeout_s = access, timeout_s
        self._context = _context_of(access)
        self._kept: ssl.SSLSocket | None = None

    def send(
        self, method: str, target: str, *, body: bytes = b"", media: str = "", accept: str = JSON
    ) -> Answer:
        is_fresh = self._kept is None
        connection = self._kept or self._connected()
        self._kept = None
        try:
            response = self._asked(connection, method, target, body, media, accept)
            content = _whole(response.body)
        except OSError as error:
            connection.close()
            # A server may close a connection that it kept; a read is safe to ask again.
            if not is_fresh and method == "GET":
                return self.send(method, target, body=body, media=media, accept=accept)
            raise self._silent(error, method) from error
        if len(content) > ANSWER_BYTES_MAX:
            connection.close()
            raise Unreachable(f"the answer has over {ANSWER_BYTES_MAX} bytes; use -l or a name")
        if response.is_kept:
            self._kept = connection
        else:
            connection.close()
        return Answer(response.status, content, _warnings_of(response))

    @contextmanager
    def stream(
        self, target: str, *, silence_s: float | None, accept: str = JSON
    ) -> Iterator[Stream]:
        connection = self._connected()
        try:
            try:
                response = self._asked(connection, "GET", target, b"", "", accept)
            except OSError as error:
                raise self._silent(error, "GET") from error
            connection.settimeout(silence_s)
            yield _HttpStream(response)
        finally:
            connection.close()

    @property
    def place(self) -> ServerAddress:
        """Where and how the server is reached, for connections that are not HTTP for long."""
        token = self._access.token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://{self._name}{self._prefix}"
        return ServerAddress(url, self._context, self._access.server_name or None, headers)

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()

    def _connected(self) -> ssl.SSLSocket:
        name = self._access.server_name or self._host
        plain: socket.socket | None = None
        try:
            # As bytes, which the library takes too: a text costs it the codec of all scripts.
            where: Any = (_ascii(self._host), self._port)
            plain = socket.create_connection(where, timeout=CONNECT_DEADLINE_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for level, option, value in KEEPALIVE:
                plain.setsockopt(level, option, value)
            connection = self._context.wrap_socket(plain, server_hostname=_ascii(name))
            connection.settimeout(self._timeout_s)
        except (OSError, UnicodeError) as error:
            if plain is not None:
                plain.close()
            raise Unreachable(self._why(error)) from error
        return connection

    def _asked(
        self,
        connection: ssl.SSLSocket,
        method: str,
        target: str,
        body: bytes,
        media: str,
        accept: str,
    ) -> Response:
        headers = {"Host": self._name, "Accept": accept, "User-Agent": AGENT}
        if media:
            headers["Content-Type"] = media
        if self._access.token:
            headers["Authorization"] = f"Bearer {self._access.token}"
        try:
            sent = request_bytes(method, self._prefix + target, headers, body)
        except ValueError as error:
            raise Broken(f"the request cannot be sent: {error}") from error
        connection.sendall(sent)
        return response_in(connection)

    def _why(self, error: OSError | UnicodeError) -> str:
        """Say in a sentence why no connection came about, and what to look at."""
        where = f"https://{self._host}:{self._port}"
        match error:
            case ssl.SSLCertVerificationError():
                why = f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
                hint = (
                    f"is certificate-authority in {self._access.source or 'the kubeconfig'} right?"
                )
            case ssl.SSLError():
                why, hint = f"TLS failed: {error.reason or error}", "is this the API server?"
            case TimeoutError():
                why = f"no connection within {CONNECT_DEADLINE_S:.0f} s"
                hint = "is the address right, and is the machine up?"
            case socket.gaierror():
                why, hint = "its name has no address", "is the server in the kubeconfig right?"
            case ConnectionRefusedError():
                why, hint = "connection refused", "does the API server run there?"
            case _:
                why = getattr(error, "strerror", None) or str(error)
                hint = "is the network up?"
        return f"cannot reach {where}: {why} ({hint})"

    def _silent(self, error: Exception, method: str) -> Unreachable:
        where = f"https://{self._host}:{self._port}"
        if isinstance(error, ssl.SSLError):
            return Unreachable(self._why(error))
        what = f"within {self._timeout_s:.0f} s" if isinstance(error, TimeoutError) else str(error)
        doubt = "" if method == "GET" else "; the change may have happened, look before you repeat"
        return Unreachable(f"no answer from {where}: {what or 'the connection was closed'}{doubt}")


def _warnings_of(response: Response) -> tuple[str, ...]:
    return warnings_in(response.headers.get("warning", ""))


class _HttpStream:
    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def warnings(self) -> tuple[str, ...]:
        return _warnings_of(self._response)

    def lines(self) -> Iterator[bytes]:
        for line in self._until_end(lambda: self._response.body.readline(LINE_BYTES_MAX + 1)):
            if len(line) > LINE_BYTES_MAX:
                raise Unreachable(f"a line of the answer has over {LINE_BYTES_MAX} bytes")
            if not line.endswith(b"\n"):
                raise Unreachable("the connection broke within a line")
            yield line

    def chunks(self) -> Iterator[bytes]:
        return self._until_end(lambda: self._response.body.read1(READ_BYTES))

    def _until_end(self, read: "_Read") -> Iterator[bytes]:
        while True:
            try:
                piece = read()
            except OSError as error:
                raise Unreachable(f"the connection broke: {error}") from error
            if not piece:
                return
            yield piece


class _Read(Protocol):
    def __call__(self) -> bytes: ...


def _ascii(host: str) -> bytes:
    """Return a host's name as DNS has it; the codec for other scripts is loaded where needed."""
    return host.encode("ascii") if host.isascii() else host.encode("idna")


def _context_of(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=access.ca.decode("ascii") or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if access.cert:
            _load_certificate(context, access.cert, access.key)
    except (ssl.SSLError, ValueError) as error:
        source = access.source or "the kubeconfig"
        raise Unreachable(f"{source}: a certificate or key in it is not usable: {error}") from error
    return context


def _load_certificate(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """Load from memory what the ssl library only takes from files: no key touches a disk."""
    handle = os.memfd_create("cubectl", os.MFD_CLOEXEC)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(cert + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
