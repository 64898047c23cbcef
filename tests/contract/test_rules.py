"""Service rules against the real thing: the parser and the packets, with both kinds of iptables."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.host.packetfilter.generation import generation
from cubernetes.host.packetfilter.iptables import NFT, Iptables, Tools, tools_in_use
from cubernetes.host.packetfilter.ruleset import Found, RuleSet, restore_text
from proxy.reset import reset
from proxy.services.apply import ServiceRules
from proxy.services.compile import OWNER, rules_for
from tests.contract.wires import (
    DEADLINE_S,
    NODE_ADDRESS,
    PODS,
    PORT,
    STRANGER_ADDRESS,
    Wires,
    reason_to_skip,
)
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.proxy.clusters import FACTS
from tests.unit.proxy.doors import NODE_PORT, a_door, both
from tests.unit.proxy.doors import rules as rules_of_door

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run"),
]

WEB, DNS, EMPTY = "10.96.0.10", "10.96.0.53", "10.96.0.99"
HTTP = ServicePort(port=80, name="http", target_port=PORT)
UDP = ServicePort(port=53, name="dns", protocol="UDP", target_port=PORT)
FOREIGN = """\
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:FORWARD DROP [0:0]
:SSH-GUARD - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "not ours; CUBE-like" -j SSH-GUARD
-A SSH-GUARD -s 198.51.100.0/24 -j DROP
COMMIT
"""


def web_on(*pods: str) -> tuple[list[Service], list[EndpointSlice]]:
    """Return a TCP and a UDP service before these pods, and a service before none."""
    addresses = [PODS[pod] for pod in pods]
    services = [
        a_service("web", ports=[HTTP], cluster_ip=WEB),
        a_service("dns", ports=[UDP], cluster_ip=DNS),
        a_service("empty", ports=[HTTP, UDP], cluster_ip=EMPTY),
    ]
    slices = [
        a_slice("web-1", service="web", addresses=addresses,
                ports=[EndpointPort(name="http", port=PORT)]),
        a_slice("dns-1", service="dns", addresses=addresses,
                ports=[EndpointPort(name="dns", protocol="UDP", port=PORT)]),
    ]  # fmt: skip
    return services, slices


def rules_on(*pods: str) -> RuleSet:
    return rules_for(*web_on(*pods), FACTS)


@pytest.fixture
async def net(wires: Wires, tools: Tools) -> AsyncIterator[Wires]:
    """Wires with servers, on a strict host that has rules of its own."""
    await wires.node.run([tools.restore, "--noflush"], stdin=FOREIGN.encode())
    async with wires.serving():
        yield wires


def kernel(wires: Wires, tools: Tools) -> Iptables:
    return Iptables(wires.node, tools, OWNER)


def node(wires: Wires, tools: Tools) -> ServiceRules:
    return ServiceRules(wires.node, kernel(wires, tools), str(FACTS.service_range))


async def saved(wires: Wires, tools: Tools) -> list[str]:
    """Return what the node holds, without comments and without packet counters."""
    text = (await wires.node.run([tools.save])).stdout.decode()
    return [
        line.partition(" [")[0] if line.startswith(":") else line
        for line in text.splitlines()
        if not line.startswith("#")
    ]


async def test_the_real_parser_takes_the_text(wires: Wires, tools: Tools) -> None:
    text = restore_text(Found(), rules_on(*PODS))

    await wires.node.run([tools.restore, "--test", "--noflush"], stdin=text.encode())

    assert "CUBE-" not in "".join(await saved(wires, tools))


@pytest.mark.parametrize(
    "name", ['a"\n-I INPUT -p tcp --dport 2379 -j ACCEPT\n', "a\r\nCOMMIT", "é"]
)
async def test_t30_the_real_parser_finds_no_rule_that_a_name_smuggled_in(
    wires: Wires, tools: Tools, name: str
) -> None:
    service = replaced(a_service(), metadata=ObjectMeta(name=name, namespace="default"))
    pods = a_slice(service=name, endpoints=[an_endpoint("10.244.1.2"), an_endpoint(name)])

    await kernel(wires, tools).apply(rules_for([service], [pods], FACTS))

    lines = await saved(wires, tools)
    # The first is ours: what nobody serves is refused.
    assert {line for line in lines if line.startswith("-A INPUT")} == {"-A INPUT -j CUBE-REJECT"}
    assert not [line for line in lines if "2379" in line]


async def test_the_kernel_gives_rules_back_as_they_were_written(wires: Wires, tools: Tools) -> None:
    wanted = rules_on(*PODS)
    await kernel(wires, tools).apply(wanted)

    assert await kernel(wires, tools).read() == Found(wanted)
    assert not (await kernel(wires, tools).check(wanted)).is_written


async def test_the_kernel_gives_the_rules_of_every_door_back_as_they_were_written(
    wires: Wires, tools: Tools
) -> None:
    """Else they would be taken for somebody else's change, and written again for ever."""
    sources = ("198.51.100.0/24", "0.0.0.0/0")
    doors = [
        a_door(external_ips=("198.51.100.7",), session_affinity="ClientIP"),
        a_door("LoadBalancer", load_balancer_source_ranges=sources),
        a_door("LoadBalancer", external_traffic_policy="Local", internal_traffic_policy="Local"),
    ]
    for door in doors:
        for endpoints in (both(), []):
            wanted = rules_of_door(door, endpoints)
            await kernel(wires, tools).check(wanted)

            assert await kernel(wires, tools).read() == Found(wanted)


