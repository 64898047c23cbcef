"""What a Weave router leaves in packet filters and among devices, and how it is undone. Pure."""

import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import pairwise

from kubelet.network.overlay import BRIDGE, DATAPATH

CHAINS = "WEAVE"
SETS = "weaver-"
WORDS = "Weave Net"  # in the comment of its rule for the control port
# Those of its rules that lead to no chain of its own, as iptables-save prints them.
FORWARDS = frozenset(
    {
        f"-A FORWARD -i {BRIDGE} -o {BRIDGE} -j ACCEPT",
        f"-A FORWARD -i {BRIDGE} ! -o {BRIDGE} -j ACCEPT",
        f"-A FORWARD -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    }
)
# Ends of its pairs, its VXLAN device of the fast path.
_DEVICE = re.compile(r"vethwe\S*|vxlan-6784")


def devices_of(names: Iterable[str]) -> list[str]:
    """Return the devices that a router made, among these."""
    own = (BRIDGE, DATAPATH)
    return sorted(one for one in names if one in own or _DEVICE.fullmatch(one))


def sets_of(listed: str) -> list[str]:
    """Return the ipsets that a router made, of what `ipset list -n` prints."""
    return sorted(one for one in listed.split() if one.startswith(SETS))


def undoing(saved: str) -> str:
    """Return what iptables-restore --noflush must read to remove a router's rules; may be empty.

    saved: what iptables-save says. Rules of others that lead to its chains go with these.
    """
    parts = []
    for table, lines in _tables(saved):
        chains = [line[1:].split()[0] for line in lines if line.startswith(f":{CHAINS}")]
        rules = [line for line in lines if _is_left(line)]
        if chains or rules:
            undone = [f"-D{line[2:]}" for line in rules]
            flushed = [f"-F {chain}" for chain in chains]
            removed = [f"-X {chain}" for chain in chains]
            parts += [f"*{table}", *flushed, *undone, *removed, "COMMIT"]
    return "".join(f"{line}\n" for line in parts)


def _tables(saved: str) -> Iterator[tuple[str, list[str]]]:
    table, lines = "", list[str]()
    for line in saved.splitlines():
        if line.startswith("*"):
            table, lines = line[1:], []
        elif line == "COMMIT":
            yield table, lines
        else:
            lines.append(line)


def _is_left(line: str) -> bool:
    """Tell whether a rule of a chain that is not a router's is there for one."""
    if not line.startswith("-A ") or line.startswith(f"-A {CHAINS}"):
        return False
    if line in FORWARDS:
        return True
    words = shlex.split(line)
    targets = [after for word, after in pairwise(words) if word in ("-j", "-g")]
    return any(one.startswith(CHAINS) for one in targets) or any(WORDS in one for one in words)
