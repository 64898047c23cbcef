"""This node in the API: its Node object, and the Lease that shows it lives."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network
from typing import NamedTuple

from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.core.node import Node
from cubernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.version import VERSION
from kubelet.devices.book import Offer
from kubelet.eviction.thresholds import Amount
from kubelet.mending import Mending
from kubelet.network.driver import NetworkTrouble
from kubelet.node import node as words
from kubelet.node.capacity import MachineFacts
from kubelet.node.node import NodePlace
from kubelet.runtime.driver import LocalImage, RuntimeDriver, RuntimeTrouble
from kubelet.settings import KubeletSettings

log = Log(__name__)

FACTS = ("machine", "facts")
FACTS_DEADLINE_S = 2.0
# The engine is asked no sooner again which images it has.
IMAGES_PAUSE_S = 5.0


class Looks(NamedTuple):
    """What this machine has, which may block; and under which pressures it is.

    offers, labels: what the Node is to say of its devices, as they were found last.
    reserved, margins: what of the machine is not for pods.
    """

    facts: Callable[[str, str], MachineFacts]
    pressed: Callable[[], frozenset[str]]
    offers: Callable[[], Mapping[str, Offer]] = dict
    labels: Callable[[], Mapping[str, str]] = dict
    reserved: Callable[[], Mapping[str, Quantity] | None] = lambda: None
    margins: Callable[[], Mapping[str, Amount]] = lambda: words.MARGINS


class Registration:
    """Keeps the Node true. `own` reads it from a cache that follows the API."""

    def __init__(
        self,
        settings: KubeletSettings,
        env: Env,
        client: Client,
        runtime: RuntimeDriver,
        network: Mending,
        looks: Looks,
    ) -> None:
        self._settings, self._env, self._client = settings, env, client
        self._runtime, self._network, self._looks = runtime, network, looks
        self._prepared: IPv4Network | None = None
        self._known: MachineFacts | None = None
        self._images: Sequence[LocalImage] = ()
        self._images_due_s = float("-inf")
        self._lease: Lease | None = None
        self._renewed_at_s: float | None = None
        self._renewing = asyncio.Lock()

    async def register(self) -> None:
        """Make the Node where there is none; give an existing one the labels it lacks."""
        settings = self._settings
        facts = await self._facts_found("")
        made = words.node_made(settings, facts)
        try:
            await self._client.create(made)
            log.info("node registered", node=settings.node_name)
        except AlreadyExists:
            found = await self._client.get(Node, settings.node_name)
            change = {"metadata": words.change_needed(found, made)}
            if change["metadata"]:
                await self._client.patch(Node, settings.node_name, "", change)

    async def refresh(self, node: Node) -> None:
        """Prepare the network once a range is assigned, and write the status if it differs."""
        trouble, runtime_version = await self._trouble(node)
        settings = self._settings
        port = settings.serving.port if settings.serving else 0
        place = NodePlace(
            self._address,
            port,
            settings.pod_limit,
            self._looks.offers(),
            self._looks.reserved(),
            self._looks.margins(),
        )
        facts = await self._facts_found(runtime_version)
        pressed, now = self._looks.pressed(), self._env.clock.now()
        await self._label(node)
        status = words.status_for(node, facts, place, trouble, now, pressed)
        status = replaced(status, images=words.images_told(await self._images_found()))
        if status != node.status:
            await self._client.update_status(replaced(node, status=status))
            log.info("node status written", trouble=trouble)

    @property
    def _address(self) -> str:
        return str(self._network.moved_to or self._settings.address)

    async def _label(self, node: Node) -> None:
        """Give the Node the labels of its devices as they are now."""
        labels = self._looks.labels()
        found = node.metadata.labels
        change = {key: value for key, value in labels.items() if found.get(key) != value}
        if change:
            await self._client.patch(Node, node.metadata.name, "", {"metadata": {"labels": change}})

    async def _facts_found(self, runtime_version: str) -> MachineFacts:
        """Return what this machine has; where it cannot be read now, what was read last.

        Raises: OSError, where nothing was read yet.
        """
        read = partial(self._looks.facts, f"v{VERSION}", runtime_version)
        try:
            self._known = await self._env.blocking.run(FACTS, read, deadline_s=FACTS_DEADLINE_S)
        except OSError as error:
            if self._known is None:
                raise
            log.warning("facts of this machine not read", why=error)
        return self._known

    async def _images_found(self) -> Sequence[LocalImage]:
        """Return which images are here, as of a minute ago at most while the engine answers."""
        now_s = self._env.clock.monotonic()
        if now_s < self._images_due_s:
            return self._images
        try:
            self._images = await self._runtime.images()
        except RuntimeTrouble as error:
            log.debug("images of this node not read", why=error)
        else:
            self._images_due_s = now_s + IMAGES_PAUSE_S
        return self._images

    async def _trouble(self, node: Node) -> tuple[str, str]:
        """Return why no pod can run here (empty: they can), and the runtime's version."""
        try:
            version = await self._runtime.version()
        except RuntimeTrouble as error:
            return f"container runtime is down: {error}", ""
        runtime_version = f"{version.name}://{version.version}"
        if not node.spec.pod_cidr:
            return "waiting for a range of pod addresses", runtime_version
        try:
            await self.prepare(IPv4Network(node.spec.pod_cidr))
        except NetworkTrouble as error:
            return f"pod network is not ready: {error}", runtime_version
        if self._network.node_trouble:
            return f"pod network is not ready: {self._network.node_trouble}", runtime_version
        return "", runtime_version

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        """Make the node carry pods of this range, unless it does. Raises: NetworkTrouble."""
        if self._prepared != pod_cidr:
            await self._network.prepare(pod_cidr)
            self._prepared = pod_cidr

    @property
    def is_network_ready(self) -> bool:
        return self._prepared is not None

    @property
    def has_shown_life(self) -> bool:
        """The Lease was renewed so lately that others must take this node for alive."""
        return self._is_renewed_since(self._settings.lease_renew_s * 2)

    def _is_renewed_since(self, span_s: float) -> bool:
        if self._renewed_at_s is None:
            return False
        return self._env.clock.monotonic() - self._renewed_at_s < span_s

    async def renew_lease(self, node: Node) -> None:
        """Renew the Lease once; a renewal that fails is made again at the next turn.

        One at a time: two at once would refuse each other.
        """
        async with self._renewing:
            if not self._is_renewed_since(self._settings.lease_renew_s / 2):
                await self._renew(node)

    async def _renew(self, node: Node) -> None:
        """Read the Lease if it is not known, and write it; each has a time of its own."""
        deadline_s = self._settings.lease_renew_s * 2
        try:
            if self._lease is None:
                async with asyncio.timeout(deadline_s):
                    self._lease = await self._lease_found(node)
            asked_at_s = self._env.clock.monotonic()
            spec = replaced(self._lease.spec, renew_time=self._env.clock.now())
            async with asyncio.timeout(deadline_s):
                self._lease = await self._client.update(replaced(self._lease, spec=spec))
            self._renewed_at_s = asked_at_s
        except (Conflict, NotFound) as error:
            log.warning("lease lost", why=error)
            self._lease = None
        except (ApiError, UnknownOutcome, Unreachable, TimeoutError) as error:
            # The outcome may be unknown: read it again before the next write.
            log.warning("lease not renewed", why=error)
            self._lease = None

    async def _lease_found(self, node: Node) -> Lease:
        wanted = words.lease_for(node, self._settings.lease_duration_s, self._env.clock.now())
        try:
            return await self._client.get(Lease, node.metadata.name, NODE_LEASE_NAMESPACE)
        except NotFound:
            return await self._client.create(wanted)
