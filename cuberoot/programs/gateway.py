"""The gateway: hosts and paths lead to services, on the nodes where it is enabled. Pure."""

from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.program import (
    CLUSTER,
    Certificate,
    Health,
    Identity,
    Machine,
    Metrics,
    Port,
    Program,
    Site,
    client_for,
)
from gateway.settings import GatewaySettings

HTTP_PORT = 80
HTTPS_PORT = 443
STATUS_PORT = 10253
METRICS_PORT = 10254


def settings(site: Site) -> GatewaySettings:
    return GatewaySettings(
        client=client_for("gateway", site.cluster),
        node_name=site.cluster.node_name,
        root=str(layout.GATEWAY_STATE),
        archive=str(layout.IMAGES / "gateway.tar"),
        http_port=HTTP_PORT,
        https_port=HTTPS_PORT,
        status_port=STATUS_PORT,
        metrics_port=METRICS_PORT,
    )


def _identity(machine: Machine) -> Identity:
    return Identity(f"system:gateway:{machine.node_name}", ("system:gateways",))


def _health(_cluster: Cluster) -> Health:
    return Health(f"http://127.0.0.1:{STATUS_PORT}/generation")


PROGRAM = Program(
    name="gateway",
    place="every-node",
    settings=settings,
    certificates=(Certificate("gateway", CLUSTER, _identity),),
    after=("apiserver",),
    units_before=("docker.service",),
    ports=(Port(HTTP_PORT), Port(HTTPS_PORT), Port(STATUS_PORT)),
    metrics=Metrics(METRICS_PORT),
    health=_health,
    reset="gateway.reset",
    is_optional=True,
)
