"""The bytes of questions and answers: sizes, EDNS, and what is no question."""

from random import Random

import pytest
from dnslib import EDNS0, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as some

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from resolver.answers.wire import Query, Refusal, Sections, built, parsed
from tests.given import a_service, a_slice
from tests.unit.resolver.asking import a_zone, asked, code_of, question, said

NAME = "web.default.svc.cluster.local."
MANY: list[Service | EndpointSlice] = [
    a_service("many", cluster_ip="None", ports=[ServicePort(port=80)]),
    a_slice("m", service="many", addresses=[f"10.244.{at // 200}.{at % 200}" for at in range(600)]),
]


def refused(message: bytes) -> DNSRecord:
    query = parsed(message)
    assert isinstance(query, Refusal)
    return DNSRecord.parse(query.answer)


def test_a_datagram_of_512_bytes_takes_what_fits_and_says_that_there_is_more() -> None:
    answer = asked(a_zone(*MANY), "many.default.svc.cluster.local.")
    assert answer.header.tc == 1
    assert 0 < len(answer.rr) < 600
    assert len(answer.pack()) <= 512


def test_a_client_says_how_much_its_datagrams_take() -> None:
    zone = a_zone(*MANY)
    few = asked(zone, "many.default.svc.cluster.local.", edns_bytes=1232)
    more = asked(zone, "many.default.svc.cluster.local.", edns_bytes=65000)
    assert few.header.tc == more.header.tc == 1
    assert len(few.rr) < len(more.rr) <= 4096 // 16
    # Less than what every client takes is not heeded.
    tiny = asked(zone, NAME, edns_bytes=100)
    assert tiny.ar[0].edns_len == 1232


def test_a_stream_takes_all_of_it() -> None:
    query = parsed(question("many.default.svc.cluster.local."))
    assert isinstance(query, Query)
    sections = a_zone(*MANY).answer(query)
    assert sections is not None
    whole = DNSRecord.parse(built(query, sections))
    assert (whole.header.tc, len(whole.rr)) == (0, 600)


def test_what_is_said_besides_goes_first_where_room_is_short() -> None:
    service = a_service("db", cluster_ip="None", ports=[ServicePort(port=80, name="http")])
    one = a_slice(
        "d",
        service="db",
        addresses=[f"10.244.1.{at}" for at in range(1, 8)],
        ports=[EndpointPort(name="http", port=80)],
    )
    answer = asked(a_zone(service, one), "_http._tcp.db.default.svc.cluster.local.", "SRV")
    assert (answer.header.tc, len(answer.rr), answer.ar) == (0, 7, [])
    whole = asked(
        a_zone(service, one), "_http._tcp.db.default.svc.cluster.local.", "SRV", edns_bytes=4096
    )
    assert len(whole.ar) == 8


def test_edns_is_answered_with_edns_and_only_then() -> None:
    zone = a_zone(a_service())
    assert asked(zone, NAME).ar == []
    assert [one.rtype for one in asked(zone, NAME, edns_bytes=1232).ar] == [41]


def test_another_version_of_edns_is_refused_by_its_name() -> None:
    record = DNSRecord(DNSHeader(id=1, rd=1), q=DNSQuestion(NAME))
    record.add_ar(EDNS0(udp_len=1232, version=1))
    answer = refused(record.pack())
    # 16 is BADVERS: its upper bits stand in the OPT record.
    assert (answer.header.rcode, answer.ar[0].ttl >> 24) == (0, 1)


def test_other_operations_are_not_implemented() -> None:
    message = bytearray(question(NAME))
    message[2] |= 4 << 3
    answer = refused(bytes(message))
    assert code_of(answer) == "NOTIMP"
    assert (answer.header.id, answer.header.opcode) == (4711, 4)


@pytest.mark.parametrize(
    "message",
    [
        question(NAME)[:-3],
        question(NAME)[:4] + b"\0\2" + question(NAME)[6:],
        question(NAME)[:6] + b"\0\1" + question(NAME)[8:],
        question(NAME)[:12] + b"\xc0\x0c\0\1\0\1",
        question(NAME)[:12] + b"\x3fabc\0\0\1\0\1",
        question(NAME)[:10] + b"\0\1" + question(NAME)[12:],
        question(NAME, edns_bytes=512)[:-1] + b"\1",
        question(NAME)[:12] + b"\x01a" * 130 + b"\0\0\1\0\1",
    ],
    ids=["cut", "two", "answers", "pointer", "long label", "no record", "cut opt", "long name"],
)
def test_what_cannot_be_read_is_told_so(message: bytes) -> None:
    assert code_of(refused(message)) == "FORMERR"


def test_other_classes_are_refused() -> None:
    message = question("version.bind.", "TXT")[:-2] + b"\0\3"
    assert code_of(refused(message)) == "REFUSED"


def test_answers_and_crumbs_are_answered_with_silence() -> None:
    answer = bytearray(question(NAME))
    answer[2] |= 0x80
    for message in (bytes(answer), b"", question(NAME)[:11]):
        assert parsed(message) is None


def test_ten_thousand_datagrams_of_noise_raise_nothing_and_every_answer_can_be_read() -> None:
    chance, zone = Random(4711), a_zone(a_service(), *MANY)
    good = question(NAME, edns_bytes=1232)
    for _ in range(10_000):
        kind = chance.randrange(3)
        noise = bytearray(chance.randbytes(chance.randrange(80)))
        if kind == 1:
            noise = bytearray(b"\0\1\1\0\0\1\0\0\0\0\0\0" + noise)
        elif kind == 2:
            noise = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                noise[chance.randrange(len(noise))] = chance.randrange(256)
        must_be_readable(zone, bytes(noise))


def must_be_readable(zone: object, message: bytes) -> None:
    query = parsed(message)
    if query is None:
        return
    if isinstance(query, Query):
        sections = a_zone().answer(query) or Sections()
        answer = built(query, sections, query.size_bytes)
        assert len(answer) <= query.size_bytes
    else:
        answer = query.answer
    assert answer[:2] == message[:2]
    assert answer[2] & 0x80


@given(some.binary(max_size=300))
def test_no_bytes_raise(message: bytes) -> None:
    must_be_readable(a_zone(), message)


def test_a_question_that_was_read_is_repeated_in_its_answer() -> None:
    answer = said(a_zone(a_service()), question(NAME, number=77))
    assert answer is not None
    assert (answer.header.id, str(answer.q.qname), answer.header.rd) == (77, NAME, 1)
