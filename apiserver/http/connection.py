"""One client's connection: who that client is by its certificate, and where it comes from."""

from typing import Any

from cubernetes.host.web.httpserver import Connection, HttpServer
from cubernetes.host.web.messages import ANONYMOUS, Identity


class ApiConnection(Connection):
    """Remembers whose certificate the connection has, and its client's address."""

    _identity: Identity | None = None
    _address: str | None = None

    @property
    def identity(self) -> Identity:
        """Who the client's certificate says it is; TLS has verified it."""
        if self._identity is None:
            transport = self.transport
            peer = transport.get_extra_info("peercert") if transport is not None else None
            self._identity = identity_of(peer or {})
        return self._identity

    @property
    def address(self) -> str:
        """Where the client is, as text."""
        if self._address is None:
            transport = self.transport
            peer = transport.get_extra_info("peername") if transport is not None else None
            self._address = str(peer[0]) if peer else ""
        return self._address


class ApiHttpServer(HttpServer):
    connection_kind = ApiConnection


def identity_of(peer: Any) -> Identity:
    """Return who a certificate, as the ssl module tells it, is for: its CN and its Os."""
    pairs = [pair for part in peer.get("subject", ()) for pair in part]
    users = [str(value) for key, value in pairs if key == "commonName"]
    groups = tuple(str(value) for key, value in pairs if key == "organizationName")
    # Who has no name, or several, is nobody.
    if len(users) != 1 or not users[0]:
        return ANONYMOUS
    return Identity(users[0], groups, serial_of(peer))


def serial_of(peer: Any) -> str:
    """Return a certificate's serial number in one form: OpenSSL's text begins with zeros or not."""
    return f"{int(peer['serialNumber'], 16):X}" if "serialNumber" in peer else ""
