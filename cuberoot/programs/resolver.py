"""The resolver: its address is the same on every node, and its port is that of no host. Pure."""

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
from resolver.settings import ResolverSettings

METRICS_PORT = 10258
HOST_RESOLV_CONF = "/etc/resolv.conf"


def settings(site: Site) -> ResolverSettings:
    cluster = site.cluster
    return ResolverSettings(
        node_name=cluster.node_name,
        client=client_for("resolver", cluster),
        cluster_domain=cluster.cluster_domain,
        service_range=cluster.service_range,
        pod_range=cluster.pod_range,
        address=cluster.resolver_address,
        host_resolv_conf=HOST_RESOLV_CONF if cluster.host_names else "",
        checkpoint=str(layout.RESOLVER_CHECKPOINT),
        metrics_port=METRICS_PORT,
    )


def _identity(machine: Machine) -> Identity:
    return Identity(f"system:resolver:{machine.node_name}", ("system:resolvers",))


PROGRAM = Program(
    name="resolver",
    place="every-node",
    settings=settings,
    certificates=(Certificate("resolver", CLUSTER, _identity),),
    after=("apiserver",),
    metrics=Metrics(METRICS_PORT),
    reset="resolver.reset",
)
