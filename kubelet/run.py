"""The kubelet: informers, workers, node status, lease, peers and logs, until it is told to end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object
from cubernetes.client.connect import connect
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.durable.files import read_or_none
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.names.machine import resolv_conf_here
from cubernetes.host.names.resolvconf import ResolvConf
from cubernetes.host.supervise import supervised
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import EventRecorder
from kubelet.checkpoint import Checkpoint, FileCheckpoint
from kubelet.claims.folders import DiskFolders, Folders
from kubelet.claims.keeper import LocalVolumes
from kubelet.counts import Counts
from kubelet.devices.giving import NO_BENCH, Bench, Devices, bench_of
from kubelet.devices.registry import DEVICE_KINDS, plugin_sockets
from kubelet.drain.look import Connections, KernelConnections
from kubelet.eviction import watch as eviction
from kubelet.eviction.collecting import ImageCollector, images_of
from kubelet.eviction.limits import Disks, StorageLimits, WalkVolume
from kubelet.eviction.room import MachineRoom
from kubelet.eviction.storage import Held
from kubelet.eviction.tree import Walk, walk
from kubelet.eviction.watch import PressureWatch
from kubelet.files.hosts import add_host
from kubelet.images.archives import Archives
from kubelet.images.pulled import PulledImages
from kubelet.images.puller import Puller
from kubelet.keptlogs.shelf import KeptLogs
from kubelet.keptlogs.site import KeptSite
from kubelet.logserver import Sources, Uses, serve_logs
from kubelet.measure.measuring import Measuring, ReadGroups
from kubelet.measure.peak import pod_peak_bytes
from kubelet.measure.tree import GroupReader
from kubelet.measure.usage import Tree
from kubelet.mending import Mending
from kubelet.network import guard
from kubelet.network.driver import NetworkDriver, NetworkTrouble, Peer
from kubelet.network.look import addresses_here
from kubelet.network.registry import NETWORKS
from kubelet.node.capacity import MachineFacts, amounts, machine_facts
from kubelet.node.heartbeat import Heartbeat
from kubelet.node.left import room_left
from kubelet.node.registration import Looks, Registration
from kubelet.node.reserving import Ground, Limits, Reserving, limiter_of
from kubelet.node.room import Keeping, room_of
from kubelet.objects.view import PodObjects
from kubelet.observer import Observer
from kubelet.peers import NODE_FILE, Guard, Peers, peers_kept, peers_of
from kubelet.pod.decisions.postmortem import Sample
from kubelet.pod.images import container_path
from kubelet.pod.mounted import ClaimReader
from kubelet.pod.parts import HostPorts, Parts
from kubelet.pod.pods import PODS_FILE, PodWorkers
from kubelet.pod.starts import Starts
from kubelet.pod.volumes import DiskVolumes, Volumes
from kubelet.ports.hostports import IptablesHostPorts
from kubelet.ports.keptrules import KeptRules
from kubelet.probes.asks import NodeAsker
from kubelet.probes.driver import Asker
from kubelet.probes.prober import Prober
from kubelet.reach.reach import Reach
from kubelet.reach.throughput import Throughput
from kubelet.reach.watching import Watching
from kubelet.runtime.cgroup import CGROUP_ROOT
from kubelet.runtime.driver import RuntimeDriver
from kubelet.runtime.registry import RUNTIMES
from kubelet.runtime_watch import RuntimeWatch
from kubelet.settings import KubeletSettings

log = Log(__name__)

# How long the API may take to answer before the node goes on from its checkpoint.
CHECKPOINT_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What the kubelet drives; a simulation brings its own."""

    runtime: RuntimeDriver
    network: NetworkDriver
    volumes: Volumes
    folders: Folders
    checkpoint: Checkpoint
    host_ports: HostPorts
    guard: Guard
    connections: Connections
    asker: Asker
    facts: Callable[[str, str], MachineFacts]
    resolv_conf: Callable[[], ResolvConf] = ResolvConf
    # Writes a pod's own names into its /etc/hosts: by the pid of its sandbox, address and names.
    add_host: Callable[[int, str, Sequence[str]], None] = lambda _pid, _address, _names: None
    # What of memory, disk and process ids is left; one that has no end of them unless told.
    room_left: Callable[[], MachineRoom] = MachineRoom
    # What an administrator says of when pods are evicted; nothing unless told.
    eviction_file: Callable[[], bytes | None] = lambda: None
    # What he reserves of this node; nothing unless told. And what limits the group of all pods.
    reserves_file: Callable[[], bytes | None] = lambda: None
    limit_pods: Callable[[Limits], None] = lambda _limits: None
    # What the groups of pods use; nothing is known of any unless told.
    read_groups: ReadGroups = lambda _wanted: Tree()
    # The most that a pod's group held of memory, by uid; not known unless told.
    pod_peak: Callable[[str], int | None] = lambda _uid: None
    # The groups with network, block I/O and pressure; as that unless told.
    read_details: ReadGroups | None = None
    # What a pod's volume of its own holds of the disk, by uid and name.
    walk_volume: WalkVolume = lambda _uid, _name: Walk(Held())
    # Which devices it has, and where what is given is written down; none unless told.
    devices: Bench = NO_BENCH
    # Where logs stay that outlive their containers; nowhere unless told.
    kept_logs: Path | None = None
    # There is a real network between it and other nodes, which can be asked whether it carries.
    has_ways: bool = False

    def measuring(self, pods: Callable[[], Sequence[Pod]], env: Env) -> Measuring:
        return Measuring(pods, self.read_groups, env, self.read_details, self.pod_peak)


