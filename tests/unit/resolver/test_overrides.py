"""What an administrator says of names in a ConfigMap: what holds, and what is left out."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.meta import ObjectMeta
from resolver.forwarding.upstreams import Upstream
from resolver.overrides import HOSTS_MAX, PROBLEMS_MAX, Overrides, overrides_in
from tests.given import a_service
from tests.unit.resolver.asking import a_zone, asked, code_of, question, said


def of(**data: str) -> Overrides:
    meta = ObjectMeta(name="resolver", namespace="kube-system")
    return overrides_in(ConfigMap(metadata=meta, data=data))


def test_nothing_is_said_where_there_is_no_configmap_or_an_empty_one() -> None:
    assert overrides_in(None) == of() == of(hosts="# nothing\n\n", stubDomains=" ") == Overrides()


def test_each_key_says_what_it_said_in_kube_dns_and_in_hosts() -> None:
    found = of(
        stubDomains='{"Corp.example.": ["192.0.2.53", "192.0.2.54:5353"]}',
        upstreamNameservers='["192.0.2.1", "192.0.2.1:53"]',
        hosts="192.0.2.9 db.example DB2.example # the database\n192.0.2.8\tdb.example\n",
    )
    assert found.problems == ()
    assert found.stubs == {
        (b"corp", b"example"): (Upstream("192.0.2.53"), Upstream("192.0.2.54", 5353))
    }
    assert found.upstreams == (Upstream("192.0.2.1"),)
    assert found.hosts == {
        (b"db", b"example"): (IPv4Address("192.0.2.8").packed, IPv4Address("192.0.2.9").packed),
        (b"db2", b"example"): (IPv4Address("192.0.2.9").packed,),
    }


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("stubDomains", '["corp.example"]', "stubDomains: must be a map in JSON"),
        ("stubDomains", "{", "stubDomains: is no JSON"),
        ("stubDomains", '{"a": "192.0.2.1"}', "stubDomains[a]: must be a list in JSON"),
        ("stubDomains", '{"a": ["ns.example"]}', "stubDomains[a]: 'ns.example' must be an IPv4"),
        ("stubDomains", '{"a": ["192.0.2.1:0"]}', "stubDomains[a]: '192.0.2.1:0' must be"),
        ("stubDomains", '{"a": ["192.0.2.1:"]}', "stubDomains[a]: '192.0.2.1:' must be"),
        ("stubDomains", '{"a": ["192.0.2.1:65536"]}', "stubDomains[a]: '192.0.2.1:65536' must be"),
        (
            "stubDomains",
            '{"a..b": ["192.0.2.1"]}',
            "stubDomains[a..b]: 'a..b': a label",
        ),
        ("stubDomains", '{"": ["192.0.2.1"]}', "stubDomains[]: needs a name"),
        ("upstreamNameservers", "192.0.2.1", "upstreamNameservers: is no JSON"),
        ("upstreamNameservers", '["::1"]', "upstreamNameservers: '::1' must be an IPv4 address"),
        ("hosts", "db.example 192.0.2.9", "hosts, line 1: must be an IPv4 address and names"),
        ("hosts", "\n192.0.2.9", "hosts, line 2: must be an IPv4 address and names"),
        ("hosts", "192.0.2.9 d\u00e9", "hosts, line 1: "),
        ("Corefile", ".:53 {}", "Corefile: is no key of this; stubDomains, upstream"),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_holds(key: str, text: str, told: str) -> None:
    good = {"hosts": "192.0.2.7 good.example\n"} if key != "hosts" else {}
    text = f"{text}\n192.0.2.7 good.example\n" if key == "hosts" else text
    found = of(**{key: text}, **good)
    assert [one[: len(told)] for one in found.problems] == [told]
    assert found.hosts == {(b"good", b"example"): (IPv4Address("192.0.2.7").packed,)}
    assert not found.stubs
    assert not found.upstreams


def test_what_is_too_much_is_told_and_bounded() -> None:
    lines = "".join(f"192.0.2.9 h{number}\n" for number in range(HOSTS_MAX + 2))
    found = of(hosts=lines)
    assert len(found.hosts) == HOSTS_MAX
    assert found.problems == (
        f"hosts, line {HOSTS_MAX + 1}: from here on are more than 10000 names",
    )
    many = of(hosts="wrong\n" * 1000)
    assert many.problems[PROBLEMS_MAX:] == ("and 980 more",)
    servers = of(upstreamNameservers='["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]')
    assert len(servers.upstreams) == 3
    assert servers.problems == ("upstreamNameservers: has 4 servers; the first 3 are asked",)


@given(st.dictionaries(st.sampled_from(["stubDomains", "upstreamNameservers", "hosts"]), st.text()))
def test_no_text_is_too_odd_to_be_read(data: dict[str, str]) -> None:
    assert len(of(**data).problems) <= PROBLEMS_MAX + 1


def test_an_override_goes_before_a_dns_and_never_before_a_service() -> None:
    dns = Dns(
        metadata=ObjectMeta(name="d", namespace="default"),
        spec=DnsSpec(host="db.example"),
        status=DnsStatus(gateways=("192.0.2.66",)),
    )
    zone = a_zone(a_service(), dns)
    services = "web.default.svc.cluster.local later.default.svc.cluster.local"
    zone.override(of(hosts=f"192.0.2.9 db.example more.cluster.local {services}").hosts)
    for name in ("db.example.", "more.cluster.local."):
        assert [str(one.rdata) for one in asked(zone, name).rr] == ["192.0.2.9"]
    web = asked(zone, "web.default.svc.cluster.local.")
    assert [str(one.rdata) for one in web.rr] == ["10.96.0.10"]
    assert code_of(asked(zone, "later.default.svc.cluster.local.")) == "NXDOMAIN"
    zone.override({})
    assert [str(one.rdata) for one in asked(zone, "db.example.").rr] == ["192.0.2.66"]
    zone.take_dns(dns, None)
    assert said(zone, question("db.example.")) is None
