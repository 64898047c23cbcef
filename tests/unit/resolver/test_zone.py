"""Names of services, endpoints and pods, answered as Kubernetes' specification has them."""

from time import process_time

import pytest

from cubernetes.api.core.service import ServicePort, ServiceSpec
from cubernetes.api.discovery.endpointslice import EndpointPort
from cubernetes.api.meta import replaced
from resolver.answers import zone as zone_module
from resolver.answers.compile import GATEWAY, SERVICES, Facts, names_of
from resolver.answers.zone import Zone
from resolver.objects import KeptService, service_kept, slice_kept
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.resolver.asking import PLACE, a_zone, asked, code_of, question, said, texts

WEB = a_service(ports=[ServicePort(port=80, name="http")])
HEADLESS = a_service("db", cluster_ip="None", ports=[ServicePort(port=5432, name="pg")])
DB_SLICE = a_slice(
    "db-1",
    service="db",
    ports=[EndpointPort(name="pg", port=15432)],
    endpoints=[
        replaced(an_endpoint("10.244.1.2"), hostname="db-0"),
        an_endpoint("10.244.2.7"),
        an_endpoint("10.244.2.8", is_ready=False),
        an_endpoint("10.244.2.9", is_going=True),
    ],
)
WEB_NAME = "web.default.svc.cluster.local."


def test_w29_a_service_has_a_name_under_one_domain_of_the_cluster() -> None:
    answer = asked(a_zone(WEB), WEB_NAME)
    assert code_of(answer) == "NOERROR"
    assert (answer.header.aa, answer.header.ra, answer.header.id) == (1, 1, 4711)
    assert texts(answer.rr) == [f"{WEB_NAME} A 10.96.0.10"]
    assert answer.rr[0].ttl == 5


def test_the_questions_spelling_comes_back() -> None:
    answer = asked(a_zone(WEB), "wEb.Default.SVC.cluster.LOCAL.")
    assert str(answer.q.qname) == "wEb.Default.SVC.cluster.LOCAL."
    assert str(answer.rr[0].rname) == "wEb.Default.SVC.cluster.LOCAL."


def test_a_name_that_is_there_without_such_a_record_is_no_data() -> None:
    """A wrong NXDOMAIN for AAAA makes musl and glibc give up the name altogether."""
    zone = a_zone(WEB, HEADLESS)
    for name, kind in (
        (WEB_NAME, "AAAA"),
        (WEB_NAME, "HTTPS"),
        (WEB_NAME, "CNAME"),
        (f"_tcp.{WEB_NAME}", "A"),
        ("db.default.svc.cluster.local.", "A"),
        ("_pg._tcp.db.default.svc.cluster.local.", "SRV"),
        ("default.svc.cluster.local.", "A"),
        ("svc.cluster.local.", "A"),
        ("cluster.local.", "A"),
        ("dns.cluster.local.", "A"),
        ("default.pod.cluster.local.", "A"),
    ):
        answer = asked(zone, name, kind)
        assert (code_of(answer), answer.rr) == ("NOERROR", []), name
        assert [one.split()[1] for one in texts(answer.auth)] == ["SOA"], name


def test_a_name_that_is_not_there_is_none_and_may_be_kept_for_five_seconds() -> None:
    zone = a_zone(WEB)
    for name in (
        "nope.default.svc.cluster.local.",
        "web.other.svc.cluster.local.",
        "other.svc.cluster.local.",
        f"_https._tcp.{WEB_NAME}",
        f"a.{WEB_NAME}",
        f"{WEB_NAME}default.svc.cluster.local.",
        "web.default.cluster.local.",
        "10-244-1-2.other.pod.cluster.local.",
        "10-1-1-2.default.pod.cluster.local.",
        "010-244-1-2.default.pod.cluster.local.",
    ):
        answer = asked(zone, name)
        assert (code_of(answer), answer.rr) == ("NXDOMAIN", []), name
        assert answer.auth[0].rdata.times[4] == answer.auth[0].ttl == 5


def test_a_headless_service_is_every_ready_endpoint_in_turns() -> None:
    zone = a_zone(HEADLESS, DB_SLICE)
    answers = [texts(asked(zone, "db.default.svc.cluster.local.").rr) for _ in range(4)]
    assert {frozenset(one) for one in answers} == {
        frozenset(
            f"db.default.svc.cluster.local. A {address}" for address in ("10.244.1.2", "10.244.2.7")
        )
    }
    assert answers[0] != answers[1]
    assert answers[0] == answers[2]


def test_an_endpoint_is_found_by_its_hostname_or_by_its_address() -> None:
    zone = a_zone(HEADLESS, DB_SLICE)
    for label, address in (("db-0", "10.244.1.2"), ("10-244-2-7", "10.244.2.7")):
        name = f"{label}.db.default.svc.cluster.local."
        assert texts(asked(zone, name).rr) == [f"{name} A {address}"]
    assert code_of(asked(zone, "10-244-1-2.db.default.svc.cluster.local.")) == "NXDOMAIN"


