"""The loops that keep this node in the API: its Node registered and true, its Lease renewed."""

import asyncio
from collections.abc import Awaitable, Callable

from cubernetes.api.core.node import Node
from cubernetes.api.errors import ApiError, Conflict
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from kubelet.node.registration import Registration

log = Log(__name__)

NODE_PAUSE_S = 0.5  # between two looks at the own Node


class Heartbeat:
    """own_node: reads the Node from a cache that follows the API; None where it is not there.

    network_ready is set once this node can carry pods.
    """

    def __init__(
        self,
        registration: Registration,
        env: Env,
        own_node: Callable[[], Node | None],
        lease_renew_s: float,
    ) -> None:
        self._registration, self._env = registration, env
        self._own_node, self._lease_renew_s = own_node, lease_renew_s
        self._changed = asyncio.Event()
        self.network_ready = asyncio.Event()

    def wake(self) -> None:
        """The Node, or what it says of this machine, may have changed."""
        self._changed.set()

    async def keep_node(self) -> None:
        """Register once; then look at the Node whenever it changes, and now and then."""
        while not await self._tried("node not registered", self._registration.register):
            await self._env.clock.sleep(0.5 + self._env.rng.fraction())
        while True:
            self._changed.clear()
            if self._own_node() is not None:
                await self._tried("node not refreshed", self._refresh)
                # A controller whose view of Leases is behind its view of Nodes writes against us:
                # the pause keeps the two from answering each other at once.
                await self._env.clock.sleep(NODE_PAUSE_S)
            await wait_until(self._changed, self._lease_renew_s * 2)

    async def keep_lease(self) -> None:
        while True:
            node = self._own_node()
            if node is not None:
                await self._registration.renew_lease(node)
            await self._env.clock.sleep(self._lease_renew_s)

    async def _refresh(self) -> None:
        node = self._own_node()
        if node is not None:
            # A Node that says «ready» while its Lease says «silent» starts a quarrel with the
            # controller that keeps silent nodes out of service: each would undo the other's write.
            if not self._registration.has_shown_life:
                await self._registration.renew_lease(node)
            if self._registration.has_shown_life:
                await self._registration.refresh(node)
        if self._registration.is_network_ready:
            self.network_ready.set()

    async def _tried(self, sentence: str, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except Conflict as error:
            # Somebody wrote first; the change that shows it begins the next try.
            log.debug(sentence, why=error)
            return False
        except (ApiError, UnknownOutcome, Unreachable, OSError) as error:
            log.warning(sentence, why=error)
            return False
        return True
