"""The few netlink acts that the overlay is made of. Each leaves things right however it finds them.

A connection belongs to one namespace (`namespace.netlink`). What the kernel refuses is raised as
NetlinkError, and told in the kubelet's words by whoever called.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import ENODEV, ENOENT, ESRCH
from ipaddress import IPv4Address, IPv4Network
from socket import AF_INET
from typing import Any

from kubelet.network.overlay import ALIAS, GATEWAY, ROUTE_PROTOCOL, Overlay, is_host_end
from kubelet.network.rtnetlink import AsyncIPRoute, NetlinkError

POD_DEVICE = "eth0"
UNICAST, UNREACHABLE = 1, 7  # route types, from linux/rtnetlink.h
MAIN_TABLE = 254
SCOPE_LINK = 253
STATE_PERMANENT = 0x80
FLAG_SELF = 0x02  # the entry is the VXLAN device's own, not a bridge's

# A decoded netlink message: attributes by name, header fields by index.
type Message = Any


@dataclass(frozen=True, slots=True)
class Underlay:
    """The device that carries the node's own address."""

    index: int
    mtu_bytes: int


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


async def addresses(netlink: AsyncIPRoute, index: int) -> list[IPv4Address]:
    """Return the IPv4 addresses of a device."""
    found = await netlink.addr("dump", family=AF_INET, index=index)
    return [IPv4Address(row.get("local") or row.get("address")) async for row in found]


async def underlay(netlink: AsyncIPRoute, node_address: IPv4Address) -> Underlay | None:
    """Return the device that has the node's address, or None."""
    rows = await netlink.addr("dump", family=AF_INET)
    indexes = [row["index"] async for row in rows if row.get("local") == str(node_address)]
    if not indexes:
        return None
    (found,) = await netlink.link("get", index=indexes[0])
    return Underlay(indexes[0], found.get("mtu"))


async def pods_found(netlink: AsyncIPRoute) -> dict[str, IPv4Address]:
    """Return which address each pod's host end routes to: the kernel's own record."""
    uids = {
        link["index"]: link.get("ifalias").removeprefix(ALIAS)
        async for link in await netlink.link("dump")
        if is_host_end(link.get("ifname")) and (link.get("ifalias") or "").startswith(ALIAS)
    }
    rows = await netlink.route("dump", family=AF_INET, table=MAIN_TABLE)
    return {
        uids[row.get("oif")]: IPv4Address(row.get("dst"))
        async for row in rows
        if row.get("oif") in uids and row["proto"] == ROUTE_PROTOCOL and row["dst_len"] == 32
    }


async def host_ends(netlink: AsyncIPRoute) -> list[str]:
    """Return the names of every host end that this driver made."""
    found = await netlink.link("dump")
    return sorted(
        [
            link.get("ifname")
            async for link in found
            if is_host_end(link.get("ifname"))
            and link.get(("linkinfo", "kind")) == "veth"
            # Without an alias it was left half made.
            and (link.get("ifalias") or ALIAS).startswith(ALIAS)
        ]
    )


async def wire_pod(netlink: AsyncIPRoute, address: IPv4Address, gateway_mac: str) -> None:
    """Give the pod's end its address, and everything else by way of the node."""
    await netlink.link("set", index=await index_of(netlink, "lo"), state="up")
    index = await index_of(netlink, POD_DEVICE)
    await netlink.addr("replace", index=index, address=str(address), prefixlen=32)
    await netlink.link("set", index=index, state="up")
    await netlink.neigh(
        "replace", ifindex=index, dst=str(GATEWAY), lladdr=gateway_mac, state=STATE_PERMANENT
    )
    await netlink.route("replace", dst=f"{GATEWAY}/32", oif=index, scope=SCOPE_LINK)
    await netlink.route("replace", dst="default", gateway=str(GATEWAY), oif=index)


async def wire_host(
    netlink: AsyncIPRoute, name: str, pod_uid: str, address: IPv4Address, source: IPv4Address
) -> None:
    """Route the pod's address to its host end; the node speaks to it from its own address."""
    index = await index_of(netlink, name)
    await netlink.link("set", index=index, state="up", ifalias=f"{ALIAS}{pod_uid}")
    await netlink.route(
        "replace",
        dst=f"{address}/32",
        oif=index,
        scope=SCOPE_LINK,
        prefsrc=str(source),
        proto=ROUTE_PROTOCOL,
    )


