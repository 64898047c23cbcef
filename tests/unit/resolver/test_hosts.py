"""Hosts of Dnses, answered with the addresses of the gateways that serve them."""

import pytest

from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.meta import ObjectMeta, replaced
from tests.given import a_service
from tests.unit.resolver.asking import a_zone, asked, code_of, question, said, texts

TWO = ("192.0.2.7", "192.0.2.8")


def a_dns(host: str, *gateways: str, name: str = "roads", namespace: str = "default") -> Dns:
    return Dns(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=DnsSpec(host=host),
        status=DnsStatus(gateways=gateways),
    )


def is_answered(host: str, *objects: Dns) -> bool:
    answer = said(a_zone(*objects), question(host))
    return answer is not None and bool(answer.rr)


@pytest.mark.parametrize("host", ["shop.example", "shop.cluster.local", "a.b.cluster.local"])
def test_a_host_leads_to_every_gateway_in_and_outside_the_clusters_domain(host: str) -> None:
    answer = asked(a_zone(a_dns(host, *TWO)), f"{host}.")
    assert (code_of(answer), answer.header.aa) == ("NOERROR", 1)
    assert sorted(texts(answer.rr)) == [f"{host}. A {one}" for one in TWO]


def test_a_host_has_no_other_records_and_none_that_others_would_say() -> None:
    for host in ("shop.example", "shop.cluster.local"):
        answer = asked(a_zone(a_dns(host, *TWO)), f"{host}.", "AAAA")
        assert (code_of(answer), answer.rr) == ("NOERROR", [])


def test_a_name_above_a_host_is_there_and_one_below_is_not() -> None:
    zone = a_zone(a_dns("a.b.cluster.local", *TWO))
    assert code_of(asked(zone, "b.cluster.local.")) == "NOERROR"
    assert code_of(asked(zone, "x.a.b.cluster.local.")) == "NXDOMAIN"
    assert code_of(asked(zone, "x.b.cluster.local.")) == "NXDOMAIN"
    # What lies outside is another's: it is theirs to say what is there.
    for name in ("example.", "x.shop.example."):
        assert said(a_zone(a_dns("shop.example", *TWO)), question(name)) is None


def test_a_host_without_a_gateway_is_left_to_others() -> None:
    assert said(a_zone(a_dns("shop.example")), question("shop.example.")) is None
    assert code_of(asked(a_zone(a_dns("a.cluster.local")), "a.cluster.local.")) == "NXDOMAIN"


@pytest.mark.parametrize(
    "host",
    [
        "web.default.svc.cluster.local",
        "later.default.svc.cluster.local",
        "svc.cluster.local",
        "web.default.gw.cluster.local",
        "10-244-1-2.default.pod.cluster.local",
        "ns.dns.cluster.local",
        "cluster.local",
    ],
)
def test_no_dns_says_a_name_of_a_service_a_pod_or_the_zone(host: str) -> None:
    zone = a_zone(a_service(), a_dns(host, "192.0.2.66"))
    assert "192.0.2.66" not in str(asked(zone, f"{host}."))


def test_dnses_of_one_host_are_one_and_each_goes_for_itself() -> None:
    one = a_dns("a.b.cluster.local", "192.0.2.7")
    two = a_dns("a.b.cluster.local", "192.0.2.8", "192.0.2.7", namespace="other")
    zone = a_zone(one, two)
    assert len(asked(zone, "a.b.cluster.local.").rr) == 2
    zone.take_dns(two, None)
    assert [str(rr.rdata) for rr in asked(zone, "a.b.cluster.local.").rr] == ["192.0.2.7"]
    zone.take_dns(one, None)
    for name in ("a.b.cluster.local.", "b.cluster.local."):
        assert code_of(asked(zone, name)) == "NXDOMAIN"


def test_a_host_that_changes_is_not_there_any_more_under_its_old_name() -> None:
    old, new = a_dns("old.example", *TWO), a_dns("new.example", *TWO)
    zone = a_zone(old)
    zone.take_dns(old, new)
    assert said(zone, question("old.example.")) is None
    assert len(asked(zone, "new.example.").rr) == 2
    moved = a_dns("new.example", "192.0.2.9")
    zone.take_dns(new, moved)
    assert [str(rr.rdata) for rr in asked(zone, "new.example.").rr] == ["192.0.2.9"]


def test_an_address_or_a_host_that_no_message_can_hold_is_left_out() -> None:
    assert not is_answered("shop.example", a_dns("shop.example", "nothing", "fe80::1"))
    assert is_answered("a.example", a_dns(f"{'x' * 70}.example", *TWO), a_dns("a.example", *TWO))


def test_an_alias_leads_to_a_host() -> None:
    alias = a_service("shop", cluster_ip="")
    spec = replaced(alias.spec, type="ExternalName", external_name="shop.example")
    alias = replaced(alias, spec=spec)
    zone = a_zone(alias, a_dns("shop.example", "192.0.2.7"))
    answer = asked(zone, "shop.default.svc.cluster.local.")
    assert texts(answer.rr)[-1] == "shop.example. A 192.0.2.7"
