"""One client's connection: aiohttp's, with a deadline for every request's head and our own words.

aiohttp waits for a head as long as a connection may idle, so a client that sends a letter a second
would hold a connection for ever. Here a head that has begun must be complete within its deadline.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from apiserver.statuses import response_of
from cubernetes.api.errors import BadRequest
from cubernetes.api.http import ANONYMOUS, Identity

KEEPALIVE_S = 75.0
LINGER_S = 1.0
HEAD_LINE_BYTES_MAX = 8190
HEAD_FIELDS_MAX = 64


class Connection(RequestHandler):
    """Adds the head's deadline, and remembers whose certificate the connection has."""

    def __init__(self, server: "GuardedServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._head_deadline_s = server.head_deadline_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_answering = False
        self._identity: Identity | None = None

    @property
    def identity(self) -> Identity:
        """Who the client's certificate says it is; TLS has verified it."""
        if self._identity is None:
            transport = self.transport
            peer = transport.get_extra_info("peercert") if transport is not None else None
            self._identity = identity_of(peer or {})
        return self._identity

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if not self._is_answering and self._head_timer is None:
            self._await_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def begin(self) -> None:
        """A head is complete: its request is being answered now."""
        self._is_answering = True
        self._stop_timer()

    def end(self) -> None:
        """The answer is given; what comes next has a head of its own."""
        self._is_answering = False

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  aiohttp asks
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not even HTTP."""
        answer = response_of(BadRequest(f"not a request that is understood: {message or status}"))
        body = answer.body if isinstance(answer.body, bytes) else b""
        response = web.Response(status=400, body=body, content_type=answer.content_type)
        response.force_close()
        return response

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._head_deadline_s, self._give_up)

    def _give_up(self) -> None:
        if not self._is_answering and self.transport is not None:
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class GuardedServer(web.Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Any, *, head_deadline_s: float) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.head_deadline_s = head_deadline_s

    def __call__(self) -> Connection:
        return Connection(
            self,
            loop=self._loop,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEAD_FIELDS_MAX,
        )


def identity_of(peer: Any) -> Identity:
    """Return who a certificate, as the ssl module tells it, is for: its CN and its Os."""
    pairs = [pair for part in peer.get("subject", ()) for pair in part]
    users = [str(value) for key, value in pairs if key == "commonName"]
    groups = tuple(str(value) for key, value in pairs if key == "organizationName")
    # Who has no name, or several, is nobody.
    return Identity(users[0], groups) if len(users) == 1 and users[0] else ANONYMOUS
