"""Cluster IPs: claimed with their service, in one transaction, and never searched for ever (W1)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.api.world import SERVICES, World, a_service, a_world

RANGE = "10.96.0.0/28"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(settings={"service_range": RANGE}) as one:
        yield one


async def _claims(world: World) -> list[str]:
    return [key for key in await world.keys() if "clusterips" in key]


@pytest.mark.parametrize(
    "asked",
    [
        {"clusterIPs": ["10.96.7.7"]},
        {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.8"]},
        {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7", "10.96.7.8"]},
    ],
)
async def test_a_choice_that_is_not_heeded_is_refused(world: World, asked: dict[str, Any]) -> None:
    answer = await world.call("POST", SERVICES, a_service(**asked))

    assert answer.code == 422
    assert "spec.clusterIPs" in answer.tree["message"]


async def test_w1_a_service_is_made_also_where_addresses_are_taken(world: World) -> None:
    """W1: once an address was taken, the request spun for ever."""
    chosen = a_service("chosen", clusterIP="10.96.0.5")
    assert (await world.call("POST", SERVICES, chosen)).code == 201
    answers = [await world.call("POST", SERVICES, a_service(f"s{n}")) for n in range(12)]

    assert {answer.code for answer in answers} == {201}
    given = {answer.tree["spec"]["clusterIP"] for answer in answers}
    assert len(given) == 12
    assert not given & {"10.96.0.0", "10.96.0.1", "10.96.0.5", "10.96.0.15"}


async def test_w1_a_full_range_is_said_and_a_deletion_makes_room(world: World) -> None:
    """W1: the forerunner ended itself on exhaustion, and never gave an address back."""
    for number in range(13):
        assert (await world.call("POST", SERVICES, a_service(f"s{number}"))).code == 201
    full = await world.call("POST", SERVICES, a_service("late"))
    assert (full.code, full.tree["reason"]) == (422, "Invalid")
    assert "is full" in full.tree["message"]
    await world.call("DELETE", f"{SERVICES}/s3")
    assert (await world.call("POST", SERVICES, a_service("late"))).code == 201


async def test_w1_services_at_once_get_addresses_of_their_own(world: World) -> None:
    """W1: there was no lock, so two services could get one address."""
    answers = await asyncio.gather(
        *(world.call("POST", SERVICES, a_service(f"s{number}")) for number in range(13))
    )
    given = [answer.tree["spec"]["clusterIP"] for answer in answers if answer.code == 201]

    assert len(given) == len(set(given)) == 13
    assert len(await _claims(world)) == 14


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.96.0.1", "already allocated"),
        ("10.97.0.1", "not in the service range"),
        ("10.96.0.0", "network address"),
        ("10.96.0.15", "broadcast address"),
        ("10.96.0.300", "IPv4"),
        ("nonsense", "IPv4"),
    ],
)
async def test_a_choice_that_cannot_be_is_refused_with_its_reason(
    world: World, address: str, why: str
) -> None:
    answer = await world.call("POST", SERVICES, a_service("mine", clusterIP=address))

    assert answer.code == 422
    assert why in answer.tree["message"]
    assert answer.tree["details"]["causes"][0]["field"] == "spec.clusterIP"
    assert len(await _claims(world)) == 1


async def test_a_headless_service_has_no_address(world: World) -> None:
    answer = await world.call("POST", SERVICES, a_service("db", clusterIP="None"))

    assert answer.tree["spec"]["clusterIP"] == "None"
    assert len(await _claims(world)) == 1


async def test_an_address_is_kept_over_updates(world: World) -> None:
    made = (await world.call("POST", SERVICES, a_service())).tree
    address = made["spec"]["clusterIP"]
    again = a_service(ports=[{"port": 81}])
    updated = await world.call("PUT", f"{SERVICES}/web", again)
    assert updated.tree["spec"]["clusterIP"] == address
    other = updated.tree | {"spec": made["spec"] | {"clusterIP": "10.96.0.9"}}
    assert (await world.call("PUT", f"{SERVICES}/web", other)).code == 422


async def test_a_service_that_is_refused_claims_nothing(world: World) -> None:
    await world.call("POST", SERVICES, a_service())
    claims = await _claims(world)
    assert (await world.call("POST", SERVICES, a_service())).code == 409
    elsewhere = "/api/v1/namespaces/nowhere/services"
    assert (await world.call("POST", elsewhere, a_service())).code == 404

    assert await _claims(world) == claims


async def test_the_servers_own_service_keeps_its_address_and_is_put_back(world: World) -> None:
    own = f"{SERVICES}/kubernetes"
    assert (await world.call("DELETE", own)).code == 200
    thief = await world.call("POST", SERVICES, a_service("thief", clusterIP="10.96.0.1"))
    assert thief.code == 422
    assert "kept for the service default/kubernetes" in thief.tree["message"]
    others = [await world.call("POST", SERVICES, a_service(f"s{n}")) for n in range(13)]
    assert "10.96.0.1" not in {one.tree["spec"]["clusterIP"] for one in others}

    await world.clock.advance(11)
    back = await world.call("GET", own)
    assert (back.code, back.tree["spec"]["clusterIP"]) == (200, "10.96.0.1")
