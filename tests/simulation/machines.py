"""The machines under the kubelets: containers, addresses and a disk that outlive every kubelet."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cubernetes.api.core.node import NodeSystemInfo
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.ruleset import RuleSet
from kubelet.checkpoint import NetworkState
from kubelet.devices.giving import Bench
from kubelet.eviction.room import MachineRoom
from kubelet.eviction.storage import Held
from kubelet.eviction.tree import Walk
from kubelet.files.contents import EMPTY, Content, File
from kubelet.files.places import NONE_CLAIMED, Claimed
from kubelet.measure.usage import PodGroup, Tree, Usage
from kubelet.network.fake import FakeFabric, FakeNetwork
from kubelet.node.capacity import MachineFacts
from kubelet.pod.volumes import Bound, Message, VolumePart, VolumeTrouble, files_by_volume, place_in
from kubelet.probes.fake import FakeAsker
from kubelet.run import Machine
from kubelet.runtime.driver import State
from kubelet.runtime.fake import Behaviour, FakeMachine, FakeRuntime
from tests.simulation.clock import sim_env
from tests.simulation.dataplane import Kernel

# An image whose containers end well after so long.
TASK, TASK_S = "cubernetes/task:1", 4.0


def facts_of_any(version: str, runtime_version: str) -> MachineFacts:
    info = NodeSystemInfo(
        operating_system="linux",
        architecture="amd64",
        kubelet_version=version,
        container_runtime_version=runtime_version,
    )
    return MachineFacts(cpu_milli=4000, memory_bytes=8 << 30, info=info)


@dataclass(slots=True)
class Disk:
    """The checkpoint of a kubelet, and the volumes of its pods."""

    pods: tuple[Pod, ...] = ()
    surroundings: NetworkState | None = None
    services: tuple[Service, ...] = ()
    images: tuple[str, ...] = ()  # the ids of those that it has pulled
    volumes: dict[str, None] = field(default_factory=dict)
    files: dict[tuple[str, str], Mapping[str, File]] = field(default_factory=dict)
    # What containers have left, by name and attempt.
    messages: dict[tuple[str, int], bytes] = field(default_factory=dict)
    trouble: str = ""  # where given, no volume can be removed, and that is why

    def load(self) -> Sequence[Pod]:
        return self.pods

    def save(self, pods: Sequence[Pod]) -> None:
        self.pods = tuple(pods)

    def load_surroundings(self) -> NetworkState | None:
        return self.surroundings

    def save_surroundings(self, surroundings: NetworkState) -> None:
        self.surroundings = surroundings

    def load_services(self) -> Sequence[Service]:
        return self.services

    def save_services(self, services: Sequence[Service]) -> None:
        self.services = tuple(services)

    def load_images(self) -> Sequence[str]:
        return self.images

    def save_images(self, ids: Sequence[str]) -> None:
        self.images = tuple(ids)

    async def prepare(
        self, pod: Pod, content: Content = EMPTY, claimed: Claimed = NONE_CLAIMED
    ) -> Mapping[str, str]:
        self.volumes[pod.metadata.uid] = None
        for name, files in files_by_volume(pod, content).items():
            if files is not None:
                self.files[pod.metadata.uid, name] = files
            elif (pod.metadata.uid, name) not in self.files:
                raise VolumeTrouble(f"volume {name}: what it is made from has not been read yet")
        found = {}
        for volume in pod.spec.volumes:
            place = place_in(volume, claimed)
            found[volume.name] = place.path.path if place else f"/volumes/{volume.name}"
        return found

    async def bind(self, part: VolumePart) -> Bound:
        files = self.files.get((part.pod_uid, part.volume), {})
        is_there = part.is_made or part.path in files
        return Bound(f"{part.folder}/{part.path}", is_there)

    async def message_file(self, message: Message) -> str:
        return f"/messages/{message.container}-{message.attempt}"

    async def message_text(self, message: Message, bytes_max: int) -> str:
        left = self.messages.get((message.container, message.attempt), b"")
        return left[-bytes_max:].decode()

    async def remove(self, pod_uid: str) -> None:
        if self.trouble:
            raise VolumeTrouble(self.trouble)
        self.volumes.pop(pod_uid, None)
        self.files = {key: one for key, one in self.files.items() if key[0] != pod_uid}

    async def pod_uids(self) -> set[str]:
        return set(self.volumes)


class FakeFolders:
    """Volumes of claims on a machine's disk. trouble: why nothing can be made or removed."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.trouble = ""

    async def make(self, name: str) -> None:
        self._check()
        self.names.add(name)

    async def remove(self, name: str) -> None:
        self._check()
        self.names.discard(name)

    async def found(self) -> set[str]:
        return set(self.names)

    def _check(self) -> None:
        if self.trouble:
            raise VolumeTrouble(self.trouble)


