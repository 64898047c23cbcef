"""A lab: several node hosts and their switch, from `up` to `down`."""

import asyncio
import json
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

import msgspec

from cubernetes.host.env import Env
from lab import faults
from lab.archive import Archive, archives_in
from lab.doctor import Missing, complaints
from lab.host import disk
from lab.host.cgroup import hierarchies, remove_lab
from lab.host.node import DEATH_DEADLINE_S, HOUSE, Node, Site
from lab.net import Switch
from lab.state import (
    Files,
    InitKind,
    LabState,
    NoSuchLab,
    Power,
    Size,
    change_state,
    lab_names,
    only_one,
    read_state,
    turn,
    write_state,
)
from lab.topology import BadTopology, Topology, free_subnets
from lab.wait import until

Faults = tuple[faults.Fault, ...]
IMAGES = HOUSE / "var" / "images"
DEFAULT_SIZE = Size()


class Lab:
    """A lab that exists. Its methods return when the thing is so, not when it was asked for.

    Nothing here is tied to an event loop: a lab opened in one may be used in another.
    """

    def __init__(self, topology: Topology, env: Env) -> None:
        self.env = env
        self.files = Files(topology.name)
        self.switch = Switch(topology, env.commands)
        self.site = Site(topology, self.files, self.switch, hierarchies(), env)
        self.nodes = [Node(self.site, plan) for plan in topology.nodes]

    @property
    def state(self) -> LabState:
        """The lab's state as it is now, read anew."""
        return read_state(self.files)

    @classmethod
    def open(cls, name: str = "lab", env: Env | None = None) -> "Lab":
        """Return the lab that is up under this name.

        Raises:
            NoSuchLab: there is none.
        """
        return cls(read_state(Files(name)).topology, env or Env())

    @classmethod
    async def up(  # noqa: PLR0913  one for each option of the verb
        cls,
        name: str = "lab",
        *,
        node_count: int = 3,
        subnet_count: int = 1,
        size: Size = DEFAULT_SIZE,
        images: Path = IMAGES,
        init: InitKind = "own",
        env: Env | None = None,
    ) -> "Lab":
        """Bring up a lab with Docker answering in every node and the images loaded.

        Repeatable: nodes that run are kept, those that do not are started.

        Raises:
            NoImages: the folder images holds no archive.
            Missing: this machine cannot hold a lab.
            BadTopology: the lab cannot be built, or is up with another number of nodes.
            NodeTrouble: a node did not boot.
        """
        env = env or Env()
        archives = archives_in(images)
        missing = await complaints(env.commands, init)
        if missing:
            raise Missing(missing)
        wish = Wish(name, node_count, subnet_count, size, str(images), init)
        state = await _claim(wish, env)
        lab = cls(state.topology, env)
        async with turn(lab.files, "switch", env.clock):
            await lab.switch.build()
            await lab.switch.apply(state.faults)
        async with asyncio.TaskGroup() as group:
            for node in lab.nodes:
                group.create_task(lab._start(node, archives))
        return lab

    async def _start(self, node: Node, archives: Sequence[Archive]) -> None:
        await self._power_on(node)
        if node.power() is Power.ON:
            await node.load(archives)

    async def _power_on(self, node: Node) -> None:
        state = self.state
        await node.start(state.size, state.faults)

    async def down(self, *, keep_disks: bool = False) -> None:
        """Remove the lab: processes, cables, switch, groups, files; disks too unless kept."""
        async with asyncio.TaskGroup() as group:
            for node in self.nodes:
                group.create_task(node.off() if keep_disks else node.clear())
        await self.switch.remove()
        name = self.site.topology.cgroup
        await until(
            lambda: remove_lab(self.site.trees, name),
            self.env.clock,
            DEATH_DEADLINE_S,
            lambda: f"control group {name} is busy",
        )
        self.files.remove(keep_disks=keep_disks)

    def node(self, name: str) -> Node:
        """Return a node by name.

        Raises:
            BadTopology: the lab has no such node.
        """
        plan = self.site.topology.node(name)
        return next(node for node in self.nodes if node.plan == plan)

    async def power(self, name: str, verb: str) -> None:
        """Do `on`, `off`, `cut`, `reboot`, `freeze` or `thaw` to a node.

        Raises:
            NodeTrouble: it did not obey; or it is off, and the verb needs it running.
        """
        node = self.node(name)
        match verb:
            case "on":
                await self._power_on(node)
            case "off":
                await node.off()
            case "cut":
                await node.cut()
            case "reboot":
                await node.off()
                await self._power_on(node)
            case "freeze":
                await node.freeze()
            case "thaw":
                await node.thaw()
            case _:
                raise ValueError(f"power knows no verb {verb!r}")

    async def cut(self, source: str, target: str, *, one_way: bool = False) -> None:
        """Let nothing from source reach target; nor back, unless one_way."""
        ends = (self.node(source).name, self.node(target).name)
        broken = [faults.Cut(*ends)] if one_way else [faults.Cut(*ends), faults.Cut(*ends[::-1])]
        for cut in broken:
            await self._break(cut)

    async def isolate(self, name: str) -> None:
        """Let nothing reach a node or leave it, silently: its cable looks well."""
        await self._break(faults.Isolate(self.node(name).name))

    async def unplug(self, name: str) -> None:
        """Pull a node's cable: it sees no carrier."""
        await self._break(faults.Unplug(self.node(name).name))

    async def loss(self, name: str, percent: int) -> None:
        """Lose so many of a hundred frames to and from a node, each way."""
        if not 0 <= percent <= 100:
            raise BadTopology(f"loss is 0 to 100 percent, not {percent}")
        await self._break(faults.Loss(self.node(name).name, percent))

    async def heal(self) -> None:
        """Mend every network fault."""
        await self._change_faults(lambda _: ())

    def fill_disk(self, name: str) -> int:
        """Leave no free block on a node's disk; return the bytes taken."""
        return disk.fill(self.node(name).root)

    def free_disk(self, name: str) -> None:
        """Give back what fill_disk took."""
        disk.free(self.node(name).root)

    async def _break(self, fault: faults.Fault) -> None:
        await self._change_faults(lambda known: faults.with_fault(known, fault))

    async def _change_faults(self, change: Callable[[Faults], Faults]) -> None:
        def changed(state: LabState) -> LabState:
            return msgspec.structs.replace(state, faults=change(state.faults))

        wanted = change_state(self.files, changed).faults
        await self.switch.apply(wanted)
        for node in self.nodes:
            if node.power() is not Power.OFF:
                is_up = faults.Unplug(node.name) not in wanted
                await self.switch.set_port(node.name, is_up=is_up)


