"""Every program that a node may run, in the order in which they are started. Pure."""

from cuberoot.cluster import Cluster, Role
from cuberoot.program import Program, Site
from cuberoot.programs import apiserver, controllers, etcd, kubelet, proxy, scheduler

# They are stopped in the reverse order.
PROGRAMS: tuple[Program, ...] = (
    etcd.PROGRAM,
    apiserver.PROGRAM,
    scheduler.PROGRAM,
    controllers.PROGRAM,
    kubelet.PROGRAM,
    proxy.PROGRAM,
)


def programs_for(role: Role) -> tuple[Program, ...]:
    """Return the programs that a node of this role runs."""
    return tuple(one for one in PROGRAMS if role == "control-plane" or one.place == "every-node")


def programs_of(cluster: Cluster) -> tuple[Program, ...]:
    """Return the programs of this node."""
    return programs_for(cluster.role)


def names_of(cluster: Cluster) -> tuple[str, ...]:
    """Return the names of the programs of this node."""
    return tuple(one.name for one in programs_of(cluster))


def site_of(cluster: Cluster) -> Site:
    """Return what the settings of this node's programs are made of."""
    return Site(cluster, programs_of(cluster), PROGRAMS)
