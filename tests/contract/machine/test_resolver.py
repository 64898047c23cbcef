"""The resolver on real sockets of the loopback, beside name servers of others that misbehave."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from cubernetes.api.core.service import ServiceSpec
from cubernetes.api.meta import replaced
from cubernetes.host.env import Env
from cubernetes.host.random import SystemRng
from resolver.answers.zone import Zone
from resolver.counts import Counts
from resolver.forwarding.forwarder import QUESTIONS_MAX, Forwarder
from resolver.forwarding.upstreams import Roads, Upstream
from resolver.serving import CONNECTIONS_MAX, Answers, Datagrams, Streams, bound
from tests.given import a_service, a_slice
from tests.unit.resolver.asking import a_zone, code_of, question, texts

LOOPBACK = "127.0.0.1"
WEB = a_service()
NAME = "web.default.svc.cluster.local."
PORTS_MAX = 20
DEADLINE_S = 60.0


class Other(asyncio.DatagramProtocol):
    """A name server of others: `reply` makes an answer of a question, or nothing."""

    def __init__(self, reply: Callable[[DNSRecord], list[bytes]]) -> None:
        self.reply = reply
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, message: bytes, client: tuple[str, int]) -> None:
        record = DNSRecord.parse(message)
        self.asked.append(str(record.q.qname))
        for answer in self.reply(record):
            self.transport.sendto(answer, client)  # type: ignore[attr-defined]


@asynccontextmanager
async def other(reply: Callable[[DNSRecord], list[bytes]]) -> AsyncIterator[tuple[Other, Upstream]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: Other(reply), local_addr=(LOOPBACK, 0)
    )
    try:
        yield server, Upstream(*transport.get_extra_info("sockname"))
    finally:
        transport.close()


def address(record: DNSRecord, ttl_s: int = 60) -> list[bytes]:
    answer = record.reply()
    answer.add_answer(RR(record.q.qname, QTYPE.A, rdata=A("192.0.2.1"), ttl=ttl_s))
    return [answer.pack()]


def silence(_: DNSRecord) -> list[bytes]:
    return []


def a_port() -> tuple[socket.socket, socket.socket]:
    """Return sockets of one port for UDP and TCP: one that is free for one may be another's."""
    for _ in range(PORTS_MAX):
        datagrams = bound(LOOPBACK, 0, socket.SOCK_DGRAM)
        try:
            return datagrams, bound(LOOPBACK, datagrams.getsockname()[1], socket.SOCK_STREAM)
        except OSError:
            datagrams.close()
    raise AssertionError(f"{PORTS_MAX} ports that are free for UDP are taken for TCP")


