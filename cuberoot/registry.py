"""Every program that a node may run, in the order in which they are started. Pure."""

from collections.abc import Collection, Sequence

from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.node import Node
from cubernetes.api.errors import Problem
from cuberoot.cluster import PROGRAMS_ANNOTATION, Cluster, NetworkKind, Role
from cuberoot.program import Program, Site
from cuberoot.programs import (
    apiserver,
    controllers,
    etcd,
    gateway,
    gpu,
    kafka,
    kubelet,
    proxy,
    resolver,
    scheduler,
    serverless,
    tsdb,
    weave,
)

# They are stopped in the reverse order.
PROGRAMS: tuple[Program, ...] = (
    etcd.PROGRAM,
    apiserver.PROGRAM,
    scheduler.PROGRAM,
    controllers.PROGRAM,
    weave.PROGRAM,
    kubelet.PROGRAM,
    proxy.PROGRAM,
    resolver.PROGRAM,
    gateway.PROGRAM,
    kafka.PROGRAM,
    serverless.PROGRAM,
    gpu.PROGRAM,
    tsdb.PROGRAM,
)


class UnknownProgram(Exception):
    """A name is that of no optional program for nodes of a role; the text lists those."""

    def __init__(self, name: str, role: Role) -> None:
        known = ", ".join(optional_for(role)) or "none"
        super().__init__(f"{name[:80]!r} is no optional program of a {role}: there are {known}")


def programs_for(
    role: Role, enabled: Collection[str] = (), network: NetworkKind = "vxlan"
) -> tuple[Program, ...]:
    """Return the programs that a node of this role runs, those that are optional where enabled."""
    return tuple(
        one
        for one in PROGRAMS
        if _fits(one, role)
        and (not one.is_optional or one.name in enabled)
        and one.network in (None, network)
    )


def programs_of(cluster: Cluster) -> tuple[Program, ...]:
    """Return the programs of this node."""
    return programs_for(cluster.role, cluster.enabled, cluster.network)


def names_of(cluster: Cluster) -> tuple[str, ...]:
    """Return the names of the programs of this node."""
    return tuple(one.name for one in programs_of(cluster))


def site_of(cluster: Cluster) -> Site:
    """Return what the settings of this node's programs are made of."""
    return Site(cluster, programs_of(cluster), PROGRAMS)


def optional_for(role: Role) -> tuple[str, ...]:
    """Return the names of the programs that may be enabled on a node of this role."""
    return tuple(one.name for one in PROGRAMS if one.is_optional and _fits(one, role))


def optional_program(name: str, role: Role) -> Program:
    """Return an optional program by its name.

    Raises: UnknownProgram.
    """
    for one in PROGRAMS:
        if one.name == name and name in optional_for(role):
            return one
    raise UnknownProgram(name, role)


def enabled_in(node: Node, role: Role) -> tuple[str, ...]:
    """Return the optional programs that a node's manifest asks for, by its annotation.

    Raises: Invalid: one of them is none, with the names that would be accepted.
    """
    text = node.metadata.annotations.get(PROGRAMS_ANNOTATION, "")
    names = sorted({name for name in map(str.strip, text.split(",")) if name})
    problems = [_problem(name, role) for name in names if name not in optional_for(role)]
    if problems:
        raise invalid("Node", node.metadata.name, problems)
    return tuple(names)


def with_enabled(
    enabled: Sequence[str], names: Collection[str], *, is_enabled: bool
) -> tuple[str, ...]:
    """Return the enabled programs after some more, or less."""
    others = set(enabled) - set(names)
    return tuple(sorted(others | set(names) if is_enabled else others))


def _problem(name: str, role: Role) -> Problem:
    where = f"metadata.annotations[{PROGRAMS_ANNOTATION}]"
    return Problem(where, str(UnknownProgram(name, role)), "FieldValueNotSupported")


def _fits(program: Program, role: Role) -> bool:
    return role == "control-plane" or program.place == "every-node"