async def test_w26_a_node_port_is_answered_for_the_node_a_pod_and_a_stranger(
    net: Wires, tools: Tools
) -> None:
    endpoints = [an_endpoint(PODS[pod], node="n1") for pod in ("pod1", "pod2")]
    await node(net, tools).apply(rules_of_door(a_door(), endpoints))
    for place in ("pod3", "pod1", "node", "stranger"):
        answers = [await net.ask(place, NODE_ADDRESS, NODE_PORT) for _ in range(20)]

        assert {who for who, _ in answers} <= {"pod1", "pod2"}
        assert {seen for _, seen in answers} == {NODE_ADDRESS}
    with pytest.raises(ConnectionRefusedError):
        await net.ask("node", "127.0.0.1", NODE_PORT)
    await node(net, tools).apply(rules_of_door(a_door(), []))
    for place in ("pod3", "node", "stranger"):
        with pytest.raises(ConnectionRefusedError):
            await net.ask(place, NODE_ADDRESS, NODE_PORT)


async def test_local_policy_shows_a_pod_its_real_client_and_drops_where_there_is_no_pod(
    net: Wires, tools: Tools
) -> None:
    local = a_door(external_traffic_policy="Local")
    here, elsewhere = an_endpoint(PODS["pod1"], node="n1"), an_endpoint(PODS["pod2"], node="n2")
    await node(net, tools).apply(rules_of_door(local, [here, elsewhere]))

    answers = {await net.ask("stranger", NODE_ADDRESS, NODE_PORT) for _ in range(10)}
    assert answers == {("pod1", STRANGER_ADDRESS)}
    await node(net, tools).apply(rules_of_door(local, [elsewhere]))
    with pytest.raises(TimeoutError):
        await net.ask("stranger", NODE_ADDRESS, NODE_PORT, deadline_s=0.5)
    assert (await net.ask("pod3", NODE_ADDRESS, NODE_PORT))[0] == "pod2"


async def test_w26_affinity_keeps_a_client_at_its_pod_in_a_real_kernel(
    net: Wires, tools: Tools
) -> None:
    endpoints = [an_endpoint(address, node="n1") for address in PODS.values()]
    sticky = a_door(session_affinity="ClientIP")
    await node(net, tools).apply(rules_of_door(sticky, endpoints))
    for place in ("pod3", "stranger"):
        who = {(await net.ask(place, WEB))[0] for _ in range(12)}
        assert len(who) == 1
        assert {(await net.ask(place, NODE_ADDRESS, NODE_PORT))[0] for _ in range(4)} == who


async def test_the_kind_of_iptables_that_holds_our_rules_is_found_again(
    wires: Wires, tools: Tools
) -> None:
    await kernel(wires, tools).apply(rules_on())

    assert await tools_in_use(wires.node) == tools


async def test_w45_foreign_rules_are_the_same_before_and_after(net: Wires, tools: Tools) -> None:
    before = await saved(net, tools)
    rules = node(net, tools)
    for pods in (("pod1", "pod2"), ("pod3",), (), ("pod1", "pod2", "pod3")):
        await rules.apply(rules_on(*pods))

    during = await saved(net, tools)
    await reset(net.node)

    assert [line for line in during if "CUBE-" not in line or "CUBE-like" in line] == before
    assert await saved(net, tools) == before


async def test_w26_connections_spread_over_ready_pods_from_everywhere(
    net: Wires, tools: Tools
) -> None:
    await node(net, tools).apply(rules_on("pod1", "pod2"))
    for place in ("pod3", "node", "stranger"):
        answers = [await net.ask(place, WEB) for _ in range(40)]

        # One in a hundred thousand runs has a pod with fewer than six of forty.
        spread = Counter(who for who, _ in answers)
        assert spread.keys() == {"pod1", "pod2"}
        assert min(spread.values()) >= 6
        # A pod is seen as itself; who comes from elsewhere, as the node.
        seen = PODS["pod3"] if place == "pod3" else NODE_ADDRESS
        assert {one for _, one in answers} == {seen}


