"""Random clusters, answered as a zone file of the same facts is by a plain reference resolver.

The file is written by hand from the specification, a line a record, and read by another library;
the reference knows nothing but its lines: what stands at a name, what stands below it, and nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dnslib import RR
from hypothesis import given, settings
from hypothesis import strategies as st

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointPort, EndpointSlice
from cubernetes.api.meta import ObjectMeta, replaced
from resolver.answers.zone import Zone
from resolver.objects import service_kept, slice_kept
from tests.given import a_namespace, a_service, a_slice, an_endpoint
from tests.unit.resolver.asking import PLACE, asked, code_of, texts

NAMESPACES, NAMES = ("default", "shop"), ("web", "db", "a-b")
PORTS = (("http", 80, 8080), ("", 5432, 5432), ("dns", 53, 10053))
HOSTNAMES = ("", "db-0", "db-1")
TYPES = ("A", "SRV", "CNAME", "PTR", "AAAA")


class Cluster(NamedTuple):
    services: Sequence[Service]
    slices: Sequence[EndpointSlice]
    dnses: Sequence[Dns]


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    services, slices = [], []
    keys = draw(
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMESPACES)), unique=True)
    )
    for number, (name, namespace) in enumerate(keys):
        ports = draw(st.lists(st.sampled_from(PORTS), max_size=2, unique=True))
        form = draw(st.sampled_from(["ClusterIP", "Headless", "ExternalName"]))
        address = {"ClusterIP": f"10.96.0.{number + 1}", "Headless": "None"}.get(form, "")
        offered = [ServicePort(port=port, name=label) for label, port, _ in ports]
        service = a_service(name, namespace, cluster_ip=address, ports=offered)
        if form == "ExternalName":
            spec = replaced(service.spec, type=form, external_name="db.example.org")
            service = replaced(service, spec=spec)
        services.append(service)
        for part in range(draw(st.integers(0, 2))):
            found = [
                endpoint(draw, f"10.244.{number}.{part * 8 + one}")
                for one in range(draw(st.integers(0, 3)))
            ]
            targets = [EndpointPort(name=label, port=target) for label, _, target in ports]
            slices.append(
                a_slice(f"{name}-{part}", namespace, service=name, endpoints=found, ports=targets)
                if found
                else a_slice(f"{name}-{part}", namespace, service=name, ports=targets)
            )
    hosts = st.lists(st.sampled_from(["a.b.cluster.local", "b.cluster.local"]), unique=True)
    dnses = [
        Dns(
            metadata=ObjectMeta(name=host, namespace="default"),
            spec=DnsSpec(host=host),
            status=DnsStatus(gateways=("192.0.2.7",)),
        )
        for host in draw(hosts)
    ]
    return Cluster(services, slices, dnses)


def endpoint(draw: st.DrawFn, address: str) -> Endpoint:
    one = an_endpoint(address, is_ready=draw(st.booleans()), is_going=draw(st.booleans()))
    return replaced(one, hostname=draw(st.sampled_from(HOSTNAMES)))


def zone_file(cluster: Cluster) -> list[str]:
    """Return the records that the specification wants for a cluster."""
    lines = []
    for service in cluster.services:
        name, namespace = service.metadata.name, service.metadata.namespace
        base, address = f"{name}.{namespace}.svc.cluster.local.", service.spec.cluster_ip
        if service.spec.type == "ExternalName":
            lines.append(f"{base} 5 IN CNAME db.example.org.")
        elif address != "None":
            lines.append(f"{base} 5 IN A {address}")
            lines.append(f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa. 5 IN PTR {base}")
            lines += [
                f"_{one.name}._tcp.{base} 5 IN SRV 0 1 {one.port} {base}"
                for one in service.spec.ports
                if one.name
            ]
        else:
            lines += headless_lines(service, base, cluster.slices)
    lines += [f"{one.spec.host}. 5 IN A 192.0.2.7" for one in cluster.dnses]
    return list(dict.fromkeys(lines))


def headless_lines(service: Service, base: str, slices: Sequence[EndpointSlice]) -> list[str]:
    lines = []
    for one in slices:
        is_own = one.service_name == service.metadata.name
        if not is_own or one.metadata.namespace != service.metadata.namespace:
            continue
        for each in one.endpoints:
            if not each.conditions.ready:
                continue
            address = each.addresses[0]
            host = f"{each.hostname or address.replace('.', '-')}.{base}"
            lines += [f"{base} 5 IN A {address}", f"{host} 5 IN A {address}"]
            lines.append(f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa. 5 IN PTR {host}")
            lines += [
                f"_{port.name}._tcp.{base} 5 IN SRV 0 1 {port.port} {host}"
                for port in one.ports
                if port.name and port.name in {offered.name for offered in service.spec.ports}
            ]
    return lines


def names_there(records: Sequence[RR], cluster: Cluster) -> set[str]:
    """Return every name that exists: those of records, those above them, and fixed ones."""
    found = {"cluster.local.", "svc.cluster.local."}
    found |= {f"{one}.svc.cluster.local." for one in NAMESPACES}
    for one in cluster.services:
        base = f"{one.metadata.name}.{one.metadata.namespace}.svc.cluster.local."
        found.add(base)
        if one.spec.ports and one.spec.type != "ExternalName":
            found.add(f"_tcp.{base}")
        if one.is_headless:
            # A port is a name, also while nothing listens there.
            found |= {f"_{port.name}._tcp.{base}" for port in one.spec.ports if port.name}
    for record in records:
        labels = str(record.rname).split(".")
        within = range(len(labels) - 3) if labels[-3:-1] == ["cluster", "local"] else range(1)
        found |= {".".join(labels[start:]) for start in within}
    return found


@settings(max_examples=60)
@given(clusters(), st.sampled_from(NAMES), st.sampled_from(HOSTNAMES))
def test_a_random_cluster_is_answered_as_its_zone_file_is(
    cluster: Cluster, name: str, label: str
) -> None:
    zone = Zone(PLACE)
    for namespace in NAMESPACES:
        zone.take_namespace(None, a_namespace(namespace))
    for service in cluster.services:
        zone.take_service(None, service_kept(service))
    for one in cluster.slices:
        zone.take_slice(None, slice_kept(one))
    for dns in cluster.dnses:
        zone.take_dns(None, dns)
    zone.is_known = True
    records = RR.fromZone("\n".join(zone_file(cluster)) + "\n") if zone_file(cluster) else []
    there = names_there(records, cluster)
    guesses = {f"{label or 'x'}.{name}.default.svc.cluster.local.", "x.b.cluster.local."}
    guesses |= {f"{name}.{one}.svc.cluster.local." for one in (*NAMESPACES, "other")}
    guesses |= {"1.0.96.10.in-addr.arpa.", "1.0.244.10.in-addr.arpa."}
    for asked_name in sorted(there | guesses):
        here = [one for one in records if str(one.rname) == asked_name]
        alias = [one for one in texts(here) if one.split()[1] == "CNAME"]
        for kind in TYPES:
            answer = asked(zone, asked_name, kind)
            wanted = alias or [one for one in texts(here) if one.split()[1] == kind]
            assert sorted(texts(answer.rr)) == sorted(wanted), (asked_name, kind)
            code = "NOERROR" if asked_name in there else "NXDOMAIN"
            assert code_of(answer) == code, (asked_name, kind)
