"""What a machine lacks to become a node, and how to get it. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from typing import NamedTuple

from cuberoot.cluster import NetworkKind, Role
from cuberoot.registry import programs_for

# The oldest whose watches can be trusted (see apiserver/storage/etcd/version.py).
ETCD_OLDEST = (3, 5, 13)


FORMS = "an address (192.0.2.7), a network (192.0.2.0/24) or an interface (eth1) of this machine"


class Card(NamedTuple):
    """An address of this machine, with its network, and the interface that has it."""

    device: str
    address: IPv4Interface


class Choice(NamedTuple):
    """network: in which the node follows its address where that changes; empty: it stays."""

    address: str
    network: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """tools: where each is found. etcd_version: (0, 0, 0) where there is none."""

    is_root: bool
    host_name: str
    addresses: tuple[str, ...]
    tools: dict[str, str]
    etcd_version: tuple[int, int, int] = (0, 0, 0)
    docker_trouble: str = ""
    # Containers go on while dockerd is away (its setting live-restore).
    is_live_restoring: bool = True
    busy_ports: frozenset[int] = field(default_factory=frozenset)
    is_systemd: bool = False
    # The jars of a broker of our own are there.
    has_kafka: bool = False
    cards: tuple[Card, ...] = ()


class Lack(NamedTuple):
    """What is missing, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


# The package of each tool, as Debian and Ubuntu call it.
PACKAGES = {
    "ip": "iproute2",
    "iptables-save": "iptables",
    "iptables-restore": "iptables",
    "mount": "mount",
    "conntrack": "conntrack",
}


def ports_of(
    role: Role, enabled: Collection[str] = (), network: NetworkKind = "vxlan"
) -> tuple[int, ...]:
    """Return the TCP ports that a node's programs cannot be without; those of metrics are not."""
    programs = programs_for(role, enabled, network)
    return tuple(port.number for program in programs for port in program.ports)


def lacks_of(facts: Facts, role: Role, address: str) -> list[Lack]:
    """Return everything that keeps this machine from becoming a node, not only the first."""
    lacks = []
    if not facts.is_root:
        lacks.append(Lack("not root", "run it with sudo"))
    if address and address not in facts.addresses:
        listed = ", ".join(facts.addresses) or "none"
        remedy = f"status.addresses must be one of this machine's: {listed}"
        lacks.append(Lack(f"address {address}", remedy))
    for tool, package in PACKAGES.items():
        if tool not in facts.tools:
            lacks.append(Lack(f"{tool} is missing", f"apt-get install {package}"))
    if facts.docker_trouble:
        remedy = "apt-get install docker.io, and start it (systemctl start docker)"
        lacks.append(Lack(f"Docker does not answer ({facts.docker_trouble})", remedy))
    if role == "control-plane" and facts.etcd_version < ETCD_OLDEST:
        lacks.append(Lack(_etcd_words(facts), "scripts/install-etcd"))
    return [*lacks, *lacks_of_ports(facts)]


def lacks_of_ports(facts: Facts) -> list[Lack]:
    """Return the ports that are needed and belong to somebody else."""
    return [
        Lack(f"port {port} is in use", "end what listens there (ss -ltnp shows it)")
        for port in sorted(facts.busy_ports)
    ]


def lacks_of_kafka(facts: Facts) -> list[Lack]:
    """Return what keeps this machine from having a broker of its own."""
    lacks = []
    if "java" not in facts.tools:
        lacks.append(Lack("java is missing", "apt-get install default-jre-headless"))
    if not facts.has_kafka:
        lacks.append(Lack("Kafka is missing", "scripts/install-kafka"))
    if lacks:
        remedy = "--brokers HOST:PORT names others', --without-broker has calls over HTTP alone"
        lacks.append(Lack("or without a broker of our own", remedy))
    return lacks


def advice_for(facts: Facts) -> list[Lack]:
    """Return what the machine can do without, and would be better off with."""
    if facts.is_live_restoring:
        return []
    remedy = 'put {"live-restore": true} into /etc/docker/daemon.json and reload dockerd'
    return [Lack("every restart of dockerd ends all pods of this node", remedy)]


def _etcd_words(facts: Facts) -> str:
    if facts.etcd_version == (0, 0, 0):
        return "etcd is missing"
    found, oldest = (".".join(map(str, one)) for one in (facts.etcd_version, ETCD_OLDEST))
    # Older ones lose watch events, or report progress that they have not made.
    return f"etcd {found} is too old: {oldest} is the oldest that can be trusted"


def chosen(text: str, cards: Sequence[Card]) -> Choice:
    """Return the address that is meant. Raises: ValueError: says which there are."""
    if "/" in text:
        network = _network(text)
        fitting = [one for one in cards if one.address.ip in network]
        if fitting:
            return Choice(str(fitting[0].address.ip), str(network))
    elif _is_address(text):
        if any(str(one.address.ip) == text for one in cards):
            return Choice(text)
    else:
        fitting = [one for one in cards if one.device == text]
        if fitting:
            return Choice(str(fitting[0].address.ip), str(fitting[0].address.network))
    there = ", ".join(f"{one.address} on {one.device}" for one in cards) or "none"
    raise ValueError(f"must be {FORMS}, not {text[:40]!r}; there are: {there}")


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"must be {FORMS}: {error}") from error


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
