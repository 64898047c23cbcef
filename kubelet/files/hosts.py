"""A pod's /etc/hosts, where its address is known only when it has its network."""

from collections.abc import Sequence
from pathlib import Path


def hosts_with(content: str, address: str, names: Sequence[str]) -> str:
    """Return the file with these names at this address, and at no other. Pure."""
    told = " ".join(names)
    others = [line for line in content.splitlines() if line.split()[1:] != list(names)]
    return "\n".join([*others, f"{address}\t{told}", ""])


def add_host(pid: int, address: str, names: Sequence[str]) -> None:
    """Write names into the /etc/hosts that a pod's process sees. May block. Raises: OSError.

    In place: the file is bound into each container of the pod, so that no other may replace it.
    """
    path = Path(f"/proc/{pid}/root/etc/hosts")
    before = path.read_text()
    after = hosts_with(before, address, names)
    if after != before:
        path.write_text(after)
