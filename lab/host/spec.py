"""What a node host is told about itself at power-on: the launcher and PID 1 read it."""

from pathlib import Path

import msgspec

from lab.host.cgroup import Hierarchy
from lab.state import InitKind

# Where a booted node finds its spec; /run is memory, so each boot gets the present one.
IN_NODE = Path("/run/lab-node.json")


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One boot of one node."""

    name: str
    address: str
    gateway: str
    # Name and address of every machine of the lab, this one included.
    hosts: dict[str, str]
    disk: str
    # An empty folder of the machine, to mount on in the node's own mount namespace.
    scratch: str
    log: str
    trees: tuple[Hierarchy, ...]
    gates: tuple[str, ...]
    # Folders of the machine that the node sees at the same place, read-only.
    visible: tuple[str, ...]
    python: str
    python_path: str
    path: str
    init: InitKind = "own"
