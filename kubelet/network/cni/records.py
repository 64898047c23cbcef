"""What was asked of CNI plugins for each pod, and what they answered: a file each, on disk first.

A plugin must be asked to DEL with what it was asked to ADD with, also by a kubelet that has begun
again and by a configuration that has changed since.
"""

from collections.abc import Mapping
from ipaddress import IPv4Interface
from pathlib import Path

import msgspec

from cubernetes.host.cni.conflist import Conflist, ConflistInvalid, conflist_in
from cubernetes.host.cni.plugins import Attachment
from cubernetes.host.cni.results import result_of
from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.log import Log
from kubelet.network.cni.marks import DEVICE

log = Log(__name__)

NOWHERE = (0, 0)  # the place of a namespace that is not there


class More(msgspec.Struct, frozen=True, kw_only=True):
    """A further interface of a pod: what was asked. result: none where ADD has not answered."""

    device: str
    config: Mapping[str, object]
    runtime: Mapping[str, object] = msgspec.field(default_factory=dict)
    result: Mapping[str, object] | None = None

    @property
    def conflist(self) -> Conflist:
        return conflist_in(self.config)

    @property
    def addresses(self) -> tuple[IPv4Interface, ...]:
        told = msgspec.json.encode(self.result)
        return result_of(told).addresses if self.result is not None else ()

    def attachment(self, record: "Record", netns: str) -> Attachment:
        """Return what a plugin is to be told, with the namespace by this path."""
        args = {key: one for key, one in record.args.items() if key != "IP"}
        return Attachment(record.uid, netns, self.device, args=args, runtime=self.runtime)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One pod's interface in the cluster's network, and what it has more.

    address: empty where ADD has not answered. place: device and inode of the namespace, so that
    another one by the same path is not taken for it. marks: what was seen when all was right; none
    where ADD has not answered. hosts: devices of the node that the result tells of. refused: what
    CHECK said against it right after ADD; empty where that was nothing, or was not asked.
    """

    uid: str
    netns: str
    place: tuple[int, int]
    config: Mapping[str, object]
    args: Mapping[str, object] = msgspec.field(default_factory=dict)
    runtime: Mapping[str, object] = msgspec.field(default_factory=dict)
    result: Mapping[str, object] | None = None
    address: str = ""
    marks: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    more: tuple[More, ...] = ()
    refused: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """Return the interfaces that the pod is to have, the first the cluster's own."""
        return (DEVICE, *(one.device for one in self.more))

    @property
    def conflist(self) -> Conflist:
        return conflist_in(self.config)

    @property
    def asks_more(self) -> bool:
        """Whether plugins were asked for ports of the node or rates."""
        return any(self.runtime.get(one) for one in ("portMappings", "bandwidth"))

    def attachment(self, netns: str) -> Attachment:
        """Return what a plugin is to be told, with the namespace by this path."""
        return Attachment(self.uid, netns, args=self.args, runtime=self.runtime)

    def attachments(self, network: str) -> list[Attachment]:
        """Return all that the pod has in a network: it may have asked for the cluster's own too."""
        more = [one for one in self.more if one.conflist.name == network]
        own = [self.attachment(self.netns)] if self.conflist.name == network else []
        return [*own, *(one.attachment(self, self.netns) for one in more)]


class Records:
    """A folder. Every call may block: it belongs on a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._devices = folder, folder / "devices.made"

    def load_records(self, conflist: Conflist) -> dict[str, Record]:
        """Return what was saved.

        Of what cannot be read, as after a power cut, the pod is known by the file's name: its
        plugins are asked by this configuration, and have not answered.
        """
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=Record)
                _ = record.conflist, [one.conflist for one in record.more]
            except (OSError, ValueError, ConflistInvalid) as error:
                log.warning("record of a CNI attachment not readable", path=path, why=error)
                record = Record(uid=path.stem, netns="", place=NOWHERE, config=conflist.tree)
            found[record.uid] = record
        return found

    def save_record(self, record: Record) -> None:
        """Save what is asked, before it is; what was answered need not outlive a power cut.

        Then the namespaces are gone, and all is asked again. Of further networks it must: nothing
        else tells which of their addresses a pod has that is gone.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, content = self._folder / f"{record.uid}.json", msgspec.json.encode(record)
        write_atomic(path, content, is_durable=not record.address or bool(record.more))

    def remove_record(self, uid: str) -> None:
        (self._folder / f"{uid}.json").unlink(missing_ok=True)

    def devices(self) -> set[str]:
        """Return the devices of the node that plugins have made, and that stay without pods."""
        return set((read_or_none(self._devices) or b"").decode().split())

    def add_devices(self, names: set[str]) -> None:
        if names - (before := self.devices()):
            write_atomic(self._devices, "\n".join(sorted(before | names)).encode())

    def remove_all(self) -> None:
        """Remove the folder, with all that is ours in it."""
        if self._folder.is_dir():
            for path in (*self._folder.glob("*.json"), self._devices):
                path.unlink(missing_ok=True)
            self._folder.rmdir()
