"""The functions' program: brain and gateway, where it is enabled. Pure.

Calls that must survive go through a broker: ours, or others' that were named.
"""

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
from cuberoot.programs import kafka
from serverless.settings import BusSettings, ServerlessSettings

PORT = 6810
ADMIN_PORT = 6811
METRICS_PORT = 10260
# A broker that begins anew reads what it has: seconds, and more on a machine that is busy.
READY_S = 120.0
COPIES_MAX = 3


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
        bus=_bus(site),
    )


def _bus(site: Site) -> BusSettings | None:
    """Return where calls that must survive are kept; None: nowhere."""
    cluster, own = site.cluster, pair("serverless")
    if any(one.name == "kafka" for one in site.here):
        return BusSettings(
            brokers=(f"{cluster.address}:{kafka.PORT}",),
            ca=str(layout.CLUSTER_CA.cert),
            cert=str(own.cert),
            key=str(own.key),
        )
    if cluster.brokers:
        copies_count = min(COPIES_MAX, len(cluster.brokers))
        return BusSettings(brokers=cluster.brokers, replicas=copies_count, is_others=True)
    return None


def _client(_: Machine) -> Identity:
    return Identity("system:serverless")


def _serving(machine: Machine) -> Identity:
    names, addresses = machine.names, machine.addresses
    return Identity("system:serverless", (), names, addresses, is_server=True, is_client=False)


def _health(_: Cluster) -> Health:
    return Health(f"http://127.0.0.1:{PORT}/readyz", deadline_s=READY_S)


PROGRAM = Program(
    name="serverless",
    place="control-plane",
    settings=settings,
    certificates=(
        Certificate("serverless", CLUSTER, _client),
        Certificate("serverless-serving", CLUSTER, _serving),
    ),
    after=("apiserver", "kafka"),
    ports=(Port(PORT), Port(ADMIN_PORT, is_closed=True)),
    metrics=Metrics(METRICS_PORT),
    health=_health,
    reset="serverless.reset",
    is_optional=True,
    companions=("kafka",),
)
