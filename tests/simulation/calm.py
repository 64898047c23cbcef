"""A cluster on which nothing fails by chance, and whose clocks are as wrong as a test says."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.core.node import Node
from cubernetes.api.core.node import is_ready as is_node_ready
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from tests.simulation.clock import sim_env
from tests.simulation.dataplane import DataPlane
from tests.simulation.faults import NO_FAULTS
from tests.simulation.flakystore import FlakyStore
from tests.simulation.judges.ledger import Ledger
from tests.simulation.machines import SimMachine
from tests.simulation.network import Network, SimTransport
from tests.simulation.programs import (
    Program,
    controllers_recipe,
    kubelet_recipe,
    proxy_recipe,
    scheduler_recipe,
)
from tests.simulation.user import ADMIN

UNTIL_S = 600.0


@dataclass(frozen=True, slots=True)
class Errors:
    """How wrong the wall clocks are, in seconds; nodes has one for each of the machines."""

    server_s: float = 0.0
    controllers_s: float = 0.0
    scheduler_s: float = 0.0
    nodes_s: Sequence[float] = (0.0, 0.0, 0.0)


class CalmCluster:
    """One server, one of each program, some machines, and a user."""

    def __init__(self, errors: Errors) -> None:
        self.loop = asyncio.get_running_loop()
        self.ledger = Ledger(self.loop.time)
        self.network = Network(random.Random("calm"), NO_FAULTS, 1)
        store = FlakyStore(MemoryStore(sim_env("store")), self.network, self.ledger.committed)
        self.server = ApiServer(store, sim_env("server", errors.server_s), Settings())
        self.machines = [
            SimMachine(f"n{number}", number, "calm", error_s)
            for number, error_s in enumerate(errors.nodes_s, 1)
        ]
        recipes = [
            controllers_recipe(0, errors.controllers_s),
            scheduler_recipe(0, errors.scheduler_s),
            *(kubelet_recipe(machine) for machine in self.machines),
            *(proxy_recipe(machine) for machine in self.machines),
        ]
        self.programs = [Program(recipe, self.network, "calm") for recipe in recipes]
        kernels = {machine.name: machine.kernel for machine in self.machines}
        self.dataplane = DataPlane(self.ledger, kernels, ())
        self.user = Client(SimTransport(self.network, "user", ADMIN), sim_env("user"))

    async def begin(self) -> None:
        await self.server.start()
        self.network.doors[0].open(self.server)
        for program in self.programs:
            program.begin()
        names = [machine.name for machine in self.machines]
        await self.until(lambda: self.ready_nodes() == names)

    def ready_nodes(self) -> list[str]:
        nodes = self.ledger.all(Node)
        return [one.metadata.name for one in nodes if is_node_ready(one)]

    async def end(self) -> None:
        for program in self.programs:
            await program.die()
        for machine in self.machines:
            machine.runtime.close()
        await self.server.stop()
        assert self.ledger.broken == []
        assert self.dataplane.broken() == []

    def cut(self, node: str) -> None:
        """Nobody hears this node any more; it lives on."""
        self.network.cut(node, self.network.doors)

    def heal(self, node: str) -> None:
        self.network.heal(node)

    async def until(self, holds: Callable[[], bool], limit_s: float = UNTIL_S) -> float:
        """Wait; return after how many seconds it was so."""
        began_s = self.loop.time()
        while not holds():
            assert self.loop.time() - began_s < limit_s, "it did not come true"
            await asyncio.sleep(0.1)
        return self.loop.time() - began_s

    async def make_pod(self, name: str, node: str, *, image: str = "cubernetes/web:1") -> Pod:
        """Make a pod that no controller replaces, and wait until it serves."""
        spec = PodSpec(containers=(Container(name="main", image=image),), node_name=node)
        meta = ObjectMeta(name=name, namespace="default", labels={"app": name})
        await self.user.create(Pod(metadata=meta, spec=spec))
        await self.until(lambda: is_ready(self.pod(name)))
        return self.pod(name)

    def pod(self, name: str) -> Pod:
        """Return the pod of that name, as it stands in the store."""
        found = self.pods_named(name)
        assert found, f"no pod {name}"
        return found[0]

    def pods_named(self, name: str) -> list[Pod]:
        return [one for one in self.ledger.all(Pod) if one.metadata.name == name]


@asynccontextmanager
async def calm_cluster(errors: Errors | None = None) -> AsyncIterator[CalmCluster]:
    cluster = CalmCluster(errors or Errors())
    await cluster.begin()
    try:
        yield cluster
    finally:
        await cluster.end()
