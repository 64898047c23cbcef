"""A whole cluster in one process: two API servers, schedulers, controllers, kubelets, a user.

A run has two parts. First everything happens at once: people change their minds while programs
die, answers are lost and nodes are cut off; what must never be is looked for all the time. Then the
world is calm, and within a time the cluster must be exactly as it was last wanted.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice

from apiserver.server import ApiServer
from apiserver.settings import Limits, Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.client.rest import Client
from tests.simulation.clock import sim_env
from tests.simulation.dataplane import DataPlane
from tests.simulation.faults import NO_FAULTS, Faults, drawn
from tests.simulation.flakystore import FlakyStore
from tests.simulation.judges.agreement import disagreements, doubles
from tests.simulation.judges.ledger import Ledger
from tests.simulation.loop import sim_loop
from tests.simulation.machines import SimMachine
from tests.simulation.network import Door, Network, SimTransport
from tests.simulation.programs import (
    Program,
    controllers_recipe,
    kubelet_recipe,
    proxy_recipe,
    scheduler_recipe,
)
from tests.simulation.story import Story, told
from tests.simulation.user import ADMIN, Mood, User

NODE_COUNT = 3
SERVERS = ("10.0.0.100",)
QUIET_LEVEL = 40  # logging.ERROR
AGREEMENT_S = 300.0
SETTLE_S = 20.0
PEACE_S = 30.0
LIFE_S_MAX = 3600.0
MOODS: tuple[Mood, ...] = ("any", "fair", "cron", "quota")
MOOD_WEIGHTS = (55, 20, 10, 15)
# How much longer a life is whose people wait for minutes to go by.
EXTRA_S: dict[Mood, float] = {"cron": 120.0}
OUTAGES = 0.8  # per minute


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run went: trouble is empty where it went well."""

    seed: str
    trouble: str
    lived_s: float
    agreed_after_s: float
    step_count: int
    revision: int
    trace: int


