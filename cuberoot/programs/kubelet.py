"""The kubelet, and which ports of its node are the programs'. Pure."""

from cuberoot import layout
from cuberoot.layout import pair
from cuberoot.program import (
    CLUSTER,
    Certificate,
    Identity,
    Machine,
    Metrics,
    Port,
    Program,
    Site,
    client_for,
)
from kubelet.settings import KEPT_LOGS_BYTES, KubeletSettings, ServingSettings

PORT = 10250
METRICS_PORT = 10255
NODES = ("system:nodes",)


def settings(site: Site) -> KubeletSettings:
    cluster, serving = site.cluster, pair("kubelet-serving")
    kept = cluster.kept_logs_bytes
    return KubeletSettings(
        node_name=cluster.node_name,
        address=cluster.address,
        address_network=cluster.address_network,
        client=client_for("kubelet", cluster),
        serving=ServingSettings(
            port=PORT,
            cert=str(serving.cert),
            key=str(serving.key),
            client_ca=str(layout.CLUSTER_CA.cert),
        ),
        labels=cluster.labels,
        root=str(layout.KUBELET_STATE),
        pod_range=cluster.pod_range,
        network=cluster.network,
        cni_config=cluster.cni_config,
        # Of other nodes as well: pods of this one are kept from them here.
        closed_ports=tuple(
            port.number
            for program in site.known
            if program.network in (None, cluster.network)
            for port in program.ports
            if port.is_closed
        ),
        dns_servers=(cluster.resolver_address,),
        cluster_domain=cluster.cluster_domain,
        kept_logs_bytes_max=KEPT_LOGS_BYTES if kept is None else kept,
        image_archives=(str(layout.IMAGES), str(layout.IMAGES / "apart")),
        metrics_port=METRICS_PORT,
        ports_in_use=tuple(
            f"{number}/TCP" for program in site.here for number in program.port_numbers
        ),
    )


def _client(machine: Machine) -> Identity:
    return Identity(f"system:node:{machine.node_name}", NODES)


def _serving(machine: Machine) -> Identity:
    names, addresses = machine.names, machine.addresses
    user = f"system:node:{machine.node_name}"
    return Identity(user, NODES, names, addresses, is_server=True, is_client=False)


PROGRAM = Program(
    name="kubelet",
    place="every-node",
    settings=settings,
    certificates=(
        Certificate("kubelet", CLUSTER, _client),
        Certificate("kubelet-serving", CLUSTER, _serving),
    ),
    after=("apiserver", "weave"),
    units_before=("docker.service",),
    ports=(Port(PORT, is_closed=True),),
    metrics=Metrics(METRICS_PORT),
    reset="kubelet.reset",
)
