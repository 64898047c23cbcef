"""The service proxy. Pure."""

from cuberoot import layout
from cuberoot.program import (
    CLUSTER,
    Certificate,
    Identity,
    Machine,
    Metrics,
    Program,
    Site,
    client_for,
)
from proxy.settings import ProxySettings

METRICS_PORT = 10249


def settings(site: Site) -> ProxySettings:
    cluster = site.cluster
    return ProxySettings(
        client=client_for("proxy", cluster),
        node_name=cluster.node_name,
        pod_range=cluster.pod_range,
        service_range=cluster.service_range,
        backend=cluster.proxy_backend,
        checkpoint=str(layout.PROXY_CHECKPOINT),
        metrics_port=METRICS_PORT,
    )


def _identity(machine: Machine) -> Identity:
    return Identity(f"system:proxy:{machine.node_name}", ("system:proxies",))


PROGRAM = Program(
    name="proxy",
    place="every-node",
    settings=settings,
    certificates=(Certificate("proxy", CLUSTER, _identity),),
    after=("apiserver",),
    metrics=Metrics(METRICS_PORT),
    reset="proxy.reset",
)
