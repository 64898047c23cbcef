"""Every program of a simulated cluster: how it begins, dies and begins again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from apiserver.auth.authorize import (
    CONTROLLERS,
    NODE_PREFIX,
    NODES,
    PROXIES,
    PROXY_PREFIX,
    SCHEDULER,
)
from controllers import run as controllers
from controllers.settings import ControllersSettings
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from kubelet.run import Kubelet
from kubelet.settings import KubeletSettings
from proxy import run as proxy
from proxy.settings import ProxySettings
from scheduler import run as scheduler
from scheduler.settings import SchedulerSettings
from tests.simulation.clock import sim_env
from tests.simulation.machines import SimMachine
from tests.simulation.network import Network, SimTransport

NOWHERE = ClientSettings(servers=("https://nowhere:6443",), ca="")

type Work = Callable[[Env, Client], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to begin one life of a program; place is from where it reaches the servers."""

    name: str
    place: str
    identity: Identity
    work: Work
    # How wrong the wall clock of its machine is.
    wall_error_s: float = 0.0


def scheduler_recipe(number: int, wall_error_s: float) -> Recipe:
    settings = SchedulerSettings(client=NOWHERE)
    name = f"scheduler-{number}"

    async def work(env: Env, client: Client) -> None:
        await scheduler.run(settings, env, client)

    return Recipe(name, name, Identity(SCHEDULER), work, wall_error_s)


def controllers_recipe(number: int, wall_error_s: float) -> Recipe:
    settings = ControllersSettings(client=NOWHERE)
    name = f"controllers-{number}"

    async def work(env: Env, client: Client) -> None:
        await controllers.run(settings, env, client)

    return Recipe(name, name, Identity(CONTROLLERS), work, wall_error_s)


def kubelet_recipe(machine: SimMachine) -> Recipe:
    settings = KubeletSettings(
        node_name=machine.name, address=machine.address, client=NOWHERE, runtime="fake"
    )
    identity = Identity(NODE_PREFIX + machine.name, (NODES,))

    async def work(env: Env, client: Client) -> None:
        await Kubelet(settings, env, client, machine.drivers(env)).run()

    name = f"kubelet-{machine.name}"
    return Recipe(name, machine.name, identity, work, machine.wall_error_s)


def proxy_recipe(machine: SimMachine) -> Recipe:
    settings = ProxySettings(client=NOWHERE, node_name=machine.name, iptables="nft")
    identity = Identity(PROXY_PREFIX + machine.name, (PROXIES,))

    async def work(env: Env, client: Client) -> None:
        await proxy.run(settings, replace(env, commands=machine.kernel), client)

    return Recipe(f"proxy-{machine.name}", machine.name, identity, work, machine.wall_error_s)


class Program:
    """One program: at most one life of it at a time."""

    def __init__(self, recipe: Recipe, network: Network, seed: str) -> None:
        self.recipe = recipe
        self._network = network
        self._seed = f"{seed}:{recipe.name}"
        self._life_count = 0
        self._task: asyncio.Task[None] | None = None
        self._transport: SimTransport | None = None

    @property
    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self) -> None:
        self._life_count += 1
        seed = f"{self._seed}:{self._life_count}"
        # Monotonic time begins anywhere: nobody may compare it with another program's.
        recipe = self.recipe
        env = sim_env(seed, recipe.wall_error_s, self._network.rng.uniform(0, 1e6))
        self._transport = SimTransport(self._network, recipe.place, recipe.identity)
        client = Client(self._transport, env, agent=recipe.name)

        async def life() -> None:
            await recipe.work(env, client)

        self._task = asyncio.get_running_loop().create_task(life())

    async def die(self) -> None:
        """End it as kill -9 does: not one more word of it is heard."""
        if self._task is None or self._transport is None:
            return
        self._transport.is_dead = True
        self._task.cancel()
        await asyncio.wait([self._task])
        self.check()

    def check(self) -> None:
        """Raise what the program sent and never may, and what it raised by itself.

        Programs end only when they are told to.
        """
        if self._transport is not None and self._transport.bindings.broken:
            raise AssertionError("\n".join(self._transport.bindings.broken))
        if self._task is None or not self._task.done() or self._task.cancelled():
            return
        error = self._task.exception()
        if error is not None:
            raise AssertionError(f"{self.recipe.name} ended by itself: {error!r}") from error