class Wish(NamedTuple):
    """The lab that is asked for."""

    name: str
    node_count: int
    subnet_count: int
    size: Size
    images: str
    init: InitKind

    def on(self, subnets: Sequence[IPv4Network]) -> LabState:
        first, *others = map(str, subnets)
        return LabState(
            self.name,
            first,
            self.node_count,
            self.size,
            self.images,
            self.init,
            tuple(others),
        )


async def _claim(wish: Wish, env: Env) -> LabState:
    """Return the lab's state, made now where the lab is new."""
    if problem := wish.size.problem():
        raise BadTopology(problem)
    files = Files(wish.name)
    taken = await _networks_of_machine(env)
    with only_one(files.home):
        try:
            found = read_state(files)
        except NoSuchLab:
            for other in lab_names():
                taken += map(IPv4Network, read_state(Files(other)).subnets)
            state = wish.on(free_subnets(taken, wish.subnet_count))
            # Refuse a bad name or count before anything is made.
            _ = state.topology
            write_state(files, state)
            return state
    asked = (wish.node_count, wish.subnet_count, wish.init)
    if (found.node_count, len(found.subnets), found.init) != asked:
        what = f"{found.node_count} nodes, {len(found.subnets)} subnets and {found.init} init"
        raise BadTopology(f"lab {wish.name} is up with {what}: `lab down` ends it")
    return found


async def _networks_of_machine(env: Env) -> list[IPv4Network]:
    told = await env.commands.run(["ip", "-json", "-4", "address", "show"])
    return [
        IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in json.loads(told.stdout)
        for address in link.get("addr_info", [])
    ]
