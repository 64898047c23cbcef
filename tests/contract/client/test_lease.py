"""Leadership against a real API server: one leads, another takes over, the late are refused."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from cubernetes.api.coordination.lease import Lease, LeaseSpec
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.errors import Conflict
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.rest import Client, FencingToken
from cubernetes.host.web.messages import Request, Response
from cubernetes.reconcile.lease import Election, LeaseSettings
from tests.simulation.faults import Faults
from tests.simulation.loop import run_simulated
from tests.simulation.network import SimTransport
from tests.simulation.smallworld import SmallWorld, small_world
from tests.simulation.user import ADMIN

LOSSY = Faults(latency_s_max=0.5, lost_request=0.1, lost_reply=0.1)


@dataclass
class Term:
    """One who competes, and the spans in which it took itself for the leader."""

    world: SmallWorld
    name: str
    spans_s: list[tuple[float, float]] = field(default_factory=list)
    client: Client | None = None
    leads: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        settings = LeaseSettings(name="test", identity=self.name)
        election = Election(self.world.client(self.name), self.world.env(self.name), settings)
        self.task = asyncio.get_running_loop().create_task(election.lead(self.work))

    async def work(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        began_s, self.client = loop.time(), client
        self.leads.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.spans_s.append((began_s, loop.time()))
            self.ended.set()

    async def end(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])


async def _compete(world: SmallWorld, lasts_s: float) -> list[Term]:
    terms = [Term(world, name) for name in ("a", "b", "c")]
    for term in terms:
        term.begin()
    await asyncio.sleep(lasts_s)
    return terms


def _overlaps(terms: list[Term]) -> bool:
    spans = sorted(span for term in terms for span in term.spans_s)
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


@pytest.mark.parametrize("seed", range(10))
def test_two_never_lead_at_once_though_calls_are_lost_and_places_cut_off(seed: int) -> None:
    async def main() -> list[Term]:
        async with small_world(str(seed)) as world:
            terms = [Term(world, name) for name in ("a", "b", "c")]
            for term in terms:
                term.begin()
            world.network.faults = LOSSY
            for _ in range(20):
                await asyncio.sleep(10.0)
                place = world.network.rng.choice(terms).name
                world.network.cut(place, world.network.doors)
                await asyncio.sleep(25.0)
                world.network.heal(place)
            for term in terms:
                await term.end()
            return terms

    terms = run_simulated(main(), str(seed))

    assert not _overlaps(terms)
    led_s = sum(end - begin for term in terms for begin, end in term.spans_s)
    # Of 700 s, most are led by somebody, also while two of three are fine.
    assert led_s > 500


def test_who_gives_up_is_followed_at_once_and_who_vanishes_after_the_lease() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        async with small_world() as world:
            first, second, third = await _compete(world, 5.0)
            leader = next(one for one in (first, second, third) if one.leads.is_set())
            others = [one for one in (first, second, third) if one is not leader]
            gave_up_s = loop.time()
            await leader.end()
            waits = [loop.create_task(one.leads.wait()) for one in others]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            handed_over_s = loop.time() - gave_up_s
            leader, last = sorted(others, key=lambda one: not one.leads.is_set())
            world.network.cut(leader.name, world.network.doors)
            vanished_s = loop.time()
            await last.leads.wait()
            taken_over_s = loop.time() - vanished_s
            await leader.end()
            await last.end()
            return handed_over_s, taken_over_s

    handed_over_s, taken_over_s = run_simulated(main())

    assert handed_over_s < 3.0
    assert 13.0 < taken_over_s < 20.0


def test_a_holder_that_says_nothing_of_its_time_has_as_long_as_ours() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with small_world() as world:
            foreign = LeaseSpec(holder_identity="foreign")
            meta = ObjectMeta(name="test", namespace="kube-system")
            await world.client().create(Lease(metadata=meta, spec=foreign))
            began_s, term = loop.time(), Term(world, "a")
            term.begin()
            await term.leads.wait()
            await term.end()
            return loop.time() - began_s

    assert 15.0 < run_simulated(main()) < 20.0


def test_a_deposed_leader_that_does_not_know_it_writes_nothing() -> None:
    async def main() -> None:
        async with small_world() as world:
            user = world.client()
            first = Term(world, "a")
            first.begin()
            await asyncio.sleep(5.0)
            assert first.client is not None
            await first.client.create(Namespace(metadata=ObjectMeta(name="in-time")))
            late = first.client
            await first.end()
            second = Term(world, "b")
            second.begin()
            await asyncio.sleep(20.0)
            with pytest.raises(Conflict, match="no longer held"):
                await late.create(Namespace(metadata=ObjectMeta(name="too-late")))
            lease = await user.get(Lease, "test", "kube-system")
            assert lease.spec.lease_transitions == 1
            # The fence is which lease, and its count of changes: the new leader's passes.
            fence = FencingToken("kube-system", "test", 1, lease.metadata.uid)
            await user.fenced(fence).create(Namespace(metadata=ObjectMeta(name="new")))
            await second.end()

    run_simulated(main())


def test_a_lease_taken_again_by_its_former_holder_ends_what_it_was_before() -> None:
    """Cut off it stopped its work; a write of then that is still under way must come to nothing."""

    async def main() -> tuple[int, int]:
        async with small_world() as world:
            user = world.client()
            term = Term(world, "a")
            term.begin()
            await term.leads.wait()
            before, late = await user.get(Lease, "test", "kube-system"), term.client
            assert late is not None
            term.leads.clear()
            world.network.cut("a", world.network.doors)
            await asyncio.sleep(12.0)
            assert len(term.spans_s) == 1
            world.network.heal("a")
            await term.leads.wait()
            after = await user.get(Lease, "test", "kube-system")
            assert after.spec.holder_identity == before.spec.holder_identity == "a"
            with pytest.raises(Conflict, match="no longer held"):
                await late.create(Namespace(metadata=ObjectMeta(name="too-late")))
            assert term.client is not None
            await term.client.create(Namespace(metadata=ObjectMeta(name="in-time")))
            await term.end()
            return before.spec.lease_transitions, after.spec.lease_transitions

    before, after = run_simulated(main())

    assert after == before + 1


class SlowAnswers(SimTransport):
    """A way to the server on which each renewal is carried out at once and answered late."""

    def __init__(self, world: SmallWorld, place: str, answer_s: float) -> None:
        super().__init__(world.network, place, ADMIN)
        self._answer_s = answer_s
        self.asked_s: asyncio.Queue[float] = asyncio.Queue(64)

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        asked_s = asyncio.get_running_loop().time()
        response = await super().send(request, deadline_s=deadline_s)
        if request.method != "GET":
            await asyncio.sleep(self._answer_s)
            self.asked_s.put_nowait(asked_s)
        return response


@pytest.mark.parametrize("renewal_count", [0, 1, 3])
def test_a_holder_stops_in_time_counted_from_before_it_asked(renewal_count: int) -> None:
    """An answer may take long, and the others count from when the lease was really renewed."""

    async def main() -> float:
        async with small_world() as world:
            transport = SlowAnswers(world, "a", 2.0)
            term = Term(world, "a")
            settings = LeaseSettings(name="test", identity="a")
            client, env = Client(transport, world.env("a")), world.env("a")
            work = Election(client, env, settings).lead(term.work)
            term.task = asyncio.get_running_loop().create_task(work)
            asked_s = [await transport.asked_s.get() for _ in range(1 + renewal_count)]
            world.network.cut("a", world.network.doors)
            await term.ended.wait()
            await term.end()
            return term.spans_s[0][1] - asked_s[-1]

    assert 9.0 < run_simulated(main()) <= 10.1


class SlowServer(SimTransport):
    """A way to a server whose answers take a while, and some of which do not come.

    lost_count: of the next writes, so many are carried out and not answered.
    passing_count: so many more writes come through, if any bound is given.
    """

    def __init__(self, world: SmallWorld, write_s: float, read_s: float) -> None:
        super().__init__(world.network, "a", ADMIN)
        self._write_s, self._read_s = write_s, read_s
        self.lost_count = 0
        self.passing_count: int | None = None

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        if request.method == "GET":
            await asyncio.sleep(self._read_s)
            return await super().send(request, deadline_s=deadline_s)
        if self.passing_count is not None:
            self.passing_count -= 1
            if self.passing_count < 0:
                await self._in_vain(deadline_s)
        response = await super().send(request, deadline_s=deadline_s)
        await asyncio.sleep(self._write_s)
        if self.lost_count > 0:
            self.lost_count -= 1
            await self._in_vain(deadline_s)
        return response

    async def _in_vain(self, deadline_s: float) -> None:
        await asyncio.sleep(deadline_s)
        raise UnknownOutcome("no answer")


async def _slowly_led(world: SmallWorld, transport: SlowServer) -> Term:
    term = Term(world, "a")
    settings = LeaseSettings(name="test", identity="a")
    env = world.env("a")
    work = Election(Client(transport, env), env, settings).lead(term.work)
    term.task = asyncio.get_running_loop().create_task(work)
    await term.leads.wait()
    return term


@pytest.mark.parametrize(("answer_s", "lost_count"), [(1.2, 1), (3.0, 0), (0.1, 2)])
def test_a_server_that_is_slow_costs_nobody_the_leadership(
    answer_s: float, lost_count: int
) -> None:
    """What a try has learned before it was cut off, the next one goes on from."""

    async def main() -> list[tuple[float, float]]:
        async with small_world() as world:
            transport = SlowServer(world, answer_s, answer_s)
            term = await _slowly_led(world, transport)
            for _ in range(5):
                await asyncio.sleep(30.0)
                transport.lost_count = lost_count
            await asyncio.sleep(30.0)
            spans_s = [*term.spans_s]
            await term.end()
            return spans_s

    assert run_simulated(main()) == []


def test_a_long_look_before_the_lease_is_taken_costs_nothing_of_the_term() -> None:
    async def main() -> float:
        async with small_world() as world:
            transport = SlowServer(world, 0.1, 8.0)
            term = await _slowly_led(world, transport)
            transport.passing_count = 0
            await term.ended.wait()
            await term.end()
            return term.spans_s[0][1] - term.spans_s[0][0]

    assert run_simulated(main()) > 9.0


def test_a_lease_that_somebody_else_has_changed_is_not_renewed_by_that() -> None:
    async def main() -> float:
        async with small_world() as world:
            transport = SlowServer(world, 0.1, 0.1)
            term = await _slowly_led(world, transport)
            label = {"metadata": {"labels": {"a": "b"}}}
            await world.client().patch(Lease, "test", "kube-system", label)
            # The next renewal is refused for the label's sake; no other comes through.
            transport.passing_count = 1
            await term.ended.wait()
            await term.end()
            return term.spans_s[0][1] - term.spans_s[0][0]

    assert 9.0 < run_simulated(main()) < 10.5


def test_a_clock_that_is_wrong_by_an_hour_makes_no_leader() -> None:
    async def main() -> list[Term]:
        async with small_world() as world:
            terms = await _compete(world, 120.0)
            for term in terms:
                await term.end()
            return terms

    terms = run_simulated(main())

    assert sum(len(term.spans_s) for term in terms) <= 3
    assert not _overlaps(terms)


def test_an_election_that_could_overlap_is_refused() -> None:
    async def main() -> None:
        async with small_world() as world:
            settings = LeaseSettings(name="test", identity="a", duration_s=10, stop_s=10.0)
            with pytest.raises(ValueError, match="must stop before"):
                Election(world.client(), world.env("a"), settings)

    run_simulated(main())
