"""Every backend of the service proxy does the same to real packets: one suite for all of them."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from cubernetes.api.core.service import ClientIPConfig, SessionAffinityConfig
from proxy.reset import reset
from tests.contract.network.wires import (
    DEADLINE_S,
    NODE_ADDRESS,
    PODS,
    STRANGER_ADDRESS,
    Wires,
    reason_to_skip,
)
from tests.contract.proxy.worlds import (
    BACKENDS,
    DNS,
    EMPTY,
    FOREIGN,
    WEB,
    Proxied,
    table_of,
    tools_of,
    web_on,
)
from tests.given import an_endpoint
from tests.unit.proxy.services.doors import FACTS, NODE_PORT, OUTER, POOLED, a_door
from tests.unit.proxy.services.doors import world as world_of_door

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run"),
]


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    return str(request.param)


@pytest.fixture
async def net(wires: Wires, name: str) -> AsyncIterator[Wires]:
    """Wires with servers, on a strict host that has rules of its own."""
    await wires.node.run([tools_of(name).restore, "--noflush"], stdin=FOREIGN.encode())
    async with wires.serving():
        yield wires


@pytest.fixture
def node(wires: Wires, name: str) -> Proxied:
    return Proxied(name, wires, FACTS)


async def test_w26_a_node_port_is_answered_for_the_node_a_pod_and_a_stranger(
    net: Wires, node: Proxied
) -> None:
    endpoints = [an_endpoint(PODS[pod], node="n1") for pod in ("pod1", "pod2")]
    await node.serve(world_of_door(a_door(), endpoints))
    for place in ("pod3", "pod1", "node", "stranger"):
        answers = [await net.ask(place, NODE_ADDRESS, NODE_PORT) for _ in range(20)]

        assert {who for who, _ in answers} <= {"pod1", "pod2"}
        assert {seen for _, seen in answers} == {NODE_ADDRESS}
    with pytest.raises(ConnectionRefusedError):
        await net.ask("node", "127.0.0.1", NODE_PORT)
    await node.serve(world_of_door(a_door(), []))
    for place in ("pod3", "node", "stranger"):
        with pytest.raises(ConnectionRefusedError):
            await net.ask(place, NODE_ADDRESS, NODE_PORT)


async def test_local_policy_shows_a_pod_its_real_client_and_drops_where_there_is_no_pod(
    net: Wires, node: Proxied
) -> None:
    local = a_door(external_traffic_policy="Local")
    here, elsewhere = an_endpoint(PODS["pod1"], node="n1"), an_endpoint(PODS["pod2"], node="n2")
    await node.serve(world_of_door(local, [here, elsewhere]))

    answers = {await net.ask("stranger", NODE_ADDRESS, NODE_PORT) for _ in range(10)}
    assert answers == {("pod1", STRANGER_ADDRESS)}
    await node.serve(world_of_door(local, [elsewhere]))
    with pytest.raises(TimeoutError):
        await net.ask("stranger", NODE_ADDRESS, NODE_PORT, deadline_s=0.5)
    assert (await net.ask("pod3", NODE_ADDRESS, NODE_PORT))[0] == "pod2"


async def test_w26_affinity_keeps_a_client_at_its_pod_in_a_real_kernel(
    net: Wires, node: Proxied
) -> None:
    endpoints = [an_endpoint(address, node="n1") for address in PODS.values()]
    sticky = a_door(session_affinity="ClientIP")
    await node.serve(world_of_door(sticky, endpoints))
    for place in ("pod3", "stranger"):
        who = {(await net.ask(place, WEB))[0] for _ in range(12)}
        assert len(who) == 1
        assert {(await net.ask(place, NODE_ADDRESS, NODE_PORT))[0] for _ in range(4)} == who


async def test_w26_connections_spread_over_ready_pods_from_everywhere(
    net: Wires, node: Proxied
) -> None:
    await node.serve(web_on("pod1", "pod2"))
    for place in ("pod3", "node", "stranger"):
        answers = [await net.ask(place, WEB) for _ in range(40)]

        # One in a hundred thousand runs has a pod with fewer than six of forty.
        spread = Counter(who for who, _ in answers)
        assert spread.keys() == {"pod1", "pod2"}
        assert min(spread.values()) >= 6
        # A pod is seen as itself; who comes from elsewhere, as the node.
        seen = PODS["pod3"] if place == "pod3" else NODE_ADDRESS
        assert {one for _, one in answers} == {seen}


async def test_w26_a_pod_reaches_itself_through_its_service(net: Wires, node: Proxied) -> None:
    await node.serve(web_on("pod1"))

    assert await net.ask("pod1", WEB) == ("pod1", NODE_ADDRESS)


@pytest.mark.parametrize("place", ["pod1", "node", "stranger"])
async def test_a_service_without_endpoints_refuses_at_once(
    net: Wires, node: Proxied, place: str
) -> None:
    await node.serve(web_on("pod1"))
    for port in (80, 81):
        # A refusal is an answer: where packets are dropped instead, asking ends with a timeout.
        with pytest.raises(ConnectionRefusedError):
            await net.ask(place, EMPTY, port)


async def test_udp_to_a_service_without_endpoints_is_refused_at_once(
    net: Wires, node: Proxied
) -> None:
    await node.serve(web_on("pod1"))
    with net.socket("pod2", socket.SOCK_DGRAM) as client:
        client.connect((EMPTY, 53))
        client.send(b"?")
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_recv(client, 100)


async def udp_answer(client: socket.socket) -> str:
    client.send(b"?")
    async with asyncio.timeout(60):
        answer = await asyncio.get_running_loop().sock_recv(client, 100)
    return answer.decode().partition(" ")[0]


@pytest.mark.parametrize("place", ["pod3", "stranger"])
async def test_a_udp_flow_leaves_an_endpoint_that_is_gone(
    net: Wires, node: Proxied, place: str
) -> None:
    await node.serve(web_on("pod1"))
    net.ip("stranger", f"route replace 10.96.0.0/16 via {NODE_ADDRESS}")
    with net.socket(place, socket.SOCK_DGRAM) as client:
        client.connect((DNS, 53))
        assert await udp_answer(client) == "pod1"

        # The same socket all the time: the kernel remembers the flow.
        await node.serve(web_on("pod1", "pod2"))
        assert await udp_answer(client) == "pod1"
        await node.serve(web_on("pod2"))
        assert await udp_answer(client) == "pod2"


async def test_w25_no_connection_fails_while_rules_change_and_the_proxy_restarts(
    net: Wires, node: Proxied
) -> None:
    await node.serve(web_on(*PODS))
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
                node.begin_anew()
            pods = [("pod1", "pod2"), ("pod2", "pod3"), tuple(PODS)][turn % 3]
            await node.serve(web_on(*pods))
        is_over.set()

    assert answered.keys() == PODS.keys()
    assert answered.total() >= 6 * 24


async def test_t7_localhost_stays_where_it_is(net: Wires, node: Proxied) -> None:
    await node.serve(web_on(*PODS))

    done = await net.node.run(["sysctl", "-n", "net.ipv4.conf.all.route_localnet"])

    assert done.stdout.strip() == b"0"


async def test_addresses_from_outside_answer_the_sources_that_may_come(
    net: Wires, node: Proxied
) -> None:
    for address in (OUTER, POOLED):
        net.ip("stranger", f"route add {address}/32 via {NODE_ADDRESS}")
    endpoints = [an_endpoint(PODS["pod1"], node="n1")]
    ranges = [("192.0.2.0/24",), ("203.0.113.0/24", "192.0.2.2/32"), ("0.0.0.0/0",), ()]
    for allowed in ranges:
        door = a_door("LoadBalancer", external_ips=(OUTER,), load_balancer_source_ranges=allowed)
        await node.serve(world_of_door(door, endpoints))
        for address in (OUTER, POOLED):
            assert await net.ask("stranger", address) == ("pod1", NODE_ADDRESS)

    far = a_door("LoadBalancer", external_ips=(OUTER,),
                 load_balancer_source_ranges=("203.0.113.0/24",))  # fmt: skip
    await node.serve(world_of_door(far, endpoints))
    assert (await net.ask("stranger", OUTER))[0] == "pod1"
    with pytest.raises(TimeoutError):
        await net.ask("stranger", POOLED, deadline_s=0.5)
    await node.serve(world_of_door(far, []))
    for address in (OUTER, POOLED):
        with pytest.raises(ConnectionRefusedError):
            await net.ask("stranger", address)


async def test_inner_local_policy_leads_to_pods_of_this_node_or_nowhere(
    net: Wires, node: Proxied
) -> None:
    local = a_door("ClusterIP", internal_traffic_policy="Local")
    here, away = an_endpoint(PODS["pod1"], node="n1"), an_endpoint(PODS["pod2"], node="n2")
    await node.serve(world_of_door(local, [here, away]))

    assert {await net.ask("pod3", WEB) for _ in range(8)} == {("pod1", PODS["pod3"])}
    await node.serve(world_of_door(local, [away]))
    with pytest.raises(TimeoutError):
        await net.ask("pod3", WEB, deadline_s=0.5)


async def test_a_client_leaves_a_pod_that_is_gone_and_others_keep_theirs(
    net: Wires, node: Proxied
) -> None:
    sticky = a_door(session_affinity="ClientIP")
    everywhere = [an_endpoint(address, node="n1") for address in PODS.values()]
    await node.serve(world_of_door(sticky, everywhere))
    had = {place: (await net.ask(place, WEB))[0] for place in ("pod3", "node", "stranger")}
    gone = had["node"]

    await node.serve(world_of_door(sticky, [
        an_endpoint(address, node="n1") for pod, address in PODS.items() if pod != gone
    ]))  # fmt: skip
    for place, pod in had.items():
        now = {(await net.ask(place, WEB))[0] for _ in range(6)}
        assert len(now) == 1
        assert now == {pod} or pod == gone
        assert gone not in now


async def test_a_client_that_was_away_for_the_timeout_is_spread_again(
    net: Wires, node: Proxied
) -> None:
    timeout = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=1))
    sticky = a_door(session_affinity="ClientIP", session_affinity_config=timeout)
    endpoints = [an_endpoint(address, node="n1") for address in PODS.values()]
    await node.serve(world_of_door(sticky, endpoints))
    answered = {(await net.ask("node", WEB))[0]}
    async with asyncio.timeout(60):
        while len(answered) < 2:
            # The pause is what is tested: a client that asks sooner keeps its pod.
            await asyncio.sleep(1.2)
            answered.add((await net.ask("node", WEB))[0])

    assert answered <= PODS.keys()


async def test_a_restarted_backend_finds_its_rules_and_writes_none(
    net: Wires, node: Proxied
) -> None:
    sticky = a_door(session_affinity="ClientIP", external_traffic_policy="Local")
    world = world_of_door(sticky, [an_endpoint(PODS["pod1"], node="n1")])
    assert (await node.serve(world)).is_written
    node.begin_anew()

    assert await node.backend.are_there()
    assert not (await node.serve(world)).is_written
    assert not (await node.backend.check()).is_written


async def test_a_node_without_rules_serves_by_those_of_its_checkpoint(
    net: Wires, node: Proxied, name: str
) -> None:
    await node.serve(web_on("pod1"))
    saved = node.backend.snapshot().encode()
    await reset(net.node, table_of(net))
    node.begin_anew()
    assert not await node.backend.are_there()

    await node.backend.restore(saved)

    assert await node.backend.are_there()
    assert (await net.ask("node", WEB))[0] == "pod1"
    # Nothing is known of the services yet: the first turn takes away what nobody wants.
    await node.serve(web_on("pod2"))
    assert (await net.ask("node", WEB))[0] == "pod2"
    other = "iptables-nft" if name == "nftables" else "nftables"
    node.begin_anew(other)
    with pytest.raises(ValueError, match="Object"):
        await node.backend.restore(saved)


async def test_reset_leaves_nothing_of_a_backend(net: Wires, node: Proxied) -> None:
    before = await node.all_rules()
    await node.serve(web_on(*PODS))
    assert await node.ours()

    await reset(net.node, table_of(net))
    await reset(net.node, table_of(net))

    assert await node.ours() == ""
    assert await node.all_rules() == before


@pytest.mark.parametrize(
    ("name", "other"),
    [("iptables-nft", "nftables"), ("nftables", "iptables-nft"),
     ("iptables-legacy", "nftables-legacy"), ("nftables-legacy", "iptables-legacy")],
)  # fmt: skip
async def test_a_backend_that_takes_over_loses_no_connection_and_leaves_nothing_behind(
    net: Wires, node: Proxied, name: str, other: str
) -> None:
    await node.serve(web_on("pod1"))
    await node.backend.check()
    alone = await node.ours()
    is_over = asyncio.Event()
    progress = asyncio.Semaphore(0)

    async def call(place: str) -> None:
        while not is_over.is_set():
            assert (await net.ask(place, WEB))[0] == "pod1"
            progress.release()

    async with asyncio.TaskGroup() as tasks:
        for place in ("pod3", "node", "stranger"):
            tasks.create_task(call(place))
        for backend in (other, name):
            async with asyncio.timeout(DEADLINE_S):
                for _ in range(6):
                    await progress.acquire()
            node.begin_anew(backend)
            await node.serve(web_on("pod1"))
        is_over.set()

    assert sorted((await node.ours()).splitlines()) == sorted(alone.splitlines())
