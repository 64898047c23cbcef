"""A node, its pods and a stranger as network namespaces of this machine, and sockets inside them.

Pods are routed as the kubelet's driver routes them: a /32 each, behind a point-to-point veth pair.
Everything is made under names of our own and removed again; the machine's own network is not
touched.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from cubernetes.host.command import Completed, SystemCommands

NODE_ADDRESS, STRANGER_ADDRESS = "192.0.2.1", "192.0.2.2"
PODS = {"pod1": "10.244.1.2", "pod2": "10.244.1.3", "pod3": "10.244.1.4"}
PORT = 8080
DEADLINE_S = 60.0


def reason_to_skip() -> str:
    """Return why this machine cannot make namespaces; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "iptables-nft-restore", "iptables-legacy-restore", "conntrack"):
        if not any(Path(folder, program).exists() for folder in ("/usr/sbin", "/sbin", "/usr/bin")):
            return f"{program} is missing"
    return ""


class Inside:
    """Commands that run in a network namespace."""

    def __init__(self, namespace: str) -> None:
        self._prefix = ("ip", "netns", "exec", namespace)
        self.ran: list[tuple[str, ...]] = []

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 60.0
    ) -> Completed:
        self.ran.append(tuple(argv))
        whole = [*self._prefix, *argv]
        return await SystemCommands().run(whole, stdin=stdin, deadline_s=deadline_s)


class Wires:
    """Namespaces `node`, `pod1`.. and `stranger`, wired; every pod says who it is on PORT."""

    def __init__(self) -> None:
        self._prefix = f"cube-{os.getpid()}-"
        self._names: list[str] = []
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self.node = Inside(self._prefix + "node")

    def build(self) -> None:
        for name in ("node", "stranger", *PODS):
            _ip(f"netns add {self._prefix}{name}")
            self._names.append(name)
            self.ip(name, "link set lo up")
        self._wire("stranger")
        self.ip("node", f"addr add {NODE_ADDRESS}/24 dev stranger")
        self.ip("stranger", f"addr add {STRANGER_ADDRESS}/24 dev eth0")
        self.ip("node", f"route add default via {STRANGER_ADDRESS}")
        self.ip("stranger", f"route add 10.96.0.0/16 via {NODE_ADDRESS}")
        for pod, address in PODS.items():
            self._wire(pod)
            self.ip("node", f"route add {address}/32 dev {pod}")
            self.set("node", f"net/ipv4/conf/{pod}/proxy_arp", "1")
            self.ip(pod, f"addr add {address}/32 dev eth0")
            self.ip(pod, "route add 169.254.1.1 dev eth0 scope link")
            self.ip(pod, "route add default via 169.254.1.1")
        self.set("node", "net/ipv4/ip_forward", "1")

    def remove(self) -> None:
        for thread in self._threads.values():
            thread.shutdown()
        for name in reversed(self._names):
            _ip(f"netns del {self._prefix}{name}")

    def ip(self, name: str, words: str) -> None:
        _ip(f"-n {self._prefix}{name} {words}")

    def set(self, name: str, key: str, value: str) -> None:
        self.call(name, lambda: Path("/proc/sys", key).write_text(value))

    def _wire(self, name: str) -> None:
        """Join a namespace to the node: eth0 there, an interface of its name on the node."""
        ends = (
            f"{name} netns {self._prefix}node type veth peer name eth0 netns {self._prefix}{name}"
        )
        _ip(f"link add {ends}")
        self.ip("node", f"link set {name} up")
        self.ip(name, "link set eth0 up")

    def call[T](self, name: str, work: Callable[[], T]) -> T:
        """Call work in a namespace: in a thread that lives there."""
        if name not in self._threads:
            enter = partial(_enter, Path("/run/netns", self._prefix + name))
            self._threads[name] = ThreadPoolExecutor(1, initializer=enter)
        return self._threads[name].submit(work).result(DEADLINE_S)

    def socket(self, name: str, kind: socket.SocketKind) -> socket.socket:
        """Return a socket that lives in a namespace, whoever uses it."""
        made = self.call(name, lambda: socket.socket(socket.AF_INET, kind))
        made.setblocking(False)
        return made

    async def ask(
        self, name: str, address: str, port: int = 80, deadline_s: float = DEADLINE_S
    ) -> tuple[str, str]:
        """Connect from a namespace; return who answered, and as whom it saw us."""
        with self.socket(name, socket.SOCK_STREAM) as client:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(deadline_s):
                await loop.sock_connect(client, (address, port))
                answer = (await loop.sock_recv(client, 200)).decode()
        who, _, seen = answer.partition(" ")
        return who, seen

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Let every pod answer on TCP and UDP PORT with its name and its client's address."""
        async with AsyncExitStack() as stack:
            for pod in PODS:
                await self._serve_tcp(pod, stack)
                await self._serve_udp(pod, stack)
            yield

    async def _serve_tcp(self, pod: str, stack: AsyncExitStack) -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"{pod} {writer.get_extra_info('peername')[0]}".encode())
            writer.close()

        listening = self.socket(pod, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("0.0.0.0", PORT))
        server = await asyncio.start_server(answer, sock=listening, backlog=256)
        stack.callback(server.close)

    async def _serve_udp(self, pod: str, stack: AsyncExitStack) -> None:
        bound = self.socket(pod, socket.SOCK_DGRAM)
        bound.bind(("0.0.0.0", PORT))
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Echo(pod), sock=bound)
        stack.callback(transport.close)


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(f"{self._pod} {addr[0]}".encode(), addr)


def _enter(namespace: Path) -> None:
    with namespace.open() as file:
        os.setns(file.fileno(), os.CLONE_NEWNET)


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, timeout=60)
