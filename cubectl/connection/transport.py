"""HTTPS to one API server, blocking and small: no event loop, one connection kept alive.

Nothing here knows an object. Trouble of the world becomes `Unreachable`, with its cause; what the
server answered, errors included, is given back as it is.
"""

import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from cubectl.connection.kubeconfig import Access
from cubernetes.client.frames import LINE_BYTES_MAX

CONNECT_DEADLINE_S = 5.0
ANSWER_BYTES_MAX = 512 * 1024 * 1024
# A watch says something every ten seconds (bookmarks); one that is silent for longer is dead.
WATCH_SILENCE_S = 90.0
READ_BYTES = 64 * 1024
AGENT = "cubectl"


class Unreachable(Exception):
    """No answer: the sentence says why, and whether a change may have happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, whole."""

    status: int
    body: bytes


class Stream(Protocol):
    """An answer that goes on."""

    @property
    def status(self) -> int: ...

    def lines(self) -> Iterator[bytes]:
        """Yield lines as they come. Raises: Unreachable, when it breaks."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield bytes as they come, in pieces of any size. Raises: Unreachable."""
        ...


class Transport(Protocol):
    """How verbs reach the API server; a target is a path with its query, percent-encoded."""

    def send(self, method: str, target: str, *, body: bytes = b"", media: str = "") -> Answer:
        """Ask, and return the whole answer. Raises: Unreachable."""
        ...

    def stream(self, target: str, *, silence_s: float | None) -> AbstractContextManager[Stream]:
        """GET, and give the answer while it comes; None waits for ever. Raises: Unreachable."""
        ...


class HttpsTransport:
    """One server, one certificate. Proxies of the environment are not used: TLS ends at the API."""

    def __init__(self, access: Access, *, timeout_s: float) -> None:
        parts = urlsplit(access.server if "//" in access.server else f"https://{access.server}")
        if parts.scheme != "https" or not parts.hostname:
            raise Unreachable(f"server {access.server!r}: must be https://address:port")
        self._host, self._port = parts.hostname, parts.port or 443
        self._prefix = parts.path.rstrip("/")
        self._access, self._timeout_s = access, timeout_s
        self._context = _context_of(access)
        self._kept: http.client.HTTPConnection | None = None

    def send(self, method: str, target: str, *, body: bytes = b"", media: str = "") -> Answer:
        is_fresh = self._kept is None
        connection = self._kept or self._connected()
        self._kept = None
        try:
            response = self._asked(connection, method, target, body, media)
            content = response.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # A server may close a connection that it kept; a read is safe to ask again.
            if not is_fresh and method == "GET":
                return self.send(method, target, body=body, media=media)
            raise self._silent(error, method) from error
        if len(content) > ANSWER_BYTES_MAX:
            raise Unreachable(f"the answer has over {ANSWER_BYTES_MAX} bytes; use -l or a name")
        if not response.will_close:
            self._kept = connection
        return Answer(response.status, content)

    @contextmanager
    def stream(self, target: str, *, silence_s: float | None) -> Iterator[Stream]:
        connection = self._connected()
        try:
            try:
                response = self._asked(connection, "GET", target, b"", "")
            except (OSError, http.client.HTTPException) as error:
                raise self._silent(error, "GET") from error
            if connection.sock is not None:
                connection.sock.settimeout(silence_s)
            yield _HttpStream(response)
        finally:
            connection.close()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_DEADLINE_S)
        name = self._access.server_name or self._host
        try:
            connection.connect()
            connection.sock = self._context.wrap_socket(connection.sock, server_hostname=name)
            connection.sock.settimeout(self._timeout_s)
        except OSError as error:
            connection.close()
            raise Unreachable(self._why(error)) from error
        return connection

    def _asked(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes,
        media: str,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": AGENT}
        if media:
            headers["Content-Type"] = media
        if self._access.token:
            headers["Authorization"] = f"Bearer {self._access.token}"
        connection.request(method, self._prefix + target, body=body or None, headers=headers)
        return connection.getresponse()

    def _why(self, error: OSError) -> str:
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
                why, hint = error.strerror or str(error), "is the network up?"
        return f"cannot reach {where}: {why} ({hint})"

    def _silent(self, error: Exception, method: str) -> Unreachable:
        where = f"https://{self._host}:{self._port}"
        if isinstance(error, ssl.SSLError):
            return Unreachable(self._why(error))
        what = f"within {self._timeout_s:.0f} s" if isinstance(error, TimeoutError) else str(error)
        doubt = "" if method == "GET" else "; the change may have happened, look before you repeat"
        return Unreachable(f"no answer from {where}: {what or 'the connection was closed'}{doubt}")


class _HttpStream:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    def lines(self) -> Iterator[bytes]:
        for line in self._until_end(lambda: self._response.readline(LINE_BYTES_MAX + 1)):
            if len(line) > LINE_BYTES_MAX:
                raise Unreachable(f"a line of the answer has over {LINE_BYTES_MAX} bytes")
            if not line.endswith(b"\n"):
                raise Unreachable("the connection broke within a line")
            yield line

    def chunks(self) -> Iterator[bytes]:
        return self._until_end(lambda: self._response.read1(READ_BYTES))

    def _until_end(self, read: "_Read") -> Iterator[bytes]:
        while True:
            try:
                piece = read()
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"the connection broke: {error}") from error
            if not piece:
                return
            yield piece


class _Read(Protocol):
    def __call__(self) -> bytes: ...


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
