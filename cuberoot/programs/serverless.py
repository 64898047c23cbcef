"""The functions' program: brain and gateway, where it is enabled. Pure."""

from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.layout import pair
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
from serverless.settings import ServerlessSettings

PORT = 6810
ADMIN_PORT = 6811
METRICS_PORT = 10260


def settings(site: Site) -> ServerlessSettings:
    serving = pair("serverless-serving")
    return ServerlessSettings(
        client=client_for("serverless", site.cluster),
        root=str(layout.SERVERLESS_STATE),
        port=PORT,
        admin_port=ADMIN_PORT,
        cert=str(serving.cert),
        key=str(serving.key),
        client_ca=str(layout.CLUSTER_CA.cert),
        metrics_port=METRICS_PORT,
    )


def _client(_: Machine) -> Identity:
    return Identity("system:serverless")


def _serving(machine: Machine) -> Identity:
    names, addresses = machine.names, machine.addresses
    return Identity("system:serverless", (), names, addresses, is_server=True, is_client=False)


def _health(_: Cluster) -> Health:
    return Health(f"http://127.0.0.1:{PORT}/healthz")


PROGRAM = Program(
    name="serverless",
    place="control-plane",
    settings=settings,
    certificates=(
        Certificate("serverless", CLUSTER, _client),
        Certificate("serverless-serving", CLUSTER, _serving),
    ),
    after=("apiserver",),
    ports=(Port(PORT), Port(ADMIN_PORT, is_closed=True)),
    metrics=Metrics(METRICS_PORT),
    health=_health,
    reset="serverless.reset",
    is_optional=True,
)