class World:
    """One life of a cluster, made of a seed."""

    def __init__(self, seed: str, story: Story, faults: Faults | None = None) -> None:
        self.rng = random.Random(f"{seed}:world")
        self.story = story
        self.mood = self.rng.choices(MOODS, MOOD_WEIGHTS)[0]
        self.faults = drawn(self.rng) if faults is None else faults
        if self.mood == "fair":
            self.faults = NO_FAULTS
        self.seed = seed
        loop = asyncio.get_running_loop()
        self.ledger = Ledger(loop.time)
        self.network = Network(self.rng, self.faults, self.rng.choice((1, 2, 2)))
        self.store = MemoryStore(sim_env(f"{seed}:store"), history_revisions_max=2_000)
        self.stores = [
            FlakyStore(self.store, self.network, self.ledger.committed) for _ in self.network.doors
        ]
        names = [f"n{number}" for number in range(1, NODE_COUNT + 1)]
        self.machines = [
            SimMachine(name, index, seed, self._wall_error_s())
            for index, name in enumerate(names, 1)
        ]
        recipes = [
            *(controllers_recipe(number, self._wall_error_s()) for number in range(2)),
            *(scheduler_recipe(number, self._wall_error_s()) for number in range(2)),
            *(kubelet_recipe(machine) for machine in self.machines),
            *(proxy_recipe(machine) for machine in self.machines),
        ]
        self.programs = [Program(recipe, self.network, seed) for recipe in recipes]
        transport = SimTransport(self.network, "user", ADMIN)
        client = Client(transport, sim_env(f"{seed}:user"), agent="cubectl")
        self.ledger.laws.is_fair = self.mood == "fair"
        self.user = User(client, self.ledger, self.rng, names, self.mood)
        self.dataplane = DataPlane(
            self.ledger, {one.name: one.kernel for one in self.machines}, SERVERS
        )
        self._repairs: list[asyncio.Task[None]] = []

    def _wall_error_s(self) -> float:
        # When a Job is due is what the controllers' clock says.
        return 0.0 if self.mood == "cron" else self.rng.choice((0.0, 0.0, -300.0, 2.0, 90.0))

    async def live(self) -> float:
        """Live both parts; return how long it took until all was as wanted.

        Raises: AssertionError.
        """
        self.story.line(f"mood: {self.mood}; faults: {self.faults}")
        for door in self.network.doors:
            await self._open(door)
        for program in self.programs:
            program.begin()
        ends_at_s = self._now_s() + self.rng.uniform(20, 90) + EXTRA_S.get(self.mood, 0.0)
        while self._now_s() < ends_at_s:
            await asyncio.sleep(self.rng.uniform(0.1, 2.0))
            self.check()
            if self.rng.random() < 0.5:
                self._begin(self._act())
            self._break_something()
        return await self._calm()

    def check(self) -> None:
        """Raise what must never be."""
        for program in self.programs:
            program.check()
        wrong = [
            *self.ledger.broken,
            *doubles(self.machines),
            *self.ledger.laws.impostors(self._running()),
            *self.dataplane.broken(),
            *self.story.bugs,
        ]
        if wrong:
            raise AssertionError("\n".join(wrong[:10]))

    def _running(self) -> list[tuple[str, str]]:
        return [(uid, one.name) for one in self.machines for uid, _ in one.running()]

    async def _act(self) -> None:
        self.story.line(f"user: {await self.user.act()}")

    # What goes wrong

    def _break_something(self) -> None:
        """Called about once a second: chances of the faults are per minute."""
        faults = self.faults
        deeds: list[tuple[float, Callable[[], None]]] = [
            (faults.deaths, self._kill_program),
            (faults.server_deaths, self._kill_servers),
            (faults.cuts, self._cut),
            (faults.cuts, self._lag_server),
            (faults.runtime_troubles, self._trouble_runtime),
            (faults.reboots, self._reboot),
            (faults.compactions, self._compact),
            (faults.pod_silences, self._silence_on_pods),
            (faults.filter_troubles, self._trouble_filter),
            (faults.flushes, self._flush),
            (OUTAGES if self.mood == "cron" else 0.0, self._stop_controllers),
        ]
        for per_minute, deed in deeds:
            if self.rng.random() < per_minute / 60:
                deed()

    def _kill_program(self) -> None:
        program = self.rng.choice(self.programs)
        self.story.line(f"death of {program.recipe.name}")

        async def repair() -> None:
            await program.die()
            await asyncio.sleep(self.rng.choice((0.0, 1.0, 5.0, 40.0)))
            if not program.is_alive:
                program.begin()

        self._begin(repair())

    def _stop_controllers(self) -> None:
        """No controller is there for some minutes: what was due meanwhile is not made up for."""
        gone = [one for one in self.programs if one.recipe.name.startswith("controllers")]
        span_s = self.rng.uniform(50.0, 150.0)
        self.story.line(f"no controllers for {span_s:.0f} s")

        async def repair() -> None:
            for program in gone:
                await program.die()
            await asyncio.sleep(span_s)
            for program in gone:
                if not program.is_alive:
                    program.begin()

        self._begin(repair())

    def _kill_servers(self) -> None:
        """One of them dies, or all at once: then nobody remembers what was watched."""
        doors = self.network.doors
        span_s = self.rng.choice((0.0, 1.0, 10.0, 30.0))
        for door in doors if self.rng.random() < 0.5 else [self.rng.choice(doors)]:
            if door.server is not None:
                self.story.line(f"death of {door.name} for {span_s} s")
                self._begin(self._replace(door, door.server, span_s))

    async def _replace(self, door: Door, server: ApiServer, span_s: float) -> None:
        door.shut()
        await server.stop()
        await asyncio.sleep(span_s)
        await self._open(door)

    def _cut(self) -> None:
        places = sorted({one.recipe.place for one in self.programs})
        place = self.rng.choice(places)
        doors = self.network.doors
        doors = doors if self.rng.random() < 0.6 else [self.rng.choice(doors)]
        span_s = self.rng.choice((1.0, 5.0, 15.0, 45.0))
        self.story.line(f"{place} cut off from {len(doors)} servers for {span_s} s")
        self.network.cut(place, doors)
        self._later(span_s, lambda: self.network.heal(place))

    def _silence_on_pods(self) -> None:
        span_s = self.rng.choice((5.0, 15.0, 30.0))
        self.story.line(f"writes of pods go unanswered for {span_s} s")
        self.network.is_silent_on_pods = True
        self._later(span_s, self.network.answer_on_pods)

    def _lag_server(self) -> None:
        store = self.rng.choice(self.stores)
        span_s = self.rng.choice((0.5, 3.0, 20.0))
        self.story.line(f"a server's memory stands still for {span_s} s")
        store.flows.clear()
        self._later(span_s, store.flows.set)

    def _trouble_runtime(self) -> None:
        machine = self.rng.choice(self.machines)
        machine.trouble(self.rng)
        span_s = self.rng.choice((0.5, 5.0, 20.0))
        self.story.line(f"runtime of {machine.name} in trouble for {span_s} s")
        self._later(span_s, machine.mend)

    def _trouble_filter(self) -> None:
        machine = self.rng.choice(self.machines)
        machine.kernel.trouble = self.rng.choice(("refusing", "hung"))
        span_s = self.rng.choice((0.5, 5.0, 20.0))
        self.story.line(f"packet filter of {machine.name} {machine.kernel.trouble} for {span_s} s")
        self._later(span_s, machine.mend)

    def _flush(self) -> None:
        machine = self.rng.choice(self.machines)
        self.story.line(f"somebody empties the packet filter of {machine.name}")
        machine.kernel.lose()

    def _reboot(self) -> None:
        machine = self.rng.choice(self.machines)
        programs = [one for one in self.programs if one.recipe.place == machine.name]
        self.story.line(f"{machine.name} reboots")

        async def repair() -> None:
            for program in programs:
                await program.die()
            machine.reboot()
            await asyncio.sleep(self.rng.choice((2.0, 20.0, 60.0)))
            for program in programs:
                if not program.is_alive:
                    program.begin()

        self._begin(repair())

    def _compact(self) -> None:
        async def compact() -> None:
            await self.store.compact(max(1, self.ledger.revision - self.rng.randint(0, 30)))

        self.story.line("compaction")
        self._begin(compact())

    # Repair, and the end

    async def _open(self, door: Door) -> None:
        store = self.stores[self.network.doors.index(door)]
        env = sim_env(f"{self.seed}:{door.name}:{door.life}", begin_s=self.rng.uniform(0, 1e6))
        settings = Settings(
            advertise_addresses=SERVERS,
            limits=Limits(events_max=self.rng.choice((8, 64, 512))),
        )
        server = ApiServer(store, env, settings)
        await server.start()
        self.story.line(f"{door.name} serves")
        door.open(server)

    async def _calm(self) -> float:
        """Mend everything, then wait until the cluster agrees with what is wanted."""
        self.story.line("calm")
        self.network.calm()
        for store in self.stores:
            store.flows.set()
        await asyncio.wait([*self._repairs, asyncio.ensure_future(asyncio.sleep(0))])
        for repair in self._repairs:
            repair.result()
        for machine in self.machines:
            machine.mend()
        self.network.calm()
        await self.user.settle()
        calm_since_s = self._now_s()
        wrong: list[str] = []
        while self._now_s() < calm_since_s + AGREEMENT_S:
            self.check()
            wrong = self._wrong()
            if not wrong:
                agreed_after_s = self._now_s() - calm_since_s
                await self._stay()
                return agreed_after_s
            await asyncio.sleep(1.0)
        raise AssertionError(f"no agreement {AGREEMENT_S} s after the last fault: {wrong}")

    def _wrong(self) -> list[str]:
        """Return some of what is not as it is wanted: in the store, on machines, for callers."""
        found = chain(disagreements(self.ledger, self.machines), self.dataplane.disagreements())
        return list(islice(found, 8))

    async def _stay(self) -> None:
        """Look whether the cluster stays as it is: who agrees has nothing left to do."""
        # The last records, and what a kubelet still tells of its node, are written by then.
        await asyncio.sleep(SETTLE_S)
        begin = len(self.ledger.deeds)
        await asyncio.sleep(PEACE_S)
        self.check()
        wrong = self._wrong()
        if wrong:
            raise AssertionError(f"agreement did not last: {wrong}")
        if deeds := self.ledger.deeds[begin:]:
            raise AssertionError(f"nothing is to be done, and written was: {deeds[:20]}")

    def _later(self, span_s: float, deed: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(span_s)
            deed()

        self._begin(wait())

    def _begin(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._repairs.append(asyncio.ensure_future(work))

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def lived(seed: str, tell: Callable[[str], None] | None = None, level: int = QUIET_LEVEL) -> Ended:
    """Live one seed's life and return how it went. `tell` is given every line of its story."""
    choice = random.Random(f"{seed}:loop").random()
    loop = sim_loop(seed, is_shuffled=choice < 0.7)
    agreed_after_s, trouble, revision = 0.0, "", 0
    with told(tell, level) as story:

        async def main() -> tuple[float, int]:
            world = World(seed, story)
            return await world.live(), world.ledger.revision

        try:
            agreed_after_s, revision = loop.run(main(), limit_s=LIFE_S_MAX)
        except Exception as error:  # noqa: BLE001  whatever it is, the seed tells how to see it
            trouble = f"{type(error).__name__}: {error}"
        if not trouble and (story.bugs or loop.mishaps):
            trouble = "\n".join([*story.bugs, *loop.mishaps])
    ended = Ended(seed, trouble, loop.time(), agreed_after_s, loop.step_count, revision, loop.trace)
    loop.close()
    return ended
