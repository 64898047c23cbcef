"""What the gateway must be told."""

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server. node_name: the node that this gateway is on."""

    client: ClientSettings
    node_name: str
    # Configurations and certificates; nginx reads them from here.
    root: str = "/var/lib/cubernetes/gateway"
    docker: str = "/var/run/docker.sock"
    image: str = "cubernetes/gateway:1"
    # An archive that Docker is given where it has no such image.
    archive: str = ""
    container: str = "cube-gateway"
    # The group of nginx's workers in the image, as in Debian: the files are for root and for them.
    workers_gid: int = 33
    http_port: int = 80
    https_port: int = 443
    # On the loopback: nginx tells which configuration it serves.
    status_port: int = 10253
    # Changes that come together are one reload: no sooner than this after the last one.
    reload_interval_s: float = 1.0
    # How soon after a change that was no reload the next one is looked at.
    look_interval_s: float = 0.05
    # How often the container is looked at, and started again.
    check_interval_s: float = 4.0
    # How often the gateway's Lease says what roads are asked for.
    rates_interval_s: float = 10.0
    # How long the workers of before may take to end what they have begun.
    drain_s: int = 60
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
