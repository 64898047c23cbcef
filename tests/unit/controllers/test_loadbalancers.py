"""Addresses of the pool: one each, kept, taken back with the type; and what is somebody else's."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.loadbalancers import EVERY_SERVICE, LoadBalancers
from cubernetes.api.addresspool import pool_of
from cubernetes.api.core.service import (
    ANNOUNCED,
    LoadBalancer,
    LoadBalancerIngress,
    Service,
    ServiceStatus,
)
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Record
from tests.carry import World
from tests.given import AN_HOUR_AGO, NOW, a_service

POOL = pool_of("192.0.2.240-192.0.2.242")
PLANNER = LoadBalancers(POOL)


def a_balanced(name: str, kind: Any = "LoadBalancer", age_s: int = 0, **spec: Any) -> Service:
    one = a_service(name)
    created = AN_HOUR_AGO - timedelta(seconds=age_s)
    meta = replaced(one.metadata, creation_timestamp=created)
    wanted = replaced(one.spec, type=kind, **spec)
    return replaced(one, metadata=meta, spec=wanted).defaulted()


def with_address(one: Service, address: str) -> Service:
    ingress = (LoadBalancerIngress(ip=address, ip_mode="VIP"),)
    return replaced(one, status=ServiceStatus(load_balancer=LoadBalancer(ingress=ingress)))


def addresses(world: World) -> dict[str, str]:
    return {
        one.metadata.name: one.status.load_balancer.ingress[0].ip
        for one in world.all(Service)
        if one.status.load_balancer.ingress
    }


@given(st.permutations([a_balanced(f"s{number}", age_s=-number) for number in range(5)]),
       st.integers(0, 4))  # fmt: skip
def test_each_gets_an_address_of_its_own_the_eldest_first_cut_anywhere(
    services: Sequence[Service], cut: int
) -> None:
    world = World(services)
    world.carry_out(PLANNER.plan(EVERY_SERVICE, world.view(), NOW), cut)
    world.settle(PLANNER, 4)

    found = addresses(world)
    assert found.keys() == {"s0", "s1", "s2"}
    assert sorted(found.values()) == ["192.0.2.240", "192.0.2.241", "192.0.2.242"]
    for one in world.all(Service):
        assert one.metadata.annotations.get(ANNOUNCED, "") == found.get(one.metadata.name, "")


def test_an_address_is_kept_and_one_that_is_given_back_goes_to_who_waits() -> None:
    world = World([a_balanced(f"s{number}", age_s=-number) for number in range(4)])
    world.settle(PLANNER, 4)
    before = addresses(world)
    world.remove(a_balanced("s1").ref)
    world.settle(PLANNER, 4)

    assert addresses(world) == {
        "s0": before["s0"], "s2": before["s2"], "s3": before["s1"],
    }  # fmt: skip


def test_a_service_without_an_address_is_told_why() -> None:
    outside = a_balanced("outside", load_balancer_ip="198.51.100.1")
    twice = [a_balanced(name, load_balancer_ip="192.0.2.241") for name in ("a", "b")]
    world = World([outside, *twice])
    world.settle(PLANNER, 4)

    assert addresses(world) == {"a": "192.0.2.241"}
    told = [
        (one.about.metadata.name, one.message)
        for one in PLANNER.plan(EVERY_SERVICE, world.view(), NOW)
        if isinstance(one, Record)
    ]
    assert told == [
        ("b", "loadBalancerIP 192.0.2.241 is another service's"),
        ("outside", "loadBalancerIP 198.51.100.1 is not in the pool of this cluster"),
    ]


def test_a_changed_type_gives_the_address_back() -> None:
    world = World([a_balanced("web")])
    world.settle(PLANNER, 3)
    (given_one,) = world.all(Service)
    assert given_one.status.load_balancer.ingress
    world.put(replaced(given_one, spec=replaced(given_one.spec, type="ClusterIP")))
    world.settle(PLANNER, 3)

    (one,) = world.all(Service)
    assert not one.status.load_balancer.ingress
    assert ANNOUNCED not in one.metadata.annotations


def test_what_others_give_is_left_to_them() -> None:
    classed = with_address(
        a_balanced("theirs", load_balancer_class="example.com/lb"), "203.0.113.9"
    )
    world = World([classed])
    world.settle(PLANNER, 1)
    assert addresses(world) == {"theirs": "203.0.113.9"}
    unpooled = World([with_address(a_balanced("web"), "203.0.113.9")])
    unpooled.settle(LoadBalancers(pool_of("")), 1)
    assert addresses(unpooled) == {"web": "203.0.113.9"}


def test_two_that_have_one_address_are_told_apart() -> None:
    world = World([
        with_address(a_balanced("old", age_s=9), "192.0.2.240"),
        with_address(a_balanced("new"), "192.0.2.240"),
    ])  # fmt: skip
    world.settle(PLANNER, 3)

    assert addresses(world) == {"old": "192.0.2.240", "new": "192.0.2.241"}


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("192.0.2.0/28", 16), ("192.0.2.8-192.0.2.12, 192.0.2.20", 6)],
)
def test_a_pool_is_read(text: str, count: int) -> None:
    pool = pool_of(text)

    assert len(list(pool)) == count
    assert all(address in pool for address in pool)
    assert bool(pool) == bool(count)


@pytest.mark.parametrize(
    "text", ["x", "192.0.2.1/24", "192.0.2.9-192.0.2.1", "10.0.0.0/8", "fd00::/120", "192.0.2.1,"]
)
def test_a_pool_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        pool_of(text)
