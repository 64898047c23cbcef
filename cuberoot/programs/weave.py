"""The Weave router of a node, where the cluster's pod network is Weave. Pure."""

from urllib.parse import urlsplit

from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.program import Port, Program, Site
from kubelet.settings import WeaveSettings

PORT, CONTROL_PORT, STATUS_PORT = 6783, 6784, 6782


def settings(site: Site) -> WeaveSettings:
    cluster = site.cluster
    hosts = (urlsplit(server).hostname or "" for server in cluster.servers)
    return WeaveSettings(
        node_name=cluster.node_name,
        address=cluster.address,
        address_network=cluster.address_network,
        password=cluster.weave_password,
        peers=tuple(host for host in hosts if host != cluster.address),
        state=str(layout.WEAVE_STATE),
        run=str(layout.WEAVE_RUN),
    )


def command(cluster: Cluster) -> tuple[str, ...]:
    return (cluster.python, "-m", "kubelet.weave", "--settings", str(layout.settings_file("weave")))


PROGRAM = Program(
    name="weave",
    place="every-node",
    settings=settings,
    command=command,
    ports=(
        Port(PORT, is_closed=True),
        Port(CONTROL_PORT),
        Port(STATUS_PORT),
    ),
    reset="kubelet.weave.reset",
    network="weave",
)
