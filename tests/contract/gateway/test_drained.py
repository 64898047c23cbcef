"""Pods that are taken out of the roads by hand, by the nginx of the image."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from cubernetes.api.meta import replaced
from cubernetes.api.roads import DRAINED
from tests.contract.gateway.roads import HOST, ask, serve
from tests.contract.gateway.world import GatewayWorld, a_gateway_world
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.gateway.roadworld import a_dns
from tests.unit.gateway.test_gateway_policies import a_policy

pytestmark = [pytest.mark.root]
ROAD = a_dns("d", HOST, "/ web:80")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with a_gateway_world(tmp_path) as one:
        yield one


async def pods(world: GatewayWorld, *names: str) -> list[EndpointSlice]:
    """Return a slice for each pod: all have one address here, and ports of their own."""
    made = [(await world.backend(name))[0] for name in names]
    return [
        a_slice(
            f"web-{one.name}",
            endpoints=(an_endpoint("127.0.0.1", pod=one.name),),
            ports=(EndpointPort(port=one.port),),
        )
        for one in made
    ]


def the_service(*drained: str) -> Service:
    web = a_service("web", cluster_ip="192.0.2.1")
    notes = {DRAINED: ",".join(drained)} if drained else {}
    return replaced(web, metadata=replaced(web.metadata, annotations=notes))


async def test_nobody_is_led_to_a_pod_that_is_drained_until_it_is_up_again(
    world: GatewayWorld,
) -> None:
    slices, balanced = await pods(world, "one", "two"), a_policy(balancing={})
    every = {"one /x", "two /x"}
    for policies in ((balanced,), ()):
        await serve(world, ROAD, [the_service("one")], *policies, slices=slices)
        assert {(await ask(world))[2] for _ in range(12)} == {"two /x"}
    await serve(world, ROAD, [the_service()], balanced, slices=slices)
    assert {(await ask(world))[2] for _ in range(12)} == every
    await serve(world, ROAD, [the_service("one", "two")], slices=slices)
    assert (await ask(world))[0] == "503"


async def test_a_session_stays_at_a_drained_pod_and_no_new_one_begins_there(
    world: GatewayWorld,
) -> None:
    slices = await pods(world, "one", "two")
    policy = a_policy(balancing={"sessionCookie": "seat"})
    await serve(world, ROAD, [the_service("two")], policy, slices=slices)
    _, told, content = await ask(world)
    assert content == "one /x"
    cookie = told["set-cookie"].partition(";")[0]

    await serve(world, ROAD, [the_service("one")], policy, slices=slices)
    assert {(await ask(world, Cookie=cookie))[2] for _ in range(8)} == {"one /x"}
    assert {(await ask(world))[2] for _ in range(8)} == {"two /x"}
