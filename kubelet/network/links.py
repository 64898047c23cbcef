"""The few netlink acts that the overlay is made of. Each leaves things right however it finds them.

A connection belongs to one namespace (`namespace.netlink`). What the kernel refuses is raised as
NetlinkError, which the caller translates into the kubelet's words.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from errno import ENODEV, ENOENT, ESRCH
from typing import Any

from kubelet.network.dump import Vxlan
from kubelet.network.facts import (
    ANYWHERE,
    POD_DEVICE,
    UNREACHABLE,
    Act,
    Drop,
    Kind,
    NetworkPart,
    Pair,
    Route,
    State,
    Tunnel,
    Value,
)
from kubelet.network.namespace import set_sysctl
from kubelet.network.rtnetlink import AsyncIPRoute, NetlinkError

STATE_PERMANENT = 0x80
FLAG_SELF = 0x02  # the entry is the VXLAN device's own, not a bridge's

# A decoded netlink message: attributes by name, header fields by index.
type Message = Any


@dataclass(frozen=True, slots=True)
class Reach:
    """Where acts are carried out: a node's namespace by path, one pod's by a handle of it.

    Most acts of one pod name the same three devices: each is looked for once, until one is made.
    """

    path: str
    node: AsyncIPRoute
    pod: AsyncIPRoute | None = None
    pod_handle: int = -1
    indexes: dict[tuple[bool, str], int] = field(default_factory=dict)

    def netlink(self, part: NetworkPart) -> AsyncIPRoute:
        return self.pod if part.pod else self.node

    async def index(self, part: NetworkPart, device: str) -> int:
        """Return the index of a device that must be there. Raises: NetlinkError."""
        key = (bool(part.pod), device)
        if key not in self.indexes:
            self.indexes[key] = await index_of(self.netlink(part), device)
        return self.indexes[key]


async def carry_out(act: Act, reach: Reach) -> None:
    """Put or drop one part. Raises: NetlinkError, OSError."""
    part, value = act
    if isinstance(act, Drop):
        with suppressed(ENODEV, ENOENT, ESRCH):
            await _drop(reach, part, value)
        return
    match value:
        case Tunnel(mac, vxlan):
            reach.indexes.clear()
            await _make_tunnel(reach.node, part.device, mac, vxlan)
        case Pair():
            reach.indexes.clear()
            await _make_pair(reach, part.device, value)
        case _ if part.kind is Kind.SETTING:
            set_sysctl(reach.path, part.key, str(value))
        case _:
            await _put(reach, part, value)


async def _put(reach: Reach, part: NetworkPart, value: Value) -> None:
    netlink = reach.netlink(part)
    if isinstance(value, Route):
        await netlink.route("replace", **await _route_words(reach, part, value))
        return
    index = await reach.index(part, part.device)
    if isinstance(value, State):
        alias = {"ifalias": value.alias} if value.alias else {}
        mtu = {"mtu": value.mtu_bytes} if value.mtu_bytes else {}
        await netlink.link(
            "set", index=index, state="up" if value.is_up else "down", **mtu, **alias
        )
    elif part.kind is Kind.ADDRESS:
        address, _, bits = part.key.partition("/")
        await netlink.addr("replace", index=index, address=address, prefixlen=int(bits))
    elif part.kind is Kind.NEIGHBOUR:
        await netlink.neigh(
            "replace", ifindex=index, dst=part.key, lladdr=value, state=STATE_PERMANENT
        )
    else:
        entry = {"lladdr": part.key, "dst": value, "flags": FLAG_SELF}
        await netlink.fdb("replace", ifindex=index, state=STATE_PERMANENT, **entry)


async def _drop(reach: Reach, part: NetworkPart, value: Value) -> None:
    netlink = reach.netlink(part)
    if isinstance(value, Route):
        await netlink.route("del", **await _route_words(reach, part, value))
        return
    index = await reach.index(part, part.device)
    if part.kind is Kind.ADDRESS:
        address, _, bits = part.key.partition("/")
        await netlink.addr("del", index=index, address=address, prefixlen=int(bits))
    elif part.kind is Kind.NEIGHBOUR:
        await netlink.neigh("del", ifindex=index, dst=part.key)
    else:
        await netlink.fdb("del", ifindex=index, lladdr=part.key, dst=value)


async def _route_words(reach: Reach, part: NetworkPart, route: Route) -> dict[str, object]:
    words: dict[str, object] = {
        "dst": "default" if part.key == str(ANYWHERE) else part.key,
        "proto": route.protocol,
    }
    if route.kind == UNREACHABLE:
        return words | {"type": "unreachable"}
    words |= {"oif": await reach.index(part, route.device), "scope": route.scope}
    if route.source is not None:
        words["prefsrc"] = str(route.source)
    if route.gateway is not None:
        words |= {"gateway": str(route.gateway), "flags": ["onlink"]}
    if route.mtu_bytes:
        words["metrics"] = {"mtu": route.mtu_bytes}
    return words


async def _make_tunnel(netlink: AsyncIPRoute, name: str, mac: str, vxlan: Vxlan) -> None:
    """Make the VXLAN device anew: most of what makes it up can only be set at birth."""
    await remove_device(netlink, name)
    await netlink.link(
        "add",
        ifname=name,
        kind="vxlan",
        address=mac,
        vxlan_id=vxlan.vni,
        vxlan_port=vxlan.port,
        vxlan_local=str(vxlan.local),
        vxlan_link=vxlan.under,
        vxlan_learning=int(vxlan.learns),
    )


async def _make_pair(reach: Reach, name: str, pair: Pair) -> None:
    """Make a pod's pair anew; what an interrupted call or an earlier sandbox left goes first."""
    await remove_device(reach.node, name)
    await remove_device(reach.pod, POD_DEVICE)
    await reach.node.link(
        "add",
        ifname=name,
        kind="veth",
        address=pair.host_mac,
        peer={"ifname": POD_DEVICE, "net_ns_fd": reach.pod_handle, "address": pair.pod_mac},
    )


async def device(netlink: AsyncIPRoute, name: str) -> Message | None:
    """Return the device of that name, or None."""
    try:
        (found,) = await netlink.link("get", ifname=name)
    except NetlinkError as error:
        if error.code == ENODEV:
            return None
        raise
    return found


async def index_of(netlink: AsyncIPRoute, name: str) -> int:
    """Return the index of a device that must be there.

    Raises: NetlinkError.
    """
    (found,) = await netlink.link("get", ifname=name)
    return int(found["index"])


async def remove_device(netlink: AsyncIPRoute, name: str) -> None:
    """Remove a device with its routes; absent is nothing."""
    if (found := await device(netlink, name)) is not None:
        with suppressed(ENODEV):
            await netlink.link("del", index=found["index"])


class suppressed(suppress):  # noqa: N801  reads as the built-in that it narrows
    """Let pass what the kernel refuses with one of these codes: it is already so."""

    def __init__(self, *codes: int) -> None:
        super().__init__(NetlinkError)
        self._codes = codes

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, NetlinkError) and error.code in self._codes