@asynccontextmanager
async def resolver(zone: Zone, *upstreams: Upstream) -> AsyncIterator[int]:
    """Answer on one port of the loopback, by UDP and TCP; yield its number."""
    counts = Counts(Env().metrics)
    forwarder = Forwarder(Env(), counts)
    forwarder.take(Roads(upstreams))
    answers = Answers(zone, forwarder, counts)
    datagrams, streams = a_port()
    with datagrams, streams:
        tasks = [
            asyncio.ensure_future(Datagrams(datagrams, answers).run()),
            asyncio.ensure_future(Streams(streams, answers).run()),
        ]
        try:
            yield datagrams.getsockname()[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def by_datagram(port: int, message: bytes) -> DNSRecord:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.setblocking(False)
            own.connect((LOOPBACK, port))
            await loop.sock_sendall(own, message)
            return DNSRecord.parse(await loop.sock_recv(own, 65535))


async def by_stream(port: int, *messages: bytes) -> list[DNSRecord]:
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        for message in messages:
            writer.write(len(message).to_bytes(2) + message)
        answers = []
        for _ in messages:
            size = int.from_bytes(await reader.readexactly(2))
            answers.append(DNSRecord.parse(await reader.readexactly(size)))
        writer.close()
        await writer.wait_closed()
        return answers


async def test_names_of_the_cluster_are_answered_by_both_protocols() -> None:
    many = a_service("many", cluster_ip="None")
    ends = a_slice("m", service="many", addresses=[f"10.244.1.{at}" for at in range(100)])
    async with resolver(a_zone(WEB, many, ends)) as port:
        answer = await by_datagram(port, question(NAME))
        assert texts(answer.rr) == [f"{NAME} A 10.96.0.10"]
        cut = await by_datagram(port, question("many.default.svc.cluster.local."))
        assert cut.header.tc == 1
        whole, second = await by_stream(
            port, question("many.default.svc.cluster.local."), question(NAME)
        )
        assert (len(whole.rr), len(second.rr)) == (100, 1)


async def test_names_of_others_are_asked_once_and_kept_in_the_spelling_of_each_client() -> None:
    async with other(address) as (server, upstream), resolver(a_zone(), upstream) as port:
        first = await by_datagram(port, question("Example.com.", number=1))
        again = await by_datagram(port, question("eXample.COM.", number=2))
        assert [str(one.rr[0].rdata) for one in (first, again)] == ["192.0.2.1"] * 2
        assert (first.header.id, str(first.q.qname)) == (1, "Example.com.")
        assert (again.header.id, str(again.q.qname)) == (2, "eXample.COM.")
        assert server.asked == ["Example.com."]


async def test_nobody_can_work_out_the_number_of_the_next_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server sees the numbers of those that it is asked; others get other questions."""

    def guessed(_: SystemRng) -> float:
        raise AssertionError("a fraction is drawn, which can be guessed from those before")

    monkeypatch.setattr(SystemRng, "fraction", guessed)
    async with other(address) as (_, upstream), resolver(a_zone(), upstream) as port:
        answer = await by_datagram(port, question("Example.com."))
    assert [str(one.rdata) for one in answer.rr] == ["192.0.2.1"]


async def test_a_name_server_that_is_silent_or_forged_gives_way_to_the_next() -> None:
    def forged(record: DNSRecord) -> list[bytes]:
        wrong_number = bytearray(address(record)[0])
        wrong_number[0] ^= 0xFF
        other_name = DNSRecord.question("evil.example.").reply()
        other_name.header.id = record.header.id
        return [bytes(wrong_number), other_name.pack(), b"noise"]

    async with (
        other(forged) as (_, bad),
        other(address) as (good, upstream),
        resolver(a_zone(), bad, upstream) as port,
    ):
        answer = await by_datagram(port, question("example.com."))
        assert str(answer.rr[0].rdata) == "192.0.2.1"
        # The bad one is asked last from now on.
        await by_datagram(port, question("example.org."))
        assert good.asked == ["example.com.", "example.org."]


async def test_without_any_reply_the_client_is_told_so_and_the_clusters_names_go_on() -> None:
    async with other(silence) as (server, upstream), resolver(a_zone(WEB), upstream) as port:
        waiting = asyncio.ensure_future(by_datagram(port, question("example.com.")))
        # A question that is under way holds up no other.
        assert len((await by_datagram(port, question(NAME))).rr) == 1
        assert code_of(await waiting) == "SERVFAIL"
        assert server.asked == ["example.com."] * 2


async def test_a_refusal_of_one_name_server_is_not_the_last_word() -> None:
    def refused(record: DNSRecord) -> list[bytes]:
        answer = record.reply()
        answer.header.rcode = RCODE.REFUSED
        return [answer.pack()]

    async with (
        other(refused) as (_, first),
        other(address) as (_, second),
        resolver(a_zone(), first, second) as port,
    ):
        assert code_of(await by_datagram(port, question("example.com."))) == "NOERROR"


async def test_a_name_server_that_leads_back_to_us_gets_no_second_question() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        own_port = probe.getsockname()[1]
    asked: list[str] = []

    def back(record: DNSRecord) -> list[bytes]:
        asked.append(str(record.q.qname))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(record.pack(), (LOOPBACK, own_port))
        return []

    async with other(back) as (_, upstream), resolver(a_zone(), upstream) as port:
        own_port = port
        assert code_of(await by_datagram(port, question("example.com."))) == "SERVFAIL"
        assert asked == ["example.com."] * 2


async def test_an_alias_of_a_service_is_followed_to_names_of_others() -> None:
    spec: ServiceSpec = replaced(
        WEB.spec, type="ExternalName", external_name="db.example.com", cluster_ip=""
    )
    alias = replaced(WEB, spec=replaced(spec, cluster_ips=(), selector={}))
    async with other(address) as (_, upstream), resolver(a_zone(alias), upstream) as port:
        answer = await by_datagram(port, question(NAME))
        assert texts(answer.rr) == [
            f"{NAME} CNAME db.example.com.",
            "db.example.com. A 192.0.2.1",
        ]


async def test_noise_leaves_it_answering() -> None:
    chance = Random(1)
    async with resolver(a_zone(WEB)) as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            for _ in range(2000):
                head = chance.choice([b"", b"\0\1\1\0\0\1\0\0\0\0\0\0"])
                own.sendto(head + chance.randbytes(chance.randrange(60)), (LOOPBACK, port))
        assert len((await by_datagram(port, question(NAME))).rr) == 1


async def test_a_source_that_asks_all_it_can_leaves_room_for_others_by_both_protocols() -> None:
    loop = asyncio.get_running_loop()
    async with other(silence) as (server, upstream), resolver(a_zone(), upstream) as port:
        greedy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        modest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with greedy, modest:
            for own, source in ((greedy, "127.0.0.1"), (modest, "127.0.0.2")):
                own.setblocking(False)
                own.bind((source, 0))
                own.connect((LOOPBACK, port))
            for number in range(QUESTIONS_MAX):
                await loop.sock_sendall(greedy, question(f"n{number}.greedy.example."))
            async with asyncio.timeout(DEADLINE_S):
                # What is too much is refused at once.
                refused = DNSRecord.parse(await loop.sock_recv(greedy, 65535))
            assert refused.header.rcode == RCODE.SERVFAIL
            await loop.sock_sendall(modest, question("modest.example."))
            async with asyncio.timeout(DEADLINE_S):
                while "modest.example." not in server.asked:  # noqa: ASYNC110  it is told by no one
                    await asyncio.sleep(0.01)
            assert len({one for one in server.asked if "greedy" in one}) == QUESTIONS_MAX // 2

        crowd = [await asyncio.open_connection(LOOPBACK, port) for _ in range(CONNECTIONS_MAX)]
        last = crowd[-1][0]
        async with asyncio.timeout(DEADLINE_S):
            assert await last.read() == b""
        reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=("127.0.0.2", 0))
        asked = question("kubernetes.default.svc.cluster.local.")
        writer.write(len(asked).to_bytes(2) + asked)
        async with asyncio.timeout(DEADLINE_S):
            assert len(await reader.readexactly(2)) == 2
        # That is not since the crowd was idle for too long.
        assert not crowd[0][0].at_eof()
        for _, each in (*crowd, (reader, writer)):
            each.close()