def this_machine(settings: KubeletSettings, env: Env) -> Machine:
    root = Path(settings.root)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket, run = Path(settings.runtime_socket), Path(settings.run)
    runtime = RUNTIMES[settings.runtime](env, socket, root, run)
    groups = GroupReader(Path("/proc"), CGROUP_ROOT)
    return Machine(
        runtime=runtime,
        network=NETWORKS[settings.network](settings, root, env),
        volumes=DiskVolumes(root / "volumes", env.commands, env.blocking),
        folders=DiskFolders(Path(settings.volumes_root), env.blocking),
        checkpoint=FileCheckpoint(root),
        host_ports=IptablesHostPorts(env, addresses_here),
        guard=KeptRules(env, guard.OWNER, "guard"),
        connections=KernelConnections(env.blocking),
        asker=NodeAsker(runtime),
        facts=partial(machine_facts, root),
        room_left=partial(room_left, root),
        eviction_file=partial(read_or_none, Path(settings.eviction_file)),
        reserves_file=partial(read_or_none, Path(settings.reserves_file)),
        limit_pods=limiter_of(CGROUP_ROOT, root / "weights"),
        read_groups=groups.read,
        read_details=groups.read_details,
        pod_peak=partial(pod_peak_bytes, CGROUP_ROOT),
        walk_volume=lambda uid, name: walk(str(root / "volumes" / uid / name)),
        devices=bench_of(DEVICE_KINDS, root, Path(settings.devices_file), plugin_sockets),
        add_host=add_host,
        kept_logs=root / "logs",
        has_ways=True,
        resolv_conf=partial(resolv_conf_here, settings.resolv_confs, settings.dns_servers),
    )


async def run(settings: KubeletSettings, env: Env) -> None:
    """Run the kubelet of this machine."""
    client = connect(settings.client, env, f"kubelet/{settings.node_name}")
    machine = await env.blocking.run(("start", "disk"), partial(this_machine, settings, env))
    try:
        await Kubelet(settings, env, client, machine).run()
    finally:
        await machine.runtime.close()
        await client.close()


