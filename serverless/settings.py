"""What the functions' program must be told."""

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings


class ServerlessSettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server. Paths are of PEM files where they name certificates."""

    client: ClientSettings
    # The secret from which the keys of instances are made; it is written once.
    root: str = "/var/lib/cubernetes/serverless"
    host: str = "0.0.0.0"  # noqa: S104  functions are called from everywhere
    port: int = 6810
    # Where `cubectl function` asks, with a client's certificate.
    admin_port: int = 6811
    cert: str = ""
    key: str = ""
    client_ca: str = ""
    image: str = "cubernetes/python-runtime:1"
    # Instances that wait for a function to need them.
    pool_size: int = 2
    # How often everything is looked at where nothing has changed.
    look_interval_s: float = 1.0
    # How long calls may go on when the program is stopped.
    stop_grace_s: float = 5.0
    # Of all bodies in memory.
    bodies_bytes_max: int = 64 * 1024 * 1024
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
