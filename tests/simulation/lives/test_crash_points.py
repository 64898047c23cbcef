"""Every program, dead at every one of its writes: just before it, or done and unanswered.

A short life without any other fault: two pods behind a service, then one, then none. Each program
in turn dies once, at its first write, its second, and so on until there are no more; each time
the cluster must come to the same end.
"""

import asyncio
import random
from dataclasses import dataclass
from itertools import count

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response
from tests.simulation.clock import sim_env
from tests.simulation.faults import NO_FAULTS
from tests.simulation.flakystore import FlakyStore
from tests.simulation.judges.agreement import disagreements, doubles
from tests.simulation.judges.ledger import Ledger
from tests.simulation.loop import run_simulated
from tests.simulation.machines import SimMachine
from tests.simulation.network import Network, SimTransport
from tests.simulation.programs import (
    Recipe,
    controllers_recipe,
    kubelet_recipe,
    scheduler_recipe,
)
from tests.simulation.user import ADMIN
from tests.simulation.workloads import service, workload

PROGRAMS = ("controllers", "scheduler", "kubelet")
# What an act takes where nobody dies, and what a death adds: a successor waits for the end of its
# predecessor's lease of 15 s.
ACT_S, SUCCESSION_S = 20.0, 45.0
# A test lives one life for each write; a loaded machine may take so long for one of them.
WRITES_MAX, LIFE_MAX_S = 60, 10


@dataclass(slots=True)
class Fate:
    """At which of its writes a program dies; 0 is never. Leases are not counted: they go on."""

    write: int
    is_answered_never: bool
    write_count: int = 0
    came_at: float = -SUCCESSION_S

    def comes(self, request: Request) -> bool:
        if request.method == "GET" or "/leases" in request.path:
            return False
        self.write_count += 1
        if self.write_count != self.write:
            return False
        self.came_at = asyncio.get_running_loop().time()
        return True


class FatalTransport(SimTransport):
    """The connection of a program whose fate may come with a write."""

    def __init__(self, network: Network, recipe: Recipe, fate: Fate) -> None:
        super().__init__(network, recipe.place, recipe.identity)
        self._fate = fate
        self.death = asyncio.Event()

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        if not self.is_dead and self._fate.comes(request):
            if self._fate.is_answered_never:
                await super().send(request, deadline_s=deadline_s)
            self.is_dead = True
            self.death.set()
            await asyncio.Event().wait()
        return await super().send(request, deadline_s=deadline_s)


class Mortal:
    """A program that is begun again after its fate has come."""

    def __init__(self, network: Network, recipe: Recipe, fate: Fate) -> None:
        self._network, self._recipe, self.fate = network, recipe, fate

    async def live(self) -> None:
        for number in count():
            env = sim_env(f"{self._recipe.name}:{number}")
            transport = FatalTransport(self._network, self._recipe, self.fate)
            work = asyncio.ensure_future(self._begin(env, transport))
            death = asyncio.ensure_future(transport.death.wait())
            try:
                await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
            finally:
                transport.is_dead = True
                work.cancel()
                death.cancel()
                await asyncio.wait([work, death])
            assert work.cancelled(), f"{self._recipe.name} ended by itself"
            await asyncio.sleep(1.0)

    async def _begin(self, env: Env, transport: SimTransport) -> None:
        await self._recipe.work(env, Client(transport, env))


async def _short_life(fates: dict[str, Fate]) -> None:
    loop = asyncio.get_running_loop()
    ledger = Ledger(loop.time)
    network = Network(random.Random("still"), NO_FAULTS, 1)
    store = FlakyStore(MemoryStore(sim_env("store")), network, ledger.committed)
    server = ApiServer(store, sim_env("server"), Settings())
    await server.start()
    network.doors[0].open(server)
    machine = SimMachine("n1", 1, "short", 0.0)
    recipes = (controllers_recipe(0, 0.0), scheduler_recipe(0, 0.0), kubelet_recipe(machine))
    mortals = [
        Mortal(network, recipe, fates.setdefault(name, Fate(0, is_answered_never=False)))
        for name, recipe in zip(PROGRAMS, recipes, strict=True)
    ]
    lives = [loop.create_task(one.live()) for one in mortals]
    user = Client(SimTransport(network, "user", ADMIN), sim_env("user"))
    await user.create(service("web", "default"))
    await user.create(workload("web", "default", 2, 1))
    await _must_agree(ledger, machine, fates, 2)
    await user.scale(ReplicaSet, "web", "default", 1)
    await _must_agree(ledger, machine, fates, 1)
    await user.delete(ReplicaSet, "web", "default")
    await _must_agree(ledger, machine, fates, 0)
    for task in lives:
        task.cancel()
    await asyncio.wait(lives)
    await server.stop()


async def _must_agree(
    ledger: Ledger, machine: SimMachine, fates: dict[str, Fate], pod_count: int
) -> None:
    await asyncio.sleep(ACT_S)
    died_at = max(one.came_at for one in fates.values())
    await asyncio.sleep(died_at + SUCCESSION_S - asyncio.get_running_loop().time())
    assert list(disagreements(ledger, [machine])) == []
    assert list(doubles([machine])) == []
    assert ledger.broken == []
    assert len(ledger.all(Pod)) == pod_count


@pytest.mark.timeout(WRITES_MAX * LIFE_MAX_S)
@pytest.mark.parametrize("is_answered_never", [False, True], ids=["before", "unanswered"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_may_die_at_any_of_its_writes(program: str, is_answered_never: bool) -> None:
    still: dict[str, Fate] = {}
    run_simulated(_short_life(still))
    writes = still[program].write_count

    for write in range(1, writes + 1):
        fate = Fate(write, is_answered_never)
        run_simulated(_short_life({program: fate}))
        assert fate.write_count >= write

    # Enough to be worth the name: bindings, pods, statuses, slices, deletions, records.
    assert 4 <= writes <= WRITES_MAX
