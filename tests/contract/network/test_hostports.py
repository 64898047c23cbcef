"""UDP flows to a node's port follow its pods, whenever they began; with both kinds of iptables."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort
from cubernetes.api.meta import replaced
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.iptables import Tools
from kubelet.ports.hostports import IptablesHostPorts
from tests.contract.network.wires import (
    DEADLINE_S,
    NODE_ADDRESS,
    PODS,
    PORT,
    STRANGER_ADDRESS,
    Wires,
    reason_to_skip,
)
from tests.given import a_container, a_pod

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run"),
]

HOST_PORT = 5353
# A rule of somebody else, by which the kind of iptables in use is known.
FOREIGN = "*nat\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\nCOMMIT\n"


def a_dns_pod(name: str) -> Pod:
    port = ContainerPort(container_port=PORT, host_port=HOST_PORT, protocol="UDP")
    pod = a_pod(name)
    return replaced(pod, spec=replaced(pod.spec, containers=(a_container(ports=(port,)),)))


@pytest.fixture
async def ports(wires: Wires, tools: Tools) -> AsyncIterator[IptablesHostPorts]:
    """The ports of a node with pods that answer, on a host that has rules of its own."""
    await wires.node.run([tools.restore, "--noflush"], stdin=FOREIGN.encode())
    made = IptablesHostPorts(Env(commands=wires.node), lambda: [NODE_ADDRESS])
    made.expect(())
    async with wires.serving():
        task = asyncio.create_task(made.run())
        yield made
        task.cancel()
        await asyncio.wait([task])


async def answer_to(client: socket.socket) -> str:
    """Ask once; return who answered, empty where nobody did."""
    try:
        client.send(b"?")
        async with asyncio.timeout(0.2):
            answer = (await asyncio.get_running_loop().sock_recv(client, 100)).decode()
    except (TimeoutError, ConnectionRefusedError):
        return ""
    return answer.partition(" ")[0]


async def until_answered_by(client: socket.socket, pod: str) -> None:
    """Send from one socket all the while, as a client that keeps its port does."""
    async with asyncio.timeout(2 * DEADLINE_S):
        while True:
            if await answer_to(client) == pod:
                return


async def test_a_sender_that_keeps_its_port_follows_the_pods(
    wires: Wires, ports: IptablesHostPorts
) -> None:
    with wires.socket("stranger", socket.SOCK_DGRAM) as client:
        client.bind((STRANGER_ADDRESS, 40053))
        client.connect((NODE_ADDRESS, HOST_PORT))
        # It begins before there is a pod: the kernel remembers a flow that goes nowhere.
        assert [await answer_to(client) for _ in range(3)] == [""] * 3

        first, second = a_dns_pod("first"), a_dns_pod("second")
        ports.lead(first, PODS["pod1"])
        await until_answered_by(client, "pod1")
        ports.drop(first.metadata.uid, PODS["pod1"])
        ports.lead(second, PODS["pod2"])
        await until_answered_by(client, "pod2")