class NoHostPorts:
    """Nobody asks for ports of a simulated node. told: what was said, with the pods' uids."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def lead(self, pod: Pod, address: str) -> None:
        self.told.append(("lead", pod.metadata.uid))

    def drop(self, pod_uid: str, address: str) -> None:
        pass

    def expect(self, pod_uids: Iterable[str]) -> None:
        self.told.append(("expect", *sorted(pod_uids)))

    def seen(self, pod_uid: str) -> None:
        self.told.append(("seen", pod_uid))

    async def run(self) -> None:
        pass


class FakeConnections:
    """What is in flight to every pod of a machine: nothing, unless a test says otherwise."""

    def __init__(self) -> None:
        self.open_everywhere = 0

    async def count(self, pid: int, declared: frozenset[int], *, is_shared: bool) -> int:
        return self.open_everywhere


class NoGuard:
    """Nobody sends packets on a simulated node."""

    def want(self, rules: RuleSet) -> None:
        pass

    async def run(self) -> None:
        pass


class SimMachine:
    """One node: what is there whether or not a kubelet looks."""

    def __init__(self, name: str, number: int, seed: str, wall_error_s: float) -> None:
        self.name = name
        self.wall_error_s = wall_error_s
        self.address = f"10.0.0.{number}"
        env: Env = sim_env(f"{seed}:{name}:machine", wall_error_s)
        self.runtime = FakeMachine(
            env, {TASK: Behaviour(exits_after_s=TASK_S)}, ("cubernetes/pause:1",)
        )
        self.fabric = FakeFabric()
        self.disk = Disk()
        self.folders = FakeFolders()
        self.host_ports = NoHostPorts()
        self.kernel = Kernel()
        self.connections = FakeConnections()
        self.asker = FakeAsker(self.runtime)
        self.devices = Bench()
        # What volumes hold, by `uid/name`, or by name for every pod's.
        self.volume_use: dict[str, Held] = {}
        # What is left of it; and the memory that each pod uses, by uid.
        self.room = MachineRoom()
        self.memory_use: dict[str, int] = {}
        self.eviction_text: bytes | None = None
        # What is reserved of it, how the group of all pods is limited, and each pod's peak.
        self.reserves_text: bytes | None = None
        self.limits: Mapping[str, int] | None = None
        self.memory_peak: dict[str, int] = {}
        # A folder of this machine for logs that outlive their containers.
        self.kept_logs: Path | None = None

    def walk_volume(self, uid: str, name: str) -> Walk:
        everyones = self.volume_use.get(name, Held())
        return Walk(self.volume_use.get(f"{uid}/{name}", everyones))

    def read_groups(self, uids: Collection[str]) -> Tree:
        used = ((uid, self.memory_use.get(uid, 0)) for uid in uids)
        return Tree(pods={uid: PodGroup(Usage(working_set_bytes=size)) for uid, size in used})

    def take_limits(self, limits: Mapping[str, int] | None) -> None:
        self.limits = limits

    def drivers(self, env: Env) -> Machine:
        """Return what a kubelet is given to drive this machine."""
        return Machine(
            runtime=FakeRuntime(self.runtime),
            network=FakeNetwork(env, self.fabric),
            volumes=self.disk,
            folders=self.folders,
            checkpoint=self.disk,
            host_ports=self.host_ports,
            guard=NoGuard(),
            connections=self.connections,
            asker=self.asker,
            facts=facts_of_any,
            devices=self.devices,
            walk_volume=self.walk_volume,
            room_left=lambda: self.room,
            read_groups=self.read_groups,
            eviction_file=lambda: self.eviction_text,
            reserves_file=lambda: self.reserves_text,
            limit_pods=self.take_limits,
            pod_peak=self.memory_peak.get,
            kept_logs=self.kept_logs,
        )

    def running(self) -> list[tuple[str, str]]:
        """Return (pod uid, container name) of all that runs, one entry for each container."""
        lives = self.runtime.lives.values()
        runs = [one.container for one in lives if one.container.state is State.RUNNING]
        return sorted((one.pod_uid, one.name) for one in runs)

    def trouble(self, rng: random.Random) -> None:
        """Let the runtime misbehave for a while: until `mend`, or for the next answers."""
        kind = rng.choice(("down", "hung", "lost", "broken"))
        self.runtime.is_down = kind == "down"
        self.runtime.is_hung = kind == "hung"
        if kind == "lost":
            self.runtime.lost_reply_count = rng.randint(1, 3)
        if kind == "broken":
            self.runtime.break_streams()

    def mend(self) -> None:
        self.runtime.is_down = self.runtime.is_hung = False
        self.runtime.lost_reply_count = 0
        self.kernel.trouble = ""

    def reboot(self) -> None:
        self.runtime.reboot()
        self.fabric.reboot()
        self.kernel.lose()
