"""One API server on a simulated network, for tests of what talks to it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from tests.simulation.clock import sim_env
from tests.simulation.faults import NO_FAULTS, Faults
from tests.simulation.network import Network, SimTransport
from tests.simulation.user import ADMIN


class SmallWorld:
    """A server, and connections to it from any place."""

    def __init__(self, seed: str, faults: Faults) -> None:
        self.seed = seed
        self.network = Network(random.Random(f"{seed}:network"), faults, 1)
        self.store = MemoryStore(sim_env(f"{seed}:store"))

    async def start(self) -> None:
        server = ApiServer(self.store, sim_env(f"{self.seed}:server"), Settings())
        await server.start()
        self.network.doors[0].open(server)

    async def stop(self) -> None:
        server = self.network.doors[0].server
        self.network.doors[0].shut()
        if server is not None:
            await server.stop()

    def env(self, place: str) -> Env:
        return sim_env(f"{self.seed}:{place}")

    def client(self, place: str = "user", identity: Identity = ADMIN) -> Client:
        return Client(SimTransport(self.network, place, identity), self.env(place), agent=place)


@asynccontextmanager
async def small_world(seed: str = "0", faults: Faults = NO_FAULTS) -> AsyncIterator[SmallWorld]:
    world = SmallWorld(seed, faults)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