def test_ports_are_found_by_name_with_the_addresses_of_their_targets() -> None:
    zone = a_zone(WEB, HEADLESS, DB_SLICE)
    answer = asked(zone, f"_http._tcp.{WEB_NAME}", "SRV")
    assert texts(answer.rr) == [f"_http._tcp.{WEB_NAME} SRV 0 1 80 {WEB_NAME}"]
    assert texts(answer.ar) == [f"{WEB_NAME} A 10.96.0.10"]

    name = "_pg._tcp.db.default.svc.cluster.local."
    answer = asked(zone, name, "SRV")
    base = "db.default.svc.cluster.local."
    assert sorted(texts(answer.rr)) == [
        f"{name} SRV 0 1 15432 10-244-2-7.{base}",
        f"{name} SRV 0 1 15432 db-0.{base}",
    ]
    assert sorted(texts(answer.ar)) == [
        f"10-244-2-7.{base} A 10.244.2.7",
        f"db-0.{base} A 10.244.1.2",
    ]


def test_an_address_is_asked_whose_it_is() -> None:
    zone = a_zone(WEB, HEADLESS, DB_SLICE)
    assert texts(asked(zone, "10.0.96.10.in-addr.arpa.", "PTR").rr) == [
        f"10.0.96.10.in-addr.arpa. PTR {WEB_NAME}"
    ]
    assert texts(asked(zone, "2.1.244.10.in-addr.arpa.", "PTR").rr) == [
        "2.1.244.10.in-addr.arpa. PTR db-0.db.default.svc.cluster.local."
    ]
    assert code_of(asked(zone, "11.0.96.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"


def test_names_of_others_are_left_to_others() -> None:
    zone = a_zone(WEB)
    for name in (
        "example.com.",
        "local.",
        "xcluster.local.",
        "1.2.0.192.in-addr.arpa.",
        "1.01.96.10.in-addr.arpa.",
        "in-addr.arpa.",
        ".",
    ):
        assert said(zone, question(name)) is None, name


def test_a_pod_has_a_name_made_of_its_address() -> None:
    name = "10-244-1-2.default.pod.cluster.local."
    assert texts(asked(a_zone(), name).rr) == [f"{name} A 10.244.1.2"]


def test_gateways_find_every_endpoint_of_a_service_with_a_cluster_ip() -> None:
    ports = [EndpointPort(name="http", port=8080)]
    web = a_slice(ports=ports, addresses=["10.244.1.2", "10.244.2.3"])
    zone = a_zone(WEB, web)
    base = "web.default.gw.cluster.local."
    for label in ("_http", "_80"):
        answer = asked(zone, f"{label}._tcp.{base}", "SRV")
        assert sorted(texts(answer.rr)) == [
            f"{label}._tcp.{base} SRV 0 1 8080 10-244-1-2.{base}",
            f"{label}._tcp.{base} SRV 0 1 8080 10-244-2-3.{base}",
        ]
        assert sorted(texts(answer.ar)) == [
            f"10-244-1-2.{base} A 10.244.1.2",
            f"10-244-2-3.{base} A 10.244.2.3",
        ]
    assert texts(asked(zone, f"10-244-1-2.{base}").rr) == [f"10-244-1-2.{base} A 10.244.1.2"]


def test_what_gateways_ask_for_is_compiled_for_them_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[bytes] = []

    def counted(service: KeptService, slices: object, facts: Facts, branch: bytes) -> object:
        compiled.append(branch)
        return names_of(service, slices, facts, branch)  # type: ignore[arg-type]

    monkeypatch.setattr(zone_module, "names_of", counted)
    web_slice = a_slice(addresses=["10.244.1.2"])
    zone = a_zone(WEB, web_slice)
    for _ in range(2):
        assert texts(asked(zone, WEB_NAME).rr) == [f"{WEB_NAME} A 10.96.0.10"]
    assert compiled == [SERVICES]
    gateway_name = "web.default.gw.cluster.local."
    for _ in range(2):
        assert texts(asked(zone, gateway_name).rr) == [f"{gateway_name} A 10.244.1.2"]
    assert compiled == [SERVICES, GATEWAY]
    zone.take_slice(slice_kept(web_slice), slice_kept(a_slice(addresses=["10.244.1.3"])))
    assert texts(asked(zone, gateway_name).rr) == [f"{gateway_name} A 10.244.1.3"]


def test_gateways_find_nothing_behind_a_service_that_is_another_name() -> None:
    outside = ServiceSpec(type="ExternalName", external_name="db.example")
    zone = a_zone(replaced(a_service("far"), spec=outside))
    assert texts(asked(zone, "far.default.svc.cluster.local.").rr) == [
        "far.default.svc.cluster.local. CNAME db.example."
    ]
    assert code_of(asked(zone, "far.default.gw.cluster.local.")) == "NXDOMAIN"


def test_gateways_are_led_to_endpoints_that_still_serve_where_none_is_ready() -> None:
    ports = [EndpointPort(name="http", port=8080)]
    going = [an_endpoint("10.244.1.2", is_going=True), an_endpoint("10.244.1.3", is_ready=False)]
    zone = a_zone(WEB, a_slice(ports=ports, endpoints=going))
    answer = asked(zone, "_http._tcp.web.default.gw.cluster.local.", "SRV")
    assert [str(one.rdata.target).split(".")[0] for one in answer.rr] == ["10-244-1-2"]


def test_a_change_of_a_service_is_answered_at_once_and_its_end_too() -> None:
    zone = a_zone(WEB)
    assert texts(asked(zone, WEB_NAME).rr) == [f"{WEB_NAME} A 10.96.0.10"]
    other = a_service(cluster_ip="10.96.0.99")
    zone.take_service(service_kept(WEB), service_kept(other))
    assert texts(asked(zone, WEB_NAME).rr) == [f"{WEB_NAME} A 10.96.0.99"]
    assert code_of(asked(zone, "10.0.96.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"
    zone.take_service(service_kept(other), None)
    assert code_of(asked(zone, WEB_NAME)) == "NXDOMAIN"
    assert code_of(asked(zone, "99.0.96.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"


def test_endpoints_that_are_known_before_their_service_count_as_well() -> None:
    zone = a_zone(DB_SLICE, HEADLESS)
    assert len(asked(zone, "db.default.svc.cluster.local.").rr) == 2
    zone.take_slice(slice_kept(DB_SLICE), None)
    assert asked(zone, "db.default.svc.cluster.local.").rr == []
    assert code_of(asked(zone, "2.1.244.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"


def test_a_zone_that_is_not_known_yet_denies_nothing() -> None:
    assert code_of(asked(Zone(PLACE), WEB_NAME)) == "SERVFAIL"


def test_the_domain_is_a_setting() -> None:
    zone = Zone(PLACE._replace(facts=Facts((b"dc1", b"example", b"org"), ttl_s=30)))
    zone.is_known = True
    zone.take_service(None, service_kept(WEB))
    answer = asked(zone, "web.default.svc.dc1.example.org.")
    assert (str(answer.rr[0].rdata), answer.rr[0].ttl) == ("10.96.0.10", 30)
    assert said(zone, question(WEB_NAME)) is None


def test_the_zone_says_which_specification_it_follows_and_who_serves_it() -> None:
    zone = a_zone()
    assert texts(asked(zone, "dns-version.cluster.local.", "TXT").rr) == [
        'dns-version.cluster.local. TXT "1.1.0"'
    ]
    assert texts(asked(zone, "cluster.local.", "NS").rr) == [
        "cluster.local. NS ns.dns.cluster.local."
    ]
    assert texts(asked(zone, "ns.dns.cluster.local.").rr) == [
        "ns.dns.cluster.local. A 169.254.20.10"
    ]
    assert code_of(asked(zone, "cluster.local.", "AXFR")) == "REFUSED"


def test_what_the_api_tells_as_the_checkpoint_did_is_in_memory_once() -> None:
    zone = a_zone(WEB, a_slice(addresses=["10.244.1.2"]))
    again, ends = service_kept(WEB), slice_kept(a_slice(addresses=["10.244.1.2"]))
    assert zone.recalled_service(again) is not again
    assert zone.recalled_service(again) == again
    assert zone.recalled_slice(ends) is not ends
    assert zone.recalled_slice(ends) == ends
    other, fewer = service_kept(a_service(revision=2)), slice_kept(a_slice(revision=2))
    assert zone.recalled_service(other) is other
    assert zone.recalled_slice(fewer) is fewer


def test_a_change_costs_no_more_where_thousands_of_services_have_one_endpoint() -> None:
    def spent_s(count: int) -> float:
        names = [f"db-{at}" for at in range(count)]
        ends = [a_slice(f"{one}-1", service=one, addresses=["10.244.1.2"]) for one in names]
        zone = a_zone(*(a_service(one, cluster_ip="None") for one in names), *ends)
        one = slice_kept(ends[0])
        tries = []
        for _ in range(5):
            began_s = process_time()
            for _ in range(50):
                zone.take_slice(one, None)
                zone.take_slice(None, one)
            tries.append(process_time() - began_s)
        assert len(asked(zone, "2.1.244.10.in-addr.arpa.", "PTR").rr) > 0
        return min(tries)

    # Gone through one by one, they took thirty times as long.
    assert spent_s(10_000) < spent_s(10) * 5