async def refuse_range(netlink: AsyncIPRoute, pod_cidr: IPv4Network | None) -> None:
    """Refuse at once what is sent to a free address of the node's range; None: of no range.

    Without it such a packet would leave by the default route, and the sender wait in vain.
    """
    rows = await netlink.route("dump", family=AF_INET, table=MAIN_TABLE)
    found = {
        f"{row.get('dst')}/{row['dst_len']}"
        async for row in rows
        if row["proto"] == ROUTE_PROTOCOL and row["type"] == UNREACHABLE
    }
    wanted = set() if pod_cidr is None else {str(pod_cidr)}
    for dst in sorted(found - wanted):
        with suppressed(ESRCH):
            await netlink.route("del", dst=dst, type="unreachable", proto=ROUTE_PROTOCOL)
    for dst in sorted(wanted - found):
        await netlink.route("replace", dst=dst, type="unreachable", proto=ROUTE_PROTOCOL)


async def overlay_found(netlink: AsyncIPRoute, index: int) -> Overlay:
    """Return what the tables of the VXLAN device hold.

    One table after the other: a netlink connection carries one dump at a time.
    """
    rows = await netlink.route("dump", family=AF_INET, table=MAIN_TABLE, oif=index)
    routes = {
        IPv4Network(f"{row.get('dst')}/{row['dst_len']}"): IPv4Address(row.get("gateway"))
        async for row in rows
        if row["proto"] == ROUTE_PROTOCOL and row.get("gateway")
    }
    rows = await netlink.neigh("dump", family=AF_INET, ifindex=index)
    neighbours = {
        IPv4Address(row.get("dst")): row.get("lladdr")
        async for row in rows
        if row["state"] == STATE_PERMANENT
    }
    rows = await netlink.fdb("dump", ifindex=index)
    forwarding = {
        row.get("lladdr"): IPv4Address(row.get("dst")) async for row in rows if row.get("dst")
    }
    return Overlay(routes, neighbours, forwarding)


async def remove_peers(
    netlink: AsyncIPRoute,
    index: int,
    routes: list[IPv4Network],
    neighbours: list[IPv4Address],
    forwarding: list[tuple[str, IPv4Address]],
) -> None:
    """Take entries away, routes first: a packet is refused rather than lost on its way."""
    for pod_cidr in routes:
        with suppressed(ESRCH):
            await netlink.route("del", dst=str(pod_cidr), oif=index, proto=ROUTE_PROTOCOL)
    for gateway in neighbours:
        with suppressed(ENOENT):
            await netlink.neigh("del", ifindex=index, dst=str(gateway))
    for mac, node in forwarding:
        with suppressed(ENOENT):
            await netlink.fdb("del", ifindex=index, lladdr=mac, dst=str(node))


async def set_peers(
    netlink: AsyncIPRoute,
    index: int,
    routes: list[tuple[IPv4Network, IPv4Address]],
    neighbours: list[tuple[IPv4Address, str]],
    forwarding: list[tuple[str, IPv4Address]],
) -> None:
    """Set entries, routes last: a route that is there works."""
    for mac, node in forwarding:
        entry: Mapping[str, object] = {"lladdr": mac, "dst": str(node), "flags": FLAG_SELF}
        await netlink.fdb("replace", ifindex=index, state=STATE_PERMANENT, **entry)
    for gateway, mac in neighbours:
        await netlink.neigh(
            "replace", ifindex=index, dst=str(gateway), lladdr=mac, state=STATE_PERMANENT
        )
    for pod_cidr, gateway in routes:
        await netlink.route(
            "replace",
            dst=str(pod_cidr),
            gateway=str(gateway),
            oif=index,
            flags=["onlink"],
            proto=ROUTE_PROTOCOL,
        )


class suppressed(suppress):  # noqa: N801  reads as the built-in that it narrows
    """Let pass what the kernel refuses with one of these codes: it is already so."""

    def __init__(self, *codes: int) -> None:
        super().__init__(NetlinkError)
        self._codes = codes

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, NetlinkError) and error.code in self._codes
