"""Every backend of the service proxy does the same to real packets: one suite for all of them."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.contract.backend_worlds import (
    BACKENDS,
    DNS,
    EMPTY,
    FOREIGN,
    WEB,
    Proxied,
    tools_of,
    web_on,
)
from tests.contract.wires import (
    DEADLINE_S,
    NODE_ADDRESS,
    PODS,
    STRANGER_ADDRESS,
    Wires,
    reason_to_skip,
)
from tests.given import an_endpoint
from tests.unit.proxy.doors import FACTS, NODE_PORT, a_door
from tests.unit.proxy.doors import world as world_of_door

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
