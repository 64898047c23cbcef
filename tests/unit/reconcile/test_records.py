"""Records: the same thing counts up, too much is dropped, and trouble stops nobody."""

import asyncio

from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import BURST, HELD_S_MAX, PENDING_MAX, REFILL_S, EventRecorder
from tests.given import a_pod
from tests.scripted import ScriptedTransport, refused
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world

POD = a_pod("web-0", uid="u0")


RELEASED_S = 3  # so long the program has work


def started(recorder: EventRecorder) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(recorder.run())


async def events_of(world: SmallWorld) -> list[Event]:
    found = await world.client().list(Event, "default")
    return sorted(found.items, key=lambda one: one.message)


def test_the_same_again_counts_up_also_by_another_instance() -> None:
    async def main() -> list[Event]:
        async with small_world() as world:
            for _ in range(2):
                recorder = EventRecorder(world.client("one"), world.env("one"), "test")
                task = started(recorder)
                for _ in range(3):
                    recorder.record(Record(POD, "Pulled", "the image is here"))
                    await asyncio.sleep(1.0)
                recorder.record(Record(POD, "Failed", "the image is not here", "Warning"))
                await asyncio.sleep(1.0)
                task.cancel()
                await asyncio.wait([task])
            return await events_of(world)

    here, not_here = run_simulated(main())

    assert (here.reason, here.count, here.type) == ("Pulled", 6, "Normal")
    assert (not_here.reason, not_here.count, not_here.type) == ("Failed", 2, "Warning")
    assert here.involved_object.ref == POD.ref
    assert here.involved_object.uid == "u0"
    assert here.last_timestamp is not None
    assert here.first_timestamp is not None
    assert here.last_timestamp > here.first_timestamp


def test_a_long_name_is_cut_to_a_name() -> None:
    about = a_pod("a" * 229 + "-" + "b" * 20)

    async def main() -> list[Event]:
        async with small_world() as world:
            recorder = EventRecorder(world.client("one"), world.env("one"), "test")
            task = started(recorder)
            recorder.record(Record(about, "Pulled", "the image is here"))
            await asyncio.sleep(1.0)
            task.cancel()
            await asyncio.wait([task])
            return await events_of(world)

    assert [one.involved_object.name for one in run_simulated(main())] == [about.metadata.name]


def test_what_comes_at_once_is_written_once() -> None:
    async def main() -> tuple[int, int]:
        async with small_world() as world:
            recorder = EventRecorder(world.client("one"), world.env("one"), "test")
            task = started(recorder)
            before = (await world.store.get("/"))[1]
            for _ in range(100):
                recorder.record(Record(POD, "Pulled", "the image is here"))
            await asyncio.sleep(1.0)
            after = (await world.store.get("/"))[1]
            task.cancel()
            await asyncio.wait([task])
            return (await events_of(world))[0].count, after - before

    assert run_simulated(main()) == (100, 1)


def test_one_object_may_say_so_much_and_then_little() -> None:
    async def main() -> tuple[int, int]:
        async with small_world() as world:
            recorder = EventRecorder(world.client("one"), world.env("one"), "test")
            task = started(recorder)
            for number in range(BURST * 2):
                recorder.record(Record(POD, "Noise", f"line {number:03}"))
                await asyncio.sleep(0.5)
            first = len(await events_of(world))
            await asyncio.sleep(REFILL_S * 2)
            for number in range(10):
                recorder.record(Record(POD, "Noise", f"later {number}"))
                await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.wait([task])
            return first, len(await events_of(world)) - first

    assert run_simulated(main()) == (BURST, 2)


def test_nobody_waits_for_records_and_they_take_no_more_room_than_given() -> None:
    async def main() -> int:
        env = sim_env("records")
        transport = ScriptedTransport(refused(ServiceUnavailable("no")))
        recorder = EventRecorder(Client(transport, env), env, "test")
        for number in range(PENDING_MAX * 2):
            other = Pod(metadata=ObjectMeta(name=f"p{number}", uid=f"u{number}"), spec=POD.spec)
            recorder.record(Record(other, "Noise", "x"))
        task = started(recorder)
        await asyncio.sleep(PENDING_MAX * 20.0)
        task.cancel()
        await asyncio.wait([task])
        return len({one.body for one in transport.requests})

    assert run_simulated(main(), limit_s=36_000) == PENDING_MAX


def a_pod_of(number: int) -> Pod:
    return a_pod(f"p{number}", uid=f"u{number}")


async def _recorded(world: SmallWorld, *, count: int, pending_max: int = PENDING_MAX) -> list[int]:
    """Record so much for a program that has work; return how many Events are there by second."""
    recorder = EventRecorder(world.client("one"), world.env("one"), "test", pending_max=pending_max)
    task = started(recorder)
    recorder.hold()
    for number in range(count):
        recorder.record(Record(a_pod_of(number), "Noise", "x"))
    written = []
    for second in range(1, int(HELD_S_MAX) + 2):
        await asyncio.sleep(1.0)
        written.append(len(await events_of(world)))
        if second == RELEASED_S:
            recorder.release()
    task.cancel()
    await asyncio.wait([task])
    return written


def test_records_wait_while_their_program_has_work_and_go_when_it_has_none() -> None:
    async def main() -> list[int]:
        async with small_world() as world:
            return await _recorded(world, count=4)

    assert run_simulated(main()) == [0, 0, 0, 4, 4, 4]


def test_where_half_of_their_place_is_taken_records_do_not_wait() -> None:
    async def main() -> list[int]:
        async with small_world() as world:
            return await _recorded(world, count=4, pending_max=6)

    assert run_simulated(main())[0] == 4


def test_records_of_a_program_that_never_rests_wait_for_a_while_only() -> None:
    async def main() -> tuple[int, int]:
        async with small_world() as world:
            recorder = EventRecorder(world.client("one"), world.env("one"), "test")
            task = started(recorder)
            recorder.hold()
            for number in range(3):
                recorder.record(Record(a_pod_of(number), "Noise", "x"))
            await asyncio.sleep(HELD_S_MAX - 1.0)
            before = len(await events_of(world))
            await asyncio.sleep(2.0)
            task.cancel()
            await asyncio.wait([task])
            return before, len(await events_of(world))

    assert run_simulated(main()) == (0, 3)
