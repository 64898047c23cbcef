"""Informers against a real API server: whatever happens, no change is lost or told twice."""

import asyncio
import random

import pytest

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.client.cache import revision_of
from cubernetes.client.informer import Informer
from tests.simulation.faults import Faults
from tests.simulation.loop import run_simulated
from tests.simulation.smallworld import SmallWorld, small_world

HARSH = Faults(
    latency_s_max=0.2, lost_request=0.05, lost_reply=0.05, stream_cut=0.1, stream_lag=0.3,
    lag_s_max=2.0,
)  # fmt: skip


class Witness:
    """Checks every step of an informer, and keeps what it believes."""

    def __init__(self, informer: Informer[Namespace]) -> None:
        self.believed: dict[str, Namespace] = {}
        self.step_count = 0
        self.informer = informer
        self.revision = 0
        informer.on_change(self._step)

    def _step(self, old: Namespace | None, new: Namespace | None) -> None:
        one: Object | None = new or old
        assert one is not None
        name = one.metadata.name
        # What it says of the past is what it said before; and it never goes back.
        assert self.believed.get(name) == old
        assert new is None or old is None or revision_of(new) > revision_of(old)
        assert self.informer.cache.revision >= self.revision
        self.revision = self.informer.cache.revision
        if new is None:
            del self.believed[name]
        else:
            self.believed[name] = new
        self.step_count += 1


async def _disturb(world: SmallWorld, rng: random.Random) -> None:
    """Let the server die and come back, lose its history, or be cut off."""
    match rng.randrange(4):
        case 0:
            await world.stop()
            await asyncio.sleep(rng.choice((0.0, 5.0)))
            await world.start()
        case 1:
            _, revision = await world.store.get("/")
            await world.store.compact(revision)
        case 2:
            world.network.cut("follower", world.network.doors)
            await asyncio.sleep(rng.choice((1.0, 40.0)))
            world.network.heal("follower")
        case _:
            await asyncio.sleep(5.0)


async def _write(world: SmallWorld, rng: random.Random) -> None:
    user, name = world.client(), f"room-{rng.randrange(8)}"
    found = await user.list(Namespace)
    one = next((one for one in found.items if one.metadata.name == name), None)
    if one is None:
        await user.create(Namespace(metadata=ObjectMeta(name=name)))
    elif one.metadata.is_deleted:
        await user.finalize(replaced(one, spec=replaced(one.spec, finalizers=())))
    elif rng.random() < 0.6:
        labels = {"turn": str(rng.randrange(1000))}
        await user.update(replaced(one, metadata=replaced(one.metadata, labels=labels)))
    else:
        await user.delete(Namespace, name)


@pytest.mark.parametrize("seed", range(12))
def test_an_informer_ends_where_the_server_is_and_never_went_back(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(f"{seed}:deeds")
        async with small_world(str(seed)) as world:
            env = world.env("follower")
            witness = Witness(Informer(world.client("follower"), Namespace, env))
            task = asyncio.get_running_loop().create_task(witness.informer.run())
            for _ in range(40):
                for _ in range(rng.randrange(5)):
                    world.network.faults = Faults()
                    await _write(world, rng)
                    world.network.faults = HARSH
                    await asyncio.sleep(rng.random())
                await _disturb(world, rng)
            world.network.faults = Faults()
            truth = await world.client().list(Namespace)
            assert await witness.informer.at_least(int(truth.metadata.resource_version) - 1, 60.0)
            await asyncio.sleep(15.0)
            assert tuple(witness.informer.cache.list()) == truth.items
            assert sorted(witness.believed) == [one.metadata.name for one in truth.items]
            assert witness.step_count > 30
            task.cancel()
            await asyncio.wait([task])

    run_simulated(main(), str(seed))
