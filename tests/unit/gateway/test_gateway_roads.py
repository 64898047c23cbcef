"""Which host and path leads where: who has it first, and what never leads anywhere."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.meta import Ref, replaced
from cubernetes.api.networking.ingress import (
    Ingress,
)
from cubernetes.api.roads import HostTLS, RoadKey, Roads, roads_of
from tests.unit.gateway.roadworld import CLASSES, a_dns, an_ingress

PATHS = ("/ web", "/a web", "=/a cart", "/a/b cart", "=/ web")
HOSTS = ("a.example", "b.example", "*.example")


def roads(*claimants: Ingress | Dns) -> Roads:
    ingresses = [one for one in claimants if isinstance(one, Ingress)]
    return roads_of(ingresses, CLASSES, [one for one in claimants if isinstance(one, Dns)])


def leads(found: Roads) -> dict[RoadKey, str]:
    return {one.place: f"{one.service}:{one.port}" for one in found.roads}


@st.composite
def claims(draw: st.DrawFn) -> list[Ingress | Dns]:
    found: list[Ingress | Dns] = []
    for index in range(draw(st.integers(0, 6))):
        host = draw(st.sampled_from(HOSTS))
        paths = tuple(draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)))
        age = draw(st.integers(0, 3))
        if draw(st.booleans()) and "*" not in host:
            found.append(a_dns(f"d{index}", host, *dict.fromkeys(paths), age_s=age))
        else:
            found.append(an_ingress(f"i{index}", (host, paths), age_s=age))
    return found


@given(claims(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(some: list[Ingress | Dns], chance: Random) -> None:
    shuffled = list(some)
    chance.shuffle(shuffled)

    assert roads(*shuffled) == roads(*some)


@given(claims())
def test_every_place_has_one_road_and_every_claim_that_lost_is_told(
    some: list[Ingress | Dns],
) -> None:
    found = roads(*some)

    places = [one.place for one in found.roads]
    assert len(places) == len(set(places))
    owners = {one.owner for one in found.roads}
    assert {one.ref for one in some} == owners | set(found.refused)


def test_w28_the_older_of_two_objects_keeps_the_host_and_path_and_the_younger_is_told() -> None:
    young = a_dns("young", "a.example", "/x web", "/y web", age_s=10)
    old = an_ingress("old", ("a.example", ("/x cart",)), age_s=20)

    found = roads(young, old)

    assert leads(found) == {
        RoadKey("a.example", "/x"): "cart:80",
        RoadKey("a.example", "/y"): "web:80",
    }
    told = "Prefix /x of a.example: leads to cart of ingress/default/old, which is older"
    assert found.refused == {Ref("Dns", "default", "young"): (told,)}


def test_two_paths_may_lead_to_one_port_of_one_service() -> None:
    """The forerunner (W3) ended every proxy where a Dns had two paths on the same service port."""
    assert len(roads(a_dns("d", "a.example", "/x web:80", "/y web:80")).roads) == 2


def test_a_prefix_with_a_slash_at_its_end_is_the_prefix_without() -> None:
    found = roads(a_dns("a", "a.example", "/x/ web"), an_ingress("b", ("b.example", ("=/x/ web",))))

    assert list(leads(found)) == [RoadKey("a.example", "/x"), RoadKey("b.example", "/x/", True)]


def test_a_default_backend_has_what_the_rules_leave() -> None:
    with_rules = an_ingress("a", ("a.example", ("/x web",)), default="cart", age_s=1)
    alone = an_ingress("b", default="web:8080", age_s=2)

    assert leads(roads(with_rules, alone)) == {
        RoadKey("", "/"): "web:8080",
        RoadKey("a.example", "/"): "cart:80",
        RoadKey("a.example", "/x"): "web:80",
    }


def test_an_ingress_is_served_by_its_class() -> None:
    rule = ("a.example", ("/ web",))
    for name, is_served in (("", True), ("gateway", True), ("nginx", False), ("none", False)):
        assert bool(roads(an_ingress("a", rule, ingress_class=name)).roads) == is_served
    old = an_ingress("a", rule)
    named = replaced(old.metadata, annotations={"kubernetes.io/ingress.class": "nginx"})
    assert roads(replaced(old, metadata=named)).roads == ()


@pytest.mark.parametrize("host", ["a b", 'a";', "{", "..", "a.example;", "*.*.example"])
def test_what_an_older_version_let_in_leads_nowhere_and_is_told(host: str) -> None:
    found = roads(an_ingress("a", (host, ("/ web",)), ("b.example", ("/ web",))))

    assert list(leads(found)) == [RoadKey("b.example", "/")]
    assert len(found.refused) == 1


def test_a_host_is_served_by_the_entry_that_names_it_best() -> None:
    hosts = ("a.example", "b.a.example", "c.a.example", "d.c.a.example", "*.e.example", "")
    entries = (
        ("wild", ("*.a.example", "*.e.example")),
        ("named", ("b.a.example",)),
        ("none-there", ("x.example",)),
    )
    rules = tuple((host, ("/ web",)) for host in hosts)
    some = roads(an_ingress("a", *rules, tls=entries)).tls
    every = roads(an_ingress("a", *rules, tls=(*entries, ("rest", ())))).tls

    assert {host: one.secret for host, one in some.items()} == {
        "b.a.example": "named",
        "c.a.example": "wild",
        "*.e.example": "wild",
    }
    assert {host for host, one in every.items() if one.secret == "rest"} == {
        "",
        "a.example",
        "d.c.a.example",
    }


def test_who_has_no_road_at_a_host_has_no_say_in_its_certificate() -> None:
    """Else anybody could put a certificate of his own in front of another's host."""
    entry = (("mine", ("a.example",)),)
    old = an_ingress("old", ("a.example", ("/ web",)), age_s=90, tls=entry)
    taken = an_ingress("taken", ("a.example", ("/ web",)), age_s=50, namespace="other", tls=entry)
    beside = an_ingress("beside", ("b.example", ("/ web",)), age_s=99, namespace="other", tls=entry)
    dns = a_dns("d", "a.example", "/x web", age_s=95)

    assert roads(taken, beside, old, dns).tls == {
        "a.example": HostTLS("default", "mine", old.ref),
    }
