"""What a pod's worker works with: the drivers, the client and the limits of this node."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.names.resolvconf import ResolvConf
from cubernetes.reconcile.records import EventRecorder
from kubelet.counts import Counts
from kubelet.devices.giving import Devices
from kubelet.drain.look import Connections
from kubelet.images.puller import Puller
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.mending import Mending
from kubelet.network.driver import NetworkDriver
from kubelet.objects.view import PodObjects
from kubelet.observer import Observer
from kubelet.pod.decisions.admission import Room
from kubelet.pod.decisions.postmortem import Sample
from kubelet.pod.mounted import ClaimReader
from kubelet.pod.starts import Starts
from kubelet.pod.volumes import Volumes
from kubelet.probes.driver import Asker
from kubelet.probes.prober import Prober
from kubelet.runtime.driver import RuntimeDriver
from kubelet.settings import KubeletSettings


class HostPorts(Protocol):
    """Leads ports of this node to pods. Nothing waits for it: what fails is tried again."""

    def lead(self, pod: Pod, address: str) -> None: ...

    def drop(self, pod_uid: str, address: str) -> None:
        """Lead nothing to a pod any more, and forget the flows of its address, if it had one."""
        ...

    def expect(self, pod_uids: Iterable[str]) -> None:
        """Leave what an earlier life led until each has been seen; the first call counts."""
        ...

    def seen(self, pod_uid: str) -> None:
        """A pod has been looked at: where it runs, it has been led."""
        ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a worker touches."""

    settings: KubeletSettings
    env: Env
    client: Client
    runtime: RuntimeDriver
    network: NetworkDriver
    volumes: Volumes
    objects: PodObjects
    claims: ClaimReader
    observer: Observer
    recorder: EventRecorder
    host_ports: HostPorts
    connections: Connections
    mending: Mending
    prober: Prober
    asker: Asker
    starts: Starts
    puller: Puller
    kept_logs: KeptLogs
    counts: Counts
    node_memory_bytes: int
    resolv_conf: Callable[[], ResolvConf]
    room: Callable[[], Room]
    devices: Devices
    # What a container held of memory in the last minute, and what this node is short of.
    memory_samples: Callable[[str], Sequence[Sample]]
    pressures: Callable[[], Sequence[str]]
    # What a pod held of memory at most, by its uid; None where that is not known.
    memory_peak: Callable[[str], Awaitable[int | None]]
    add_host: Callable[[int, str, Sequence[str]], None]

    @property
    def host_address(self) -> str:
        """Return this node's address as it is now."""
        return str(self.network.moved_to or self.settings.address)