class Kubelet:
    """One node's agent. Ending it leaves every container running."""

    def __init__(
        self, settings: KubeletSettings, env: Env, client: Client, machine: Machine
    ) -> None:
        self._settings, self._env, self._machine = settings, env, machine
        self._recorder = EventRecorder(client, env, "kubelet", settings.node_name)
        self._observer = Observer(machine.runtime)
        record = self._recorder.record
        self._mending = Mending(machine.network, env, self._about, record, self._on_trouble)
        self._prober = Prober(env, machine.asker, self._tell_of_probe, self._on_verdict)
        self._objects = PodObjects(client, env, machine.checkpoint)
        self._devices = Devices(
            machine.devices,
            env,
            self._observer.found,
            lambda: self._workers.active,
            self._tell_of_node,
            lambda: self._heartbeat.wake(),
        )
        self._local_volumes = LocalVolumes(
            client, env, settings.node_name, settings.volumes_root, machine.folders, self._recorder
        )
        self._pulled = PulledImages(machine.checkpoint, env.blocking)
        folders = [Path(one) for one in settings.image_archives]
        self._puller = Puller(
            machine.runtime,
            env.clock,
            settings.parallel_pulls,
            self._pulled,
            Archives(machine.runtime, env.blocking, folders),
        )
        self._kept_logs = self._logs_to_keep()
        self._measuring = machine.measuring(lambda: self._workers.pods, env)
        parts = self._parts(client)
        self._workers = PodWorkers(parts, machine.checkpoint)
        self._pods = Informer(client, Pod, env, fields=f"spec.nodeName={settings.node_name}")
        self._nodes = Informer(client, Node, env)
        disks = Disks(env, machine.walk_volume, machine.runtime, self._observer)
        self._images = self._image_collector()
        self._pressures = self._pressure_watch(disks)
        self._reserving = self._reserves_kept()
        self._registration = Registration(
            settings, env, client, machine.runtime, self._mending, self._node_looks()
        )
        self._heartbeat = Heartbeat(
            self._registration, env, lambda: self._own_node, settings.lease_renew_s
        )
        self._peers = Peers(
            settings, env, machine.network, machine.guard, machine.checkpoint, self._nodes
        )
        self._runtime_watch = RuntimeWatch(parts, self._workers, self._heartbeat.wake)
        self._pods_changed = asyncio.Event()
        self._storage_limits = StorageLimits(
            env, lambda: self._workers.pods, disks, self._workers.evict, settings.eviction_look_s
        )

    def _node_looks(self) -> Looks:
        return Looks(
            self._machine.facts,
            lambda: self._pressures.pressed,
            lambda: self._devices.offers,
            lambda: self._devices.labels,
            lambda: self._reserving.reserves.reserved,
            lambda: self._pressures.margins,
        )

    def _image_collector(self) -> ImageCollector:
        machine, pause = self._machine, self._settings.pause_image
        return ImageCollector(
            self._env,
            machine.runtime,
            self._pulled,
            lambda: {pause, *images_of(self._workers.pods)},
            machine.room_left,
            partial(self._tell_of_node, "ImageGCFailed", is_warning=True),
        )

    def _logs_to_keep(self) -> KeptLogs:
        bytes_max = self._settings.kept_logs_bytes_max
        return KeptLogs(
            self._machine.kept_logs if bytes_max else None,
            self._machine.runtime,
            self._env,
            bytes_max,
            lambda: "DiskPressure" in self._pressures.pressed,
        )

    def _pressure_watch(self, disks: Disks) -> PressureWatch:
        machine = self._machine
        looks = eviction.Looks(
            machine.room_left,
            machine.eviction_file,
            self._measuring.look,
            lambda: self._workers.pods,
            disks,
            lambda: self._own_node,
            self._images.collect,
        )
        return PressureWatch(
            self._env,
            looks,
            lambda: self._workers,
            self._recorder.record,
            lambda: self._heartbeat.wake(),
            self._settings.eviction_look_s,
        )

    def _reserves_kept(self) -> Reserving:
        machine = self._machine
        capacity = amounts(machine.facts("", ""), self._settings.pod_limit, {})
        return Reserving(
            self._env,
            Ground(machine.reserves_file, capacity, machine.limit_pods),
            lambda: self._own_node,
            self._recorder.record,
            lambda: self._heartbeat.wake(),
            self._settings.eviction_look_s,
        )

    def _parts(self, client: Client) -> Parts:
        settings, env, machine = self._settings, self._env, self._machine
        facts = machine.facts("", "")
        return Parts(
            settings=settings,
            env=env,
            client=client,
            runtime=machine.runtime,
            network=machine.network,
            volumes=machine.volumes,
            objects=self._objects,
            claims=ClaimReader(client, self._objects, lambda: self._own_node),
            observer=self._observer,
            recorder=self._recorder,
            host_ports=machine.host_ports,
            connections=machine.connections,
            mending=self._mending,
            prober=self._prober,
            asker=machine.asker,
            starts=Starts(settings.parallel_starts),
            puller=self._puller,
            kept_logs=self._kept_logs,
            counts=Counts(env.metrics, env.clock),
            node_memory_bytes=facts.memory_bytes,
            resolv_conf=machine.resolv_conf,
            room=lambda: room_of(
                facts,
                settings,
                self._own_node,
                self._devices.shelf,
                self._keeping,
            ),
            devices=self._devices,
            memory_samples=self._memory_samples,
            pressures=lambda: sorted(self._pressures.pressed),
            memory_peak=self._measuring.peak_of,
            add_host=machine.add_host,
        )

    async def run(self) -> None:
        """Run until cancelled; each part begins again by itself where it fails."""
        self._pods.on_change(self._on_pod)
        self._nodes.on_change(self._on_node)
        self._objects.on_news(self._workers.take_news)
        self._objects.tokens.on_renewed(self._workers.take_token)
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in self._loops():
                    group.create_task(supervised(name, work, self._env))
        finally:
            await self._workers.close()
            await self._puller.close()
            await self._observer.close()

    def _loops(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        ready, watch = self._heartbeat.network_ready, self._runtime_watch
        loops: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("pods informer", self._pods.run),
            ("nodes informer", self._nodes.run),
            ("services informer", self._objects.services.run),
            ("kept services", self._objects.keep_saved),
            ("objects of volumes", self._objects.follow),
            ("tokens", self._objects.tokens.run),
            ("local volumes", self._local_volumes.run),
            ("events", self._recorder.run),
            ("node", self._heartbeat.keep_node),
            ("lease", self._heartbeat.keep_lease),
            ("pods", self._keep_pods),
            ("checkpoint", self._workers.keep_saved),
            ("peers", partial(self._peers.keep, ready)),
            ("runtime events", watch.follow_events),
            ("relist", partial(watch.relist, ready, self._pods.synced)),
            ("process checks", watch.check_processes),
            ("left commands", watch.end_left_commands),
            ("prober", self._prober.run),
            ("host ports", self._machine.host_ports.run),
            ("network", self._mending.run),
            ("guard", self._machine.guard.run),
            ("measuring", self._measuring.run),
            ("devices", self._devices.run),
            ("storage limits", self._storage_limits.run),
            ("pressures", self._pressures.run),
            ("reserves", self._reserving.run),
            ("images", self._images.run),
            ("kept logs", self._kept_logs.run),
        ]
        serving, runtime = self._settings.serving, self._machine.runtime
        if serving is not None and self._machine.has_ways:
            loops.append(("ways", self._watching(serving.port).run))
        if serving is not None:
            uses = Uses(self._settings.node_name, self._measuring)
            clock = self._env.clock
            sources = Sources(self._workers, runtime, self._observer, self._kept_logs)
            more = [*uses.routes(), *self._images.routes(), *self._reach(serving.port).routes()]
            more += self._throughput().routes()
            more += KeptSite(self._kept_logs, clock).routes()
            logs = serve_logs(serving, sources, clock, more)
            loops.append(("logs", logs))
        return loops

    def _reach(self, port: int) -> Reach:
        return Reach(self._env, self._other_nodes, port, self._machine.network)

    def _throughput(self) -> Throughput:
        network = self._machine.network
        return Throughput(self._env, self._other_nodes, lambda: bool(network.overlay_ports))

    def _other_nodes(self) -> tuple[Peer, ...]:
        return peers_of(self._nodes.cache.list(), self._settings.node_name)

    def _watching(self, port: int) -> Watching:
        def peers() -> tuple[Peer, ...]:
            ready = (one for one in self._nodes.cache.list() if is_ready(one))
            return peers_of(ready, self._settings.node_name)

        reach = self._reach(port)
        take_mtus, own = self._peers.want_mtus, lambda: self._own_node
        return Watching(self._env, reach, peers, own, self._recorder.record, take_mtus)

    def _on_pod(self, _old: Object | None, _new: Object | None) -> None:
        self._pods_changed.set()

    def _on_node(self, _old: Object | None, _new: Object | None) -> None:
        self._heartbeat.wake()
        self._peers.wake()

    def _about(self, uid: str) -> Object | None:
        """Return the pod of a uid, or the own node for none."""
        if not uid:
            return self._own_node
        return next((pod for pod in self._workers.pods if pod.metadata.uid == uid), None)

    def _tell_of_node(self, reason: str, message: str, *, is_warning: bool) -> None:
        node = self._own_node
        if node is not None:
            self._recorder.record(
                Record(node, reason, message, "Warning" if is_warning else "Normal")
            )

    def _tell_of_probe(self, pod: Pod, container: str, reason: str, message: str) -> None:
        path = container_path(pod, container)
        self._recorder.record(Record(pod, reason, message, "Warning", path))

    def _on_verdict(self, uid: str) -> None:
        self._workers.wake(uid)

    def _on_trouble(self, uid: str) -> None:
        """A pod, or the node with all its pods, has lost its network or got it back."""
        if uid:
            self._workers.wake(uid)
            return
        self._heartbeat.wake()
        self._workers.wake_all()

    @property
    def _keeping(self) -> Keeping:
        pressures = self._pressures
        return Keeping(pressures.pressed, pressures.margins, self._reserving.reserves)

    def _memory_samples(self, container_id: str) -> Sequence[Sample]:
        return [Sample(*one) for one in self._measuring.memory_of(container_id)]

    @property
    def _own_node(self) -> Node | None:
        return self._nodes.cache.get(self._settings.node_name)

    async def _keep_pods(self) -> None:
        """Hand the workers what is wanted: by the API, or by the checkpoint until it answers."""
        for first in (self._devices.looked, self._reserving.looked):
            await first.wait()
        await wait_until(self._pods.synced, CHECKPOINT_AFTER_S)
        if not self._pods.synced.is_set():
            await self._begin_from_checkpoint()
        await self._heartbeat.network_ready.wait()
        await self._pods.synced.wait()
        while True:
            self._pods_changed.clear()
            pods = self._pods.cache.list()
            self._objects.want(pods)
            self._workers.want(pods)
            await self._pods_changed.wait()

    async def _begin_from_checkpoint(self) -> None:
        """Serve on what the API said last: this node may have come up while nobody answers."""
        run, checkpoint = self._env.blocking.run, self._machine.checkpoint
        try:
            around = await run(NODE_FILE, checkpoint.load_surroundings)
            saved = await run(PODS_FILE, checkpoint.load)
        except OSError as error:
            log.warning("checkpoint not read", why=error)
            return
        if around is None:
            return
        log.info("going on from the checkpoint", pods=len(saved), range=around.pod_cidr)
        try:
            await self._registration.prepare(IPv4Network(around.pod_cidr))
            await self._peers.connect(peers_kept(around))
        except NetworkTrouble as error:
            log.warning("network not taken from the checkpoint", why=error)
        if saved:
            self._objects.want(saved)
            self._workers.want(saved)
