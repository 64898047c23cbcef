"""From a daemon's settings to a client: the servers' addresses and the client's identity."""

from pathlib import Path

from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.settings import Settings


class ClientSettings(Settings, frozen=True, kw_only=True):
    """Servers are `https://address:port`, tried in turn; the others are paths of PEM files."""

    servers: tuple[str, ...]
    ca: str
    cert: str = ""
    key: str = ""
    token: str = ""


def connect(settings: ClientSettings, env: Env, agent: str) -> Client:
    """Return a client; nothing is sent yet. Close it when done.

    Raises:
        OSError: a file is missing. ssl.SSLError: it is not what it should be.
    """
    # Only who speaks HTTP pays for the HTTP library: the command line has a lighter transport.
    from cubernetes.client.httptransport import HttpTransport

    transport = HttpTransport(
        settings.servers,
        Path(settings.ca),
        Path(settings.cert) if settings.cert else None,
        Path(settings.key) if settings.key else None,
        settings.token,
    )
    return Client(transport, env, agent=agent)
