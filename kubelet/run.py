"""The kubelet: informers, workers, node status, lease, peers and logs, until it is told to end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Protocol

from cubernetes.api.core.node import Node, is_address, is_network
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.resources import extended, units
from cubernetes.api.errors import ApiError, Conflict
from cubernetes.api.meta import Object
from cubernetes.client.connect import connect
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import Unknown, Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.ruleset import RuleSet
from cubernetes.host.supervise import supervised
from cubernetes.reconcile.records import Recorder
from kubelet.checkpoint import Checkpoint, FileCheckpoint, Surroundings
from kubelet.counts import Counts
from kubelet.logserver import serve_logs
from kubelet.mending import Mending
from kubelet.network import guard, overlay
from kubelet.network.driver import NetworkDriver, NetworkTrouble, Peer
from kubelet.network.look import addresses_here
from kubelet.network.registry import NETWORKS
from kubelet.node.capacity import MachineFacts, amounts, machine_facts
from kubelet.node.node import allocatable, own_ports
from kubelet.node.registration import Registration
from kubelet.observer import Observer
from kubelet.pod.admission import Room
from kubelet.pod.pods import PODS_FILE, PodWorkers
from kubelet.pod.starts import Starts
from kubelet.pod.volumes import DiskVolumes, Volumes, VolumeTrouble
from kubelet.pod.worker import HostPorts, Parts
from kubelet.ports.hostports import IptablesHostPorts
from kubelet.ports.keptrules import KeptRules
from kubelet.runtime.driver import RuntimeDown, RuntimeDriver
from kubelet.runtime.registry import RUNTIMES
from kubelet.settings import KubeletSettings

log = Log(__name__)

# How long the API may take to answer before the node goes on from its checkpoint.
CHECKPOINT_AFTER_S = 5.0

NODE_FILE = ("checkpoint", "node")
NODE_PAUSE_S = 0.5  # between two looks at the own Node


class Guard(Protocol):
    """Keeps the packet filter rules that say what pods and strangers may send."""

    def want(self, rules: RuleSet) -> None: ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """What the kubelet drives; a simulation brings its own."""

    runtime: RuntimeDriver
    network: NetworkDriver
    volumes: Volumes
    checkpoint: Checkpoint
    host_ports: HostPorts
    guard: Guard
    facts: Callable[[str, str], MachineFacts]


def this_machine(settings: KubeletSettings, env: Env) -> Machine:
    root = Path(settings.root)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Machine(
        runtime=RUNTIMES[settings.runtime](env, Path(settings.runtime_socket)),
        network=NETWORKS[settings.network](
            IPv4Address(settings.address), root / "network.json", env.blocking
        ),
        volumes=DiskVolumes(root / "volumes", env.commands, env.blocking),
        checkpoint=FileCheckpoint(root),
        host_ports=IptablesHostPorts(env, addresses_here),
        guard=KeptRules(env, guard.OWNER, "guard"),
        facts=partial(machine_facts, root),
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
        self._settings, self._env, self._client, self._machine = settings, env, client, machine
        self._recorder = Recorder(client, env, "kubelet", settings.node_name)
        self._observer = Observer(machine.runtime)
        told = self._recorder.record
        self._mending = Mending(machine.network, env, self._about, told, self._on_trouble)
        facts = machine.facts("", "")
        parts = Parts(
            settings=settings,
            env=env,
            client=client,
            runtime=machine.runtime,
            network=machine.network,
            volumes=machine.volumes,
            observer=self._observer,
            recorder=self._recorder,
            host_ports=machine.host_ports,
            mending=self._mending,
            starts=Starts(settings.parallel_starts),
            counts=Counts(env.metrics, env.clock),
            node_memory_bytes=facts.memory_bytes,
            room=lambda: room_of(facts, settings, self._own_node),
        )
        self._workers = PodWorkers(parts, machine.checkpoint)
        here = f"spec.nodeName={settings.node_name}"
        self._pods = Informer(client, Pod, env, fields=here)
        self._nodes = Informer(client, Node, env)
        self._registration = Registration(
            settings, env, client, machine.runtime, self._mending, machine.facts
        )
        self._pods_changed = asyncio.Event()
        self._nodes_changed = asyncio.Event()
        self._peers_changed = asyncio.Event()
        self._network_ready = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; each part begins again by itself where it fails."""
        self._pods.on_change(self._on_pod)
        self._nodes.on_change(self._on_node)
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("pods informer", self._pods.run),
            ("nodes informer", self._nodes.run),
            ("events", self._recorder.run),
            ("node", self._keep_node),
            ("lease", self._keep_lease),
            ("pods", self._keep_pods),
            ("checkpoint", self._workers.keep_saved),
            ("peers", self._keep_peers),
            ("runtime events", self._follow_runtime),
            ("relist", self._relist),
            ("vigil", self._keep_vigil),
            ("host ports", self._machine.host_ports.run),
            ("network", self._mending.run),
            ("guard", self._machine.guard.run),
        ]
        serving = self._settings.serving
        if serving is not None:
            logs = serve_logs(
                serving, self._workers, self._machine.runtime, self._observer, self._env.clock
            )
            parts.append(("logs", logs))
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in parts:
                    group.create_task(supervised(name, work, self._env))
        finally:
            await self._workers.close()
            await self._observer.close()

    def _on_pod(self, _old: Object | None, _new: Object | None) -> None:
        self._pods_changed.set()

    def _on_node(self, _old: Object | None, _new: Object | None) -> None:
        self._nodes_changed.set()
        self._peers_changed.set()

    def _about(self, uid: str) -> Object | None:
        """Return the pod of a uid, or the own node for none."""
        if not uid:
            return self._own_node
        return next((pod for pod in self._workers.pods if pod.metadata.uid == uid), None)

    def _on_trouble(self, uid: str) -> None:
        """A pod, or the node with all its pods, has lost its network or got it back."""
        if uid:
            self._workers.wake(uid)
            return
        self._nodes_changed.set()
        for pod in self._workers.pods:
            self._workers.wake(pod.metadata.uid)

    @property
    def _own_node(self) -> Node | None:
        return self._nodes.cache.get(self._settings.node_name)

    async def _keep_node(self) -> None:
        """Register once; then look at the Node whenever it changes, and now and then."""
        await self._retrying("node not registered", self._registration.register)
        while True:
            self._nodes_changed.clear()
            node = self._own_node
            if node is not None:
                await self._retrying_once("node not refreshed", self._refresh)
                # Whoever writes against us (a controller whose view of Leases is behind that of
                # Nodes) is answered in a calm voice.
                await self._env.clock.sleep(NODE_PAUSE_S)
            await self._until(self._nodes_changed, self._settings.lease_renew_s * 2)

    async def _refresh(self) -> None:
        node = self._own_node
        if node is not None:
            # Who says «ready» while the Lease says «silent» starts a quarrel with the controller
            # that keeps the silent out of service: each would undo the other's word at once.
            if not self._registration.has_shown_life:
                await self._registration.renew_lease(node)
            if self._registration.has_shown_life:
                await self._registration.refresh(node)
        if self._registration.is_network_ready:
            self._network_ready.set()

    async def _keep_lease(self) -> None:
        while True:
            node = self._own_node
            if node is not None:
                await self._registration.renew_lease(node)
            await self._env.clock.sleep(self._settings.lease_renew_s)

    async def _keep_pods(self) -> None:
        """Hand the workers what is wanted: by the API, or by the checkpoint until it answers."""
        await self._until(self._pods.synced, CHECKPOINT_AFTER_S)
        if not self._pods.synced.is_set():
            await self._begin_from_checkpoint()
        await self._network_ready.wait()
        await self._pods.synced.wait()
        while True:
            self._pods_changed.clear()
            self._workers.want(self._pods.cache.list())
            await self._pods_changed.wait()

    async def _begin_from_checkpoint(self) -> None:
        """Serve on what was told last: this node may have come up while nobody answers."""
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
            await self._connect(peers_kept(around))
        except NetworkTrouble as error:
            log.warning("network not taken from the checkpoint", why=error)
        if saved:
            self._workers.want(saved)

    async def _save_surroundings(self, peers: tuple[Peer, ...]) -> bool:
        """Keep where this node stands; False: the disk took nothing."""
        node = self._own_node
        if node is None or not node.spec.pod_cidr:
            return True
        kept = tuple((one.name, str(one.address), str(one.pod_cidr)) for one in peers)
        around = Surroundings(pod_cidr=node.spec.pod_cidr, peers=kept)
        save = partial(self._machine.checkpoint.save_surroundings, around)
        try:
            await self._env.blocking.run(NODE_FILE, save)
        except OSError as error:
            log.warning("checkpoint not saved", why=error)
            return False
        return True

    async def _connect(self, peers: tuple[Peer, ...]) -> None:
        """Let pods reach these nodes' pods, and nobody else send in their name."""
        await self._machine.network.reconcile_peers(peers)
        pod_range = IPv4Network(self._settings.pod_range)
        bounds = guard.Bounds(pod_range, overlay.PORT, self._settings.closed_ports)
        self._machine.guard.want(guard.rules_for(bounds, peers))

    async def _keep_peers(self) -> None:
        """Follow the other nodes' addresses and ranges; what fails is tried again soon."""
        await self._network_ready.wait()
        await self._nodes.synced.wait()
        changed = self._peers_changed
        known: tuple[Peer, ...] | None = None
        while True:
            changed.clear()
            peers = peers_of(self._nodes.cache.list(), self._settings.node_name)
            try:
                if peers != known:
                    await self._connect(peers)
                    log.info("peers reconciled", count=len(peers))
                    is_saved = await self._save_surroundings(peers)
                    known = peers if is_saved else None
            except NetworkTrouble as error:
                log.warning("peers not reconciled", why=error)
                known = None
            await self._until(changed, 5.0 if known is None else self._settings.relist_s * 6)

    async def _follow_runtime(self) -> None:
        """Wake a pod's worker when something happens to one of its containers."""
        while True:
            try:
                async with aclosing(self._machine.runtime.events()) as uids:
                    async for uid in uids:
                        self._workers.wake(uid)
            except RuntimeDown as error:
                log.warning("runtime events ended", why=error)
            self._nodes_changed.set()
            await self._env.clock.sleep(1.0)
            for pod in self._workers.pods:
                self._workers.wake(pod.metadata.uid)

    async def _relist(self) -> None:
        """Now and then look at everything: what nobody wants, and what no event told of."""
        await self._network_ready.wait()
        await self._pods.synced.wait()
        while True:
            try:
                found = await self._observer.found()
                self._workers.adopt_orphans([*found, *await self._with_volumes()])
                for pod in self._workers.pods:
                    self._workers.wake(pod.metadata.uid)
            except RuntimeDown as error:
                log.warning("runtime not listed", why=error)
                self._nodes_changed.set()
            await self._env.clock.sleep(self._settings.relist_s)

    async def _with_volumes(self) -> set[str]:
        try:
            return await self._machine.volumes.pod_uids()
        except VolumeTrouble as error:
            log.warning("volumes not listed", why=error)
            return set()

    async def _keep_vigil(self) -> None:
        """Look often whether processes are still there: the runtime may not notice their end."""
        while True:
            for uid in sorted(await self._machine.runtime.suspects()):
                self._workers.wake(uid)
            await self._env.clock.sleep(self._settings.vigil_s)

    async def _retrying(self, sentence: str, work: Callable[[], Awaitable[None]]) -> None:
        while not await self._retrying_once(sentence, work):
            await self._env.clock.sleep(0.5 + self._env.rng.fraction())

    async def _retrying_once(self, sentence: str, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except Conflict as error:
            # Somebody wrote first; the change that shows it begins the next try.
            log.debug(sentence, why=error)
            return False
        except (ApiError, Unknown, Unreachable, OSError) as error:
            log.warning(sentence, why=error)
            return False
        return True

    async def _until(self, event: asyncio.Event, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await event.wait()
        except TimeoutError:
            return


def room_of(facts: MachineFacts, settings: KubeletSettings, node: Node | None) -> Room:
    """Return what pods may take of this node, with the devices that its Node names."""
    devices = extended(node.status.capacity) if node is not None else {}
    given = allocatable(amounts(facts, settings.pod_limit, devices))
    counts = {name: units(name, amount) for name, amount in given.items()}
    return Room(counts, counts.pop("pods"), own_ports(settings))


def peers_kept(around: Surroundings) -> tuple[Peer, ...]:
    return tuple(
        Peer(name, IPv4Address(address), IPv4Network(pod_cidr))
        for name, address, pod_cidr in around.peers
    )


def peers_of(nodes: Iterable[Node], own_name: str) -> tuple[Peer, ...]:
    """Return the other nodes that have an address and a range, in the order of their names."""
    return tuple(
        Peer(one.metadata.name, IPv4Address(one.address), IPv4Network(one.spec.pod_cidr))
        for one in sorted(nodes, key=lambda one: one.metadata.name)
        if one.metadata.name != own_name
        and is_address(one.address)
        and is_network(one.spec.pod_cidr)
    )
