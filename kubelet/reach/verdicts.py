"""From what was found on the way to a node to what blocks it, in one sentence. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

MTU_BYTES_MIN = 576  # every IPv4 way carries packets of this size
OURS = "CUBE-"


@dataclass(frozen=True, slots=True)
class Way:
    """What was found on one way.

    rtt_s: None: no answer. mtu_bytes: the largest packet that came back, 0: not known.
    let_out_bytes: what this machine lets out there.
    """

    rtt_s: float | None = None
    mtu_bytes: int = 0
    let_out_bytes: int = 0
    why: str = ""


NOT_ASKED = Way(why="not asked")


@dataclass(frozen=True, slots=True)
class NodeReach:
    """node: by the nodes' own network; pods: by the pods' network. port: why not, or empty.

    told: what the pods' network itself says of the way.
    """

    address: str
    node: Way
    pods: Way
    port_number: int
    port: str
    overlay_ports: tuple[int, ...]
    rules: tuple[str, ...] = ()
    told: str = ""


def blocked(found: NodeReach) -> str:
    """Return what blocks; empty: nothing."""
    port = f"TCP {found.port_number}"
    if found.node.rtt_s is None and found.port:
        return f"nothing comes back from {found.address}: {found.node.why or 'no answer'}"
    said = []
    if found.node.rtt_s is None:
        said.append("ICMP echo is dropped on the way to the node")
    said += _too_small("to the node", found.node)
    if found.port:
        said.append(f"{port}: {found.port}")
    if found.pods is not NOT_ASKED:
        said += _of_pods(found)
    return "; ".join(said)


def _of_pods(found: NodeReach) -> Iterable[str]:
    if found.pods.rtt_s is not None:
        return _too_small("between pods", found.pods)
    if found.pods.why:
        return [f"the pods' network: {found.pods.why}"]
    if found.told:
        return [found.told]
    ports = " or ".join(str(port) for port in found.overlay_ports)
    way = f"UDP {ports} is dropped between the nodes"
    return [f"{way} by {'; '.join(found.rules)}" if found.rules else way]


def _too_small(where: str, way: Way) -> list[str]:
    if way.rtt_s is None or way.mtu_bytes >= way.let_out_bytes:
        return []
    return [f"packets {where} over {way.mtu_bytes} bytes are lost, of {way.let_out_bytes}"]


def dropping(saved: str, ports: Collection[int]) -> tuple[str, ...]:
    """Return the rules of others, as iptables-save writes them, that drop packets to some ports."""
    return tuple(
        line.removeprefix("-A ")
        for line in saved.splitlines()
        if line.startswith("-A ")
        and any(f"--dport {port} " in f"{line} " for port in ports)
        and line.rsplit(" -j ", 1)[-1].split(" ")[0] in ("DROP", "REJECT")
        and not line.startswith(f"-A {OURS}")
    )


def between(low: int, high: int) -> int:
    """Return the size to try next where low came back and high did not."""
    return (low + high) // 2
