"""A real cluster on a lab, made by the very commands of a real machine; what tests ask of it."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.pod import is_ready as is_pod_ready
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.client.connect import ClientSettings, connect
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from lab.host.node import Ended
from lab.lab import Lab

CUBEROOT = (sys.executable, "-m", "cuberoot")
PKI = Path("etc/cubernetes/pki")
JOIN_WORDS = re.compile(r"cuberoot join (\S+) --token (\S+) --ca-hash (\S+)")
INIT_S, JOIN_S = 120.0, 120.0
CALLS_MIN = 20
# What a wait may take on a slow and busy machine before it counts as in vain.
PATIENCE_S = 60.0
LOOK_S_MIN, LOOK_S_MAX = 0.1, 0.5
# Between two calls: without it they take a whole core from the cluster that is to recover.
CALL_PAUSE_S = 0.02
# What a call of many may take: two lost packets are two, and a busy machine is none.
CALL_S = 5


class Cluster:
    """n1 is the control plane, the others are workers; all of them run pods."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names = [one.plan.name for one in lab.nodes]

    def is_made(self) -> bool:
        """True where the control plane has been initialised before."""
        return (self.lab.node("n1").root / "etc/cubernetes/cluster.json").exists()

    async def make(self) -> None:
        """Run init on the first node, join on the others."""
        said = await self.run("n1", [*CUBEROOT, "init"], deadline_s=INIT_S)
        for name in self.names[1:]:
            await self.join(name, said.stdout if name == self.names[1] else await self.new_token())

    async def new_token(self, *options: str) -> str:
        return (await self.run("n1", [*CUBEROOT, "token", "create", *options])).stdout

    async def join(self, name: str, words: str) -> Ended:
        """Run on a node the join command that words contain."""
        form = JOIN_WORDS.search(words)
        assert form, words
        server, token, pin = form.groups()
        argv = [*CUBEROOT, "join", server, "--token", token, "--ca-hash", pin]
        return await self.run(name, argv, deadline_s=JOIN_S)

    async def run(
        self, node: str, argv: Sequence[str], *, check: bool = True, deadline_s: float = 120.0
    ) -> Ended:
        return await self.lab.node(node).run(list(argv), check=check, deadline_s=deadline_s)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Give an administrator's client that asks from this machine."""
        root = self.lab.node("n1").root / PKI
        settings = ClientSettings(
            servers=(f"https://{self.lab.node('n1').address}:6443",),
            ca=str(root / "cluster-ca.crt"),
            cert=str(root / "admin.crt"),
            key=str(root / "admin.key"),
        )
        client = connect(settings, Env(), "e2e")
        try:
            yield client
        finally:
            await client.close()

    async def curl(self, node: str, url: str, *, limit_s: float = 2.0) -> str:
        """Ask from a node; return what came, or empty where nothing did in time.

        Who asks once, and not until there is an answer, gives PATIENCE_S.
        """
        argv = ["curl", "--silent", "--fail", "--max-time", str(limit_s), url]
        ended = await self.run(node, argv, check=False)
        return ended.stdout.strip() if ended.code == 0 else ""

    async def answers(self, node: str, url: str, count: int = 30) -> Counter[str]:
        """Ask count times with new connections; return how often each pod answered, by its name.

        The empty name counts what was not answered.
        """
        loop = f"for i in $(seq {count}); do curl -s -m {CALL_S} {url} || echo; done"
        ended = await self.run(node, ["sh", "-c", loop])
        return Counter((line.split() or [""])[0] for line in ended.stdout.splitlines())

    async def pid_of(self, node: str, program: str) -> int:
        """Return the pid of a program of ours on a node, as the node's supervisor knows it."""
        return (await self.pids_of(node, program))[program]

    async def pids_of(self, node: str, *programs: str) -> dict[str, int]:
        """Return the pid of each, by one question; 0 for what does not run at this moment."""
        argv = [
            sys.executable, "-m", "supervisor.supervisorctl",
            "-c", "/etc/cubernetes/supervisord.conf", "pid", *programs,
        ]  # fmt: skip
        # It ends with another code than 0 where one of them does not run.
        ended = await self.run(node, argv, check=False)
        return dict(zip(programs, map(int, ended.stdout.split()), strict=True))

    async def kill(self, node: str, *programs: str) -> dict[str, int]:
        """End programs of ours with -9, once they run; return their pids.

        Their supervisor starts them again.
        """
        pids: dict[str, int] = {}

        async def run() -> bool:
            pids.update(await self.pids_of(node, *programs))
            # One that does not run has the pid 0, and a kill of 0 ends all of whoever asks.
            return all(pids.values())

        await until(f"{', '.join(programs)} run on {node}", run)
        await self.run(node, ["kill", "-9", *map(str, pids.values())])
        return pids


async def until(
    what: str, look: Callable[[], Awaitable[object]], deadline_s: float = PATIENCE_S
) -> float:
    """Look until it is true; return after how many seconds. Fails with the last thing seen.

    deadline_s ends what will never be; it is no promise of how soon something is. What is long in
    coming is looked at less often: a look may start programs on a node, which is itself at work.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not (seen := await look()):
        waited_s = loop.time() - begun
        if waited_s > deadline_s:
            raise AssertionError(f"{what}: not within {deadline_s} s, last seen {seen!r}")
        await asyncio.sleep(min(max(LOOK_S_MIN, waited_s / 10), LOOK_S_MAX))
    return loop.time() - begun


async def ready_nodes(client: Client) -> list[str]:
    return [one.metadata.name for one in (await client.list(Node)).items if is_ready(one)]


async def ready_pods(client: Client, labels: str = "", namespace: str = "default") -> list[Pod]:
    listed = await client.list(Pod, namespace, labels=labels)
    return [one for one in listed.items if is_pod_ready(one)]


async def ready_addresses(client: Client, service: str) -> set[str]:
    """Return the addresses that a service of the default namespace leads to."""
    labels = f"kubernetes.io/service-name={service}"
    listed = await client.list(EndpointSlice, "default", labels=labels)
    return {
        address
        for one in listed.items
        for endpoint in one.endpoints
        if endpoint.conditions.ready
        for address in endpoint.addresses
    }


class Calls:
    """What became of calls that were made all the while."""

    def __init__(self) -> None:
        self.answered_count = 0
        self.failed_count = 0


@asynccontextmanager
async def steady_calls(cluster: Cluster, node: str, url: str) -> AsyncIterator[Calls]:
    """Call url from a node, one call after another, for the length of the block and until there
    were CALLS_MIN of them.

    The counts are there when the block has ended. A call fails that is not answered within
    CALL_S.
    """
    calls = Calls()
    flag = "/run/e2e-calls-stop"
    await cluster.run(node, ["rm", "-f", flag])
    loop = (
        f"n=0; until [ -e {flag} ] && [ $n -ge {CALLS_MIN} ]; do n=$((n+1)); "
        f"curl -sf -m {CALL_S} -o /dev/null {url} && echo ok || echo failed; "
        f"sleep {CALL_PAUSE_S}; done"
    )
    running = asyncio.ensure_future(cluster.run(node, ["sh", "-c", loop], deadline_s=300))
    try:
        yield calls
    finally:
        await cluster.run(node, ["touch", flag])
        ended = await running
        counted = Counter(ended.stdout.split())
        calls.answered_count, calls.failed_count = counted["ok"], counted["failed"]
