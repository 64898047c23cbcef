"""Leases of host-local that a power cut has emptied: they are nobody's, and hold their address.

The plugin writes a lease, a file named like the address that says whose it is, and does not see to
it that it is on disk. One whose content is lost is refused to every pod and freed by none.
"""

import fcntl
import os
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from cubernetes.host.cni.conflist import Conflist, ipam_of
from kubelet.network.driver import NetworkTrouble

PLUGIN, FOLDER = "host-local", "/var/lib/cni/networks"
LEASE_BYTES_MAX = 4096
EMPTY = b"\0 \r\n"


def drop_empty_leases(conflist: Conflist) -> list[IPv4Address]:
    """Remove a network's empty leases, and return their addresses. May block.

    Raises: NetworkTrouble: the plugin is at work. OSError.
    """
    dropped = []
    for folder in _folders(conflist):
        if not any(_empty_in(folder)):
            continue
        # The plugin's own lock: a lease that it is about to write is empty as well.
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in list(_empty_in(folder)):
                path.unlink()
                dropped.append(IPv4Address(path.name))
        except BlockingIOError as error:
            raise NetworkTrouble(f"CNI plugin {PLUGIN} is at work in {folder}") from error
        finally:
            os.close(lock)
    return dropped


def _folders(conflist: Conflist) -> Iterator[Path]:
    for plugin in conflist.plugins:
        ipam = ipam_of(plugin)
        if ipam.get("type") == PLUGIN:
            yield Path(str(ipam.get("dataDir") or FOLDER)) / conflist.name


def _empty_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*.*.*.*")):
        if _is_address(path.name) and path.is_file():
            with path.open("rb") as file:
                if not file.read(LEASE_BYTES_MAX).strip(EMPTY):
                    yield path


def _is_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except ValueError:
        return False
    return True
