"""What the nftables backend serves, as a file holds it: ports with their endpoints. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

import msgspec

from proxy.services.nftables.elements import PROTOCOLS
from proxy.services.served import Backend, Key, ServedPort

type _Endpoints = tuple[tuple[str, int], ...]


class SavedPort(msgspec.Struct, frozen=True, kw_only=True):
    """A ServedPort as a file holds it."""

    key: tuple[str, str]
    name: str
    protocol: str
    cluster_ip: str
    port: int
    node_port: int
    externals: tuple[str, ...]
    balanced: tuple[str, ...]
    sources: tuple[str, ...]
    everywhere: _Endpoints
    here: _Endpoints
    is_inner_local: bool
    is_outer_local: bool
    affinity_s: int


class SavedPorts(msgspec.Struct, frozen=True, kw_only=True, tag="nftables"):
    """All ports that were served."""

    ports: tuple[SavedPort, ...]


def encoded(ports: Iterable[ServedPort]) -> bytes:
    return msgspec.json.encode(SavedPorts(ports=tuple(_saved(one) for one in ports)))


def decoded(content: bytes) -> dict[Key, list[ServedPort]]:
    """Return the ports by their service. Raises: ValueError, where it is something else."""
    found: dict[Key, list[ServedPort]] = {}
    for one in msgspec.json.decode(content, type=SavedPorts).ports:
        if one.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {one.protocol!r}")
        found.setdefault(one.key, []).append(_port(one))
    return found


def _saved(port: ServedPort) -> SavedPort:
    return SavedPort(
        key=port.key,
        name=port.name,
        protocol=port.protocol,
        cluster_ip=str(port.cluster_ip),
        port=port.port,
        node_port=port.node_port,
        externals=_texts(port.externals),
        balanced=_texts(port.balanced),
        sources=_texts(port.sources),
        everywhere=tuple((str(one.address), one.port) for one in port.everywhere),
        here=tuple((str(one.address), one.port) for one in port.here),
        is_inner_local=port.is_inner_local,
        is_outer_local=port.is_outer_local,
        affinity_s=port.affinity_s,
    )


def _texts(values: Iterable[IPv4Address | IPv4Network]) -> tuple[str, ...]:
    return tuple(str(one) for one in values)


def _port(saved: SavedPort) -> ServedPort:
    return ServedPort(
        key=saved.key,
        name=saved.name,
        protocol=saved.protocol,
        cluster_ip=IPv4Address(saved.cluster_ip),
        port=saved.port,
        node_port=saved.node_port,
        externals=tuple(IPv4Address(one) for one in saved.externals),
        balanced=tuple(IPv4Address(one) for one in saved.balanced),
        sources=tuple(IPv4Network(one) for one in saved.sources),
        everywhere=_backends(saved.everywhere),
        here=_backends(saved.here),
        is_inner_local=saved.is_inner_local,
        is_outer_local=saved.is_outer_local,
        affinity_s=saved.affinity_s,
    )


def _backends(endpoints: _Endpoints) -> tuple[Backend, ...]:
    return tuple(Backend(IPv4Address(address), port) for address, port in endpoints)
