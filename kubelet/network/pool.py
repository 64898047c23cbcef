"""The addresses of this node's range that pods hold, on disk before anybody uses them.

The pool chooses at once and writes while other work goes on: who waits until the record is
settled may use what was chosen before. Choices that are made meanwhile share the next writing.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cubernetes.host.blocking import Blocking
from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.log import Log
from kubelet.network import ipam
from kubelet.network.driver import NetworkTrouble

RECORD = ("network", "record")

log = Log(__name__)


class AddressPool:
    """Changes are made one at a time: the driver that has it sees to it."""

    def __init__(self, checkpoint: Path, blocking: Blocking) -> None:
        self._checkpoint, self._blocking = checkpoint, blocking
        self._addresses: ipam.Addresses | None = None
        self._saved: ipam.Addresses | None = None  # what the record says
        self._saving = asyncio.Lock()

    async def open(self, pod_cidr: IPv4Network, found: Mapping[str, IPv4Address]) -> None:
        """Begin with what was recorded, and with the pods that are found at their addresses."""
        if self._addresses is not None:
            await self.settled()  # the record is all that is gone on from
        recorded = await self._blocking.run(RECORD, partial(self._recorded, pod_cidr))
        self._addresses = ipam.adopted(recorded, found)
        await self.settled()

    @property
    def is_open(self) -> bool:
        return self._addresses is not None

    @property
    def held(self) -> Mapping[str, IPv4Address]:
        return self._opened().held

    def chosen(self, pod_uid: str) -> IPv4Address:
        """Return the pod's address: nobody else is ever given it once this is settled.

        Raises: NetworkTrouble, with "no address left" where the range is used up.
        """
        try:
            self._addresses, address = ipam.taken(self._opened(), pod_uid)
        except ipam.NoAddressLeft as error:
            raise NetworkTrouble(f"no address left: {error}") from error
        return address

    async def taken(self, pod_uid: str) -> IPv4Address:
        """Return the pod's address, recorded before it is used. Raises: NetworkTrouble, OSError."""
        address = self.chosen(pod_uid)
        await self.settled()
        return address

    async def freed(self, pod_uid: str) -> None:
        self._addresses = ipam.freed(self._opened(), pod_uid)
        await self.settled()

    async def settled(self) -> None:
        """Return once all that was chosen or freed before this call is on disk. Raises: OSError."""
        async with self._saving:
            addresses = self._addresses
            if addresses is None or addresses == self._saved:
                return
            content = ipam.checkpoint(addresses)
            await self._blocking.run(RECORD, partial(write_atomic, self._checkpoint, content))
            self._saved = addresses

    def remove_checkpoint(self) -> None:
        self._checkpoint.unlink(missing_ok=True)
        self._addresses = self._saved = None

    def _opened(self) -> ipam.Addresses:
        if self._addresses is None:
            raise NetworkTrouble("the network of this node is not prepared")
        return self._addresses

    def _recorded(self, pod_cidr: IPv4Network) -> ipam.Addresses:
        """Return the checkpoint, or an empty one: the interfaces that exist tell the rest."""
        content = read_or_none(self._checkpoint)
        if content is None:
            return ipam.Addresses(pod_cidr)
        try:
            found = ipam.from_checkpoint(content)
        except ipam.CheckpointInvalid as error:
            log.warning("address checkpoint unreadable, rebuilding", error=error)
            return ipam.Addresses(pod_cidr)
        if found.pod_cidr == pod_cidr:
            return found
        log.warning("pod range changed", before=found.pod_cidr, now=pod_cidr)
        return ipam.Addresses(pod_cidr)
