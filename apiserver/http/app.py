"""The API server over HTTP: its limits, and what of a request's head it reads."""

from apiserver.server import IMPERSONATE, ApiServer
from apiserver.settings import Limits, Settings
from cubernetes.api.bodies.envelopes import FENCE_HEADER
from cubernetes.api.errors import ApiError
from cubernetes.host.web import httpserver
from cubernetes.host.web.httpserver import HttpServer
from cubernetes.host.web.tls import Clients, server_tls

# The header fields that anything in the server reads.
HEADERS = (
    "accept",
    "authorization",
    "content-encoding",
    "content-type",
    FENCE_HEADER,
    "traceparent",
    "user-agent",
    "x-request-id",
    # Of a client that asks to switch to another protocol.
    "connection",
    "host",
    "origin",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
    "x-stream-protocol-version",
)
QUERY_FIELDS_MAX = 100
STOP_DEADLINE_S = 5.0


class App:
    """Serves an ApiServer over HTTP/1.1, with TLS where there is a certificate."""

    def __init__(self, server: ApiServer, settings: Settings) -> None:
        self._settings = settings
        self._web = HttpServer(
            server,
            limits_of(settings.limits),
            headers=HEADERS,
            refused_headers=IMPERSONATE,
            troubles=(ApiError,),
        )

    @property
    def port(self) -> int:
        """The port that it listens on, once started; for settings that ask for any (0)."""
        return self._web.port

    async def start(self) -> None:
        """Listen. Raises: OSError, ssl.SSLError: the address or the certificate is no good."""
        settings = self._settings
        # A client without a certificate may have a token, or ask what is open to all.
        tls = (
            server_tls(settings.cert, settings.key, settings.client_ca, Clients.MAY)
            if settings.cert
            else None
        )
        await self._web.listen(settings.listen_address, settings.listen_port, tls)

    async def stop(self) -> None:
        """Take no new connection, let requests finish, then close what is left."""
        await self._web.stop(STOP_DEADLINE_S)


def limits_of(limits: Limits) -> httpserver.Limits:
    """Return what of the API server's limits is HTTP's."""
    return httpserver.Limits(
        head_deadline_s=limits.header_deadline_s,
        body_deadline_s=limits.body_deadline_s,
        take_deadline_s=limits.write_deadline_s,
        body_bytes_max=limits.body_bytes_max,
        bodies_bytes_max=limits.bodies_bytes_max,
        query_fields_max=QUERY_FIELDS_MAX,
        connections_max=limits.connections_max,
        unknown_max=limits.strangers_max,
        unknown_of_address_max=limits.strangers_of_address_max,
    )
