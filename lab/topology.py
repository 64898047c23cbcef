"""Names and addresses of a lab: everything that follows from its name, its subnet and its size."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

# Nodes are .11 to .19: the address ends with the node's number.
NODE_COUNT_MAX = 9
SUBNET_COUNT_MAX = 4
FIRST_NODE_HOST = 10
PREFIX_BITS = 24
ROUTER_HOST = 254
SUBNETS = tuple(IPv4Network(f"192.168.{octet}.0/{PREFIX_BITS}") for octet in range(78, 98))
# "-up" is added for the host's port, and the kernel takes 15 characters.
LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,9}")


class BadTopology(Exception):
    """The lab that was asked for cannot be built: the sentence says which limit it breaks."""


@dataclass(frozen=True)
class NodePlan:
    """One node host: number 2 is `n2`, at address .12, behind the switch's port `n2`."""

    name: str
    address: IPv4Address
    mac: str
    subnet: IPv4Network


@dataclass(frozen=True)
class Topology:
    """A lab before it exists."""

    name: str
    subnets: tuple[IPv4Network, ...]
    nodes: tuple[NodePlan, ...]

    @property
    def switch(self) -> str:
        """The network namespace that is the switch."""
        return f"cuberoot-{self.name}"

    @property
    def uplink(self) -> str:
        """The machine's own port at the switch."""
        return f"{self.name}-up"

    @property
    def gateway(self) -> IPv4Address:
        """The machine's own address in the lab, in its first subnet."""
        return self.subnets[0][1]

    @property
    def is_routed(self) -> bool:
        """Nodes of different subnets reach each other by a router: the switch."""
        return len(self.subnets) > 1

    def bridge(self, subnet: IPv4Network) -> str:
        """The cable between the nodes of a subnet: a bridge of the switch."""
        return f"br{self.subnets.index(subnet)}"

    def way_out(self, subnet: IPv4Network) -> IPv4Address:
        """The address by which nodes of a subnet reach all others."""
        return subnet[ROUTER_HOST] if self.is_routed else self.gateway

    @property
    def cgroup(self) -> str:
        """The folder in every cgroup hierarchy that holds the nodes' groups."""
        return f"cuberoot-lab-{self.name}"

    def node(self, name: str) -> NodePlan:
        """Return the node called name.

        Raises:
            BadTopology: the lab has no such node.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise BadTopology(f"lab {self.name} has no node {name}, only {known}")


def topology_for(name: str, node_count: int, subnet: IPv4Network, *others: IPv4Network) -> Topology:
    """Return the lab of node_count nodes, dealt out to its subnets in turns.

    Raises:
        BadTopology: the name or the count is beyond its limit.
    """
    if not LAB_NAME.fullmatch(name):
        raise BadTopology(
            f"lab name {name!r} must be a lower-case letter and up to 9 letters or digits"
        )
    if not 1 <= node_count <= NODE_COUNT_MAX:
        raise BadTopology(f"a lab has 1 to {NODE_COUNT_MAX} nodes, not {node_count}")
    subnets = (subnet, *others)
    for one in subnets:
        if one not in SUBNETS:
            raise BadTopology(f"subnet {one} is not one of {SUBNETS[0]} to {SUBNETS[-1]}")
    if not len(subnets) <= min(SUBNET_COUNT_MAX, node_count):
        raise BadTopology(
            f"a lab has 1 to {SUBNET_COUNT_MAX} subnets, each with a node, not {len(subnets)}"
        )
    return Topology(name, subnets, tuple(_nodes(node_count, subnets)))


def _nodes(count: int, subnets: tuple[IPv4Network, ...]) -> Iterator[NodePlan]:
    for number in range(1, count + 1):
        subnet = subnets[(number - 1) % len(subnets)]
        subnet_octet = subnet.network_address.packed[2]
        yield NodePlan(
            name=f"n{number}",
            address=subnet[FIRST_NODE_HOST + number],
            mac=f"02:42:4e:00:{subnet_octet:02x}:{FIRST_NODE_HOST + number:02x}",
            subnet=subnet,
        )


def free_subnets(taken: Collection[IPv4Network], count: int) -> list[IPv4Network]:
    """Return the first subnets of ours that overlap nothing in taken.

    Raises:
        BadTopology: too many are asked for, or too many are taken.
    """
    if not 1 <= count <= SUBNET_COUNT_MAX:
        raise BadTopology(f"a lab has 1 to {SUBNET_COUNT_MAX} subnets, not {count}")
    free = [one for one in SUBNETS if not any(one.overlaps(other) for other in taken)]
    if len(free) < count:
        raise BadTopology(
            f"{len(SUBNETS) - len(free)} of {len(SUBNETS)} subnets of labs are taken; end one with "
            "`lab down`"
        )
    return free[:count]
