"""The switch of a lab, a network namespace of its own, and the cables to it.

In there no firewall of the machine can touch what nodes say to each other. A port is named after
its node.
"""

from collections.abc import Mapping, Sequence

from cubernetes.host.command import CommandFailed, Commands
from lab.faults import Fault, Isolate, Unplug, ruleset_for
from lab.topology import PREFIX_BITS, Topology

UPLINK_PORT = "up0"
# How `ip` says that there is no such link, or no such switch.
NOT_THERE = ("Cannot find device", "Cannot open network namespace")


class Switch:
    """Builds, cables and breaks one lab's network."""

    def __init__(self, topology: Topology, commands: Commands) -> None:
        self.topology = topology
        self.commands = commands
        self.netns = topology.switch
        # The command that runs another one in the switch.
        self.inside = ("nsenter", f"--net=/run/netns/{self.netns}")

    async def exists(self) -> bool:
        """Tell whether the switch is there, with the machine's own cable in it."""
        switches = (await self.ip("netns", "list")).split()
        return self.netns in switches and await self._has_port(UPLINK_PORT)

    async def _has_port(self, port: str) -> bool:
        ports = await self.ip("-n", self.netns, "-o", "link", "show", "type", "veth")
        return any(f" {port}@" in line and " master br" in line for line in ports.splitlines())

    async def build(self) -> None:
        """Make the switch, and this machine its first guest: that is the last step."""
        if await self.exists():
            return
        await self.remove()
        name, uplink = self.netns, self.topology.uplink
        await self.ip("netns", "add", name)
        first, *others = self.topology.subnets
        inside = ["link set lo up"]
        for subnet in self.topology.subnets:
            bridge = self.topology.bridge(subnet)
            inside += [f"link add {bridge} type bridge forward_delay 0", f"link set {bridge} up"]
            if self.topology.is_routed:
                way = f"{self.topology.way_out(subnet)}/{PREFIX_BITS}"
                inside.append(f"address add {way} dev {bridge}")
        await self.batch(inside, self.inside)
        outside = [
            f"link add {uplink} type veth peer name {UPLINK_PORT} netns {name}",
            f"address add {self.topology.gateway}/{PREFIX_BITS} dev {uplink}",
            f"link set {uplink} up",
            *(f"route replace {one} via {self.topology.way_out(first)}" for one in others),
        ]
        await self.batch(outside)
        if self.topology.is_routed:
            await self.commands.run([*self.inside, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
        bridge = self.topology.bridge(first)
        await self.batch((f"link set {UPLINK_PORT} master {bridge} up",), self.inside)

    async def remove(self) -> None:
        """Remove the switch and every cable with it."""
        if f" {self.topology.uplink}@" in await self.ip("-o", "link", "show"):
            await self.ip("link", "delete", self.topology.uplink)
        if self.netns in (await self.ip("netns", "list")).split():
            await self.ip("netns", "delete", self.netns)

    async def plug(self, node: str, pid: int, faults: Sequence[Fault]) -> None:
        """Lay the cable from the port called node to the machine whose init is pid.

        The machine's end gets its address and route. Joining the bridge is the last step, so that
        a cable that was interrupted in the making counts as none.
        """
        if await self._has_port(node):
            return
        await self.unplug(node)
        plan = self.topology.node(node)
        card = f"name eth0 address {plan.mac} netns {pid}"
        await self.batch((f"link add {node} type veth peer {card}",), self.inside)
        lines = (
            "link set lo up",
            "link set eth0 up",
            f"address add {plan.address}/{PREFIX_BITS} dev eth0",
            f"route add default via {self.topology.way_out(plan.subnet)}",
        )
        await self.batch(lines, ["nsenter", "-t", str(pid), "--net"])
        bridge = self.topology.bridge(plan.subnet)
        state = "down" if Unplug(node) in faults else "up"
        await self.batch((f"link set {node} master {bridge} {state}",), self.inside)

    async def unplug(self, node: str) -> None:
        """Take the cable away, if there is one."""
        await self._on_port("delete", node)

    async def set_port(self, node: str, *, is_up: bool) -> None:
        """Switch a port, if there is one: without it, the node sees no carrier."""
        await self._on_port("set", node, "up" if is_up else "down")

    async def _on_port(self, verb: str, node: str, *words: str) -> None:
        try:
            await self.ip("-n", self.netns, "link", verb, node, *words)
        except CommandFailed as error:
            if not any(word in error.said for word in NOT_THERE):
                raise

    async def apply(self, faults: Sequence[Fault]) -> None:
        """Make the switch lose exactly what faults say; ports are switched by set_port."""
        rules = ruleset_for(faults, self._addresses()).encode()
        await self.commands.run([*self.inside, "nft", "-f", "-"], stdin=rules)

    def _addresses(self) -> Mapping[str, str]:
        """Return the nodes' addresses where a router is between some of them."""
        plan = self.topology
        return {one.name: str(one.address) for one in plan.nodes} if plan.is_routed else {}

    async def ip(self, *words: str) -> str:
        """Run one `ip` command and return what it printed."""
        return (await self.commands.run(["ip", *words])).stdout.decode()

    async def batch(self, lines: Sequence[str], place: Sequence[str] = ()) -> None:
        """Run several `ip` commands in one process; place is the command that goes there."""
        text = "\n".join(lines) + "\n"
        await self.commands.run([*place, "ip", "-batch", "-"], stdin=text.encode())


def is_reachable(node: str, faults: Sequence[Fault]) -> bool:
    """Tell whether a node that runs can be reached at all, as far as we broke it ourselves."""
    return Isolate(node) not in faults and Unplug(node) not in faults
