"""What the functions' program must be told."""

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings


class BusSettings(Settings, frozen=True, kw_only=True):
    """Where brokers are, `host:port`, and what proves each side; without ca it is a plain way.

    replicas: how many copies of each partition there are of a topic that is made here.
    is_others: whether topics of others are there: of ours, each is removed in the end.
    """

    brokers: tuple[str, ...]
    ca: str = ""
    cert: str = ""
    key: str = ""
    replicas: int = 1
    is_others: bool = False


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
    # The broker of calls that must survive; without one such calls are refused.
    bus: BusSettings | None = None
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0


class BrokerSettings(Settings, frozen=True, kw_only=True):
    """What the broker must be told. cert, key and ca are PEM files, as are those of its clients."""

    java: str = "java"
    # A folder of jars, as scripts/install-kafka makes it.
    jars: str
    root: str
    address: str
    port: int = 9092
    controller_port: int = 9093
    cert: str
    key: str
    ca: str
    # The users of certificates that may do everything; others may nothing.
    users: tuple[str, ...] = ()
    heap_mib: int = 192
