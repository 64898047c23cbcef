"""Questions and answers as another library writes and reads them, for tests of the resolver."""

from ipaddress import IPv4Address, IPv4Network

from dnslib import EDNS0, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord

from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.discovery.endpointslice import EndpointSlice
from resolver.answers.compile import Facts
from resolver.answers.wire import Query, Refusal, built, parsed
from resolver.answers.zone import Zone, ZoneSettings
from resolver.objects import service_kept, slice_kept
from tests.given import a_namespace

PLACE = ZoneSettings(
    Facts((b"cluster", b"local")),
    IPv4Address("169.254.20.10"),
    IPv4Network("10.96.0.0/16"),
    IPv4Network("10.244.0.0/16"),
)
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
TYPES |= {"HTTPS": 65, "AXFR": 252, "ANY": 255}


def question(name: str, kind: str = "A", *, edns_bytes: int = 0, number: int = 4711) -> bytes:
    record = DNSRecord(DNSHeader(id=number, rd=1), q=DNSQuestion(name, TYPES[kind]))
    if edns_bytes:
        record.add_ar(EDNS0(udp_len=edns_bytes))
    return bytes(record.pack())


def a_zone(
    *objects: Service | EndpointSlice | Dns, namespaces: tuple[str, ...] = ("default",)
) -> Zone:
    """Return a zone that knows these objects, whole."""
    zone = Zone(PLACE)
    for name in namespaces:
        zone.take_namespace(None, a_namespace(name))
    for one in objects:
        if isinstance(one, Service):
            zone.take_service(None, service_kept(one))
        elif isinstance(one, Dns):
            zone.take_dns(None, one)
        else:
            zone.take_slice(None, slice_kept(one))
    zone.is_known = True
    return zone


def said(zone: Zone, message: bytes, size_bytes: int = 0) -> DNSRecord | None:
    """Return what a zone answers, as another library reads it; None for a name of others.

    size_bytes: of the datagram; 0 is what the question says.
    """
    query = parsed(message)
    if isinstance(query, Refusal):
        return DNSRecord.parse(query.answer)
    assert isinstance(query, Query)
    sections = zone.answer(query)
    if sections is None:
        return None
    return DNSRecord.parse(built(query, sections, size_bytes or query.size_bytes))


def asked(zone: Zone, name: str, kind: str = "A", *, edns_bytes: int = 0) -> DNSRecord:
    answer = said(zone, question(name, kind, edns_bytes=edns_bytes))
    assert answer is not None, f"{name} is not the cluster's"
    return answer


def code_of(answer: DNSRecord) -> str:
    return str(RCODE[answer.header.rcode])


def texts(records: list[RR]) -> list[str]:
    """Return `NAME TYPE CONTENT` of each record."""
    return [f"{one.rname} {_type_of(one)} {one.rdata}" for one in records]


def _type_of(one: RR) -> str:
    return next((name for name, number in TYPES.items() if number == one.rtype), str(one.rtype))