async def test_w26_a_pod_reaches_itself_through_its_service(net: Wires, tools: Tools) -> None:
    await node(net, tools).apply(rules_on("pod1"))

    assert await net.ask("pod1", WEB) == ("pod1", NODE_ADDRESS)


@pytest.mark.parametrize("place", ["pod1", "node", "stranger"])
async def test_a_service_without_endpoints_refuses_at_once(
    net: Wires, tools: Tools, place: str
) -> None:
    await node(net, tools).apply(rules_on("pod1"))
    for port in (80, 81):
        # A refusal is an answer: where packets are dropped instead, asking ends with a timeout.
        with pytest.raises(ConnectionRefusedError):
            await net.ask(place, EMPTY, port)


async def test_udp_to_a_service_without_endpoints_is_refused_at_once(
    net: Wires, tools: Tools
) -> None:
    await node(net, tools).apply(rules_on("pod1"))
    with net.socket("pod2", socket.SOCK_DGRAM) as client:
        client.connect((EMPTY, 53))
        client.send(b"?")
        async with asyncio.timeout(1.0):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_recv(client, 100)


async def udp_answer(client: socket.socket) -> str:
    client.send(b"?")
    async with asyncio.timeout(2.0):
        answer = await asyncio.get_running_loop().sock_recv(client, 100)
    return answer.decode().partition(" ")[0]


@pytest.mark.parametrize("place", ["pod3", "stranger"])
async def test_a_udp_flow_leaves_an_endpoint_that_is_gone(
    net: Wires, tools: Tools, place: str
) -> None:
    rules = node(net, tools)
    await rules.apply(rules_on("pod1"))
    net.ip("stranger", f"route replace 10.96.0.0/16 via {NODE_ADDRESS}")
    with net.socket(place, socket.SOCK_DGRAM) as client:
        client.connect((DNS, 53))
        assert await udp_answer(client) == "pod1"

        # The same socket all the time: the kernel remembers the flow.
        await rules.apply(rules_on("pod1", "pod2"))
        assert await udp_answer(client) == "pod1"
        await rules.apply(rules_on("pod2"))
        assert await udp_answer(client) == "pod2"


async def test_w25_no_connection_fails_while_rules_change_and_the_proxy_restarts(
    net: Wires, tools: Tools
) -> None:
    rules = node(net, tools)
    await rules.apply(rules_on(*PODS))
    is_over = asyncio.Event()
    answered: Counter[str] = Counter()
    progress = asyncio.Semaphore(0)

    async def call(place: str) -> None:
        while not is_over.is_set():
            answered[(await net.ask(place, WEB))[0]] += 1
            progress.release()

    async with asyncio.TaskGroup() as tasks:
        for place in ("pod3", "node", "stranger"):
            tasks.create_task(call(place))
        for turn in range(24):
            async with asyncio.timeout(DEADLINE_S):
                for _ in range(6):
                    await progress.acquire()
            # Each third turn is a restart: a proxy that knows nothing of the one before.
            if turn % 3 == 2:
                rules = node(net, tools)
            await rules.apply(
                rules_on(*[("pod1", "pod2"), ("pod2", "pod3"), tuple(PODS)][turn % 3])
            )
        is_over.set()

    assert answered.keys() == PODS.keys()
    assert answered.total() >= 6 * 24


async def test_a_foreign_flush_is_repaired(net: Wires, tools: Tools) -> None:
    rules, wanted = node(net, tools), rules_on("pod1")
    await rules.apply(wanted)
    before = await saved(net, tools)
    await net.node.run([tools.restore], stdin=b"*nat\nCOMMIT\n")

    assert (await rules.check(wanted)).is_written
    assert await net.ask("node", WEB) == ("pod1", NODE_ADDRESS)
    assert [line for line in before if "CUBE-" in line] == [
        line for line in await saved(net, tools) if "CUBE-" in line
    ]


async def test_the_generation_of_a_real_kernel_moves_with_every_change_and_with_no_other(
    wires: Wires,
) -> None:
    def now() -> int | None:
        return wires.call("node", generation)

    rules = Iptables(wires.node, NFT, OWNER, now)
    await rules.apply(rules_on("pod1"))
    await rules.check(rules_on("pod1"))
    before = now()
    assert before is not None
    ran = len(wires.node.ran)
    assert not (await rules.check(rules_on("pod1"))).is_written
    assert len(wires.node.ran) == ran
    assert now() == before
    await wires.node.run(["iptables-nft", "-t", "nat", "-F", "PREROUTING"])

    assert now() != before
    assert (await rules.check(rules_on("pod1"))).is_written


async def test_t7_localhost_stays_where_it_is(net: Wires, tools: Tools) -> None:
    await node(net, tools).apply(rules_on(*PODS))

    done = await net.node.run(["sysctl", "-n", "net.ipv4.conf.all.route_localnet"])

    assert done.stdout.strip() == b"0"
