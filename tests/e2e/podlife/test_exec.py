"""`exec` and `port-forward` on real nodes, by cubectl and kubectl, and what stays behind."""

import asyncio
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.conftest import finished
from tests.e2e.pods import (
    BUSYBOX,
    SLEEP,
    made_namespace,
    pod,
    removed_namespace,
    shell,
    until_phase,
)

pytestmark = [pytest.mark.lab]

ROOM = "exec"
DEADLINE_S = 120.0
MINOR_MIN = 31  # of kubectl's versions that ask by WebSocket
# A command whose like no other test runs, and that reads nothing.
MARK = "86413"
LONG = ("sleep", MARK)
BIG_BYTES = 20_000_000
# A server that only the pod itself can ask: from any other network there is no way to it.
PORT = 8099
# And one that others can ask.
OPEN_PORT = 8098
SERVE = (
    f"mkdir -p /srv; echo {MARK} > /srv/mark; httpd -p 127.0.0.1:{PORT} -h /srv; "
    f"httpd -p {OPEN_PORT} -h /srv; "
)


@dataclass(frozen=True)
class Tool:
    """A command line for the cluster."""

    argv: Sequence[str]
    environment: dict[str, str]

    @asynccontextmanager
    async def started(
        self, *words: str, stdin: int = subprocess.PIPE
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.argv, *words, stdin=stdin, stdout=pipe, stderr=pipe, env=self.environment
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def __call__(self, *words: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        async with self.started(*words) as process, asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate(stdin)
            return process.returncode or 0, out, err


def kubectl_or_skip() -> str:
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("no kubectl on this machine")
    argv = [found, "version", "--client", "-o", "json"]
    told = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    minor = int(told["clientVersion"]["minor"].rstrip("+"))
    if minor < MINOR_MIN:
        pytest.skip(f"kubectl 1.{minor} asks by SPDY: 1.{MINOR_MIN} or later is needed")
    return found


@pytest.fixture(params=["cubectl", "kubectl"])
def tool(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Tool:
    argv = [sys.executable, "-m", "cubectl"] if request.param == "cubectl" else [kubectl_or_skip()]
    own = {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path), "TERM": "xterm"}
    return Tool([*argv, "-n", ROOM], {**os.environ, **own})


@pytest.fixture(scope="module", autouse=True)
def box(cluster: Cluster) -> Iterator[None]:
    """A pod on the last node: the way there leads over another machine."""

    async def make() -> None:
        async with cluster.client() as client:
            await made_namespace(client, ROOM)
            one = pod("box", [shell(SERVE + SLEEP)], namespace=ROOM, nodeName=cluster.names[-1])
            await client.create(one)
            await until_phase(client, "box", "Running", namespace=ROOM)

    async def unmake() -> None:
        async with cluster.client() as client:
            await removed_namespace(client, ROOM)

    finished(make())
    yield
    finished(unmake())


async def test_streams_stay_apart_and_the_exit_code_is_the_commands(tool: Tool) -> None:
    code, out, err = await tool("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (code, out) == (3, b"out\n")
    assert err.startswith(b"err\n")
    assert b"exit code 3" in err
    assert await tool("exec", "box", "--", "true") == (0, b"", b"")
    code, out, err = await tool("exec", "box", "--", "no-such-command")
    assert code == 127
    assert b"no-such-command" in out + err


async def test_twenty_megabytes_go_in_and_come_back_and_the_end_of_stdin_ends_it(
    tool: Tool,
) -> None:
    block = hashlib.sha256(b"exec").digest() * 1000
    text = (block * (BIG_BYTES // len(block) + 1))[:BIG_BYTES]
    code, out, err = await tool("exec", "-i", "box", "--", "cat", stdin=text)
    assert (code, err) == (0, b"")
    assert len(out) == len(text)
    assert hashlib.sha256(out).digest() == hashlib.sha256(text).digest()


async def test_a_command_at_a_terminal_has_one(tool: Tool) -> None:
    ours, theirs = pty.openpty()
    try:
        words = ("exec", "-it", "box", "--", "sh", "-c", "test -t 0 && test -t 1 && exit 7")
        async with tool.started(*words, stdin=theirs) as process, asyncio.timeout(DEADLINE_S):
            await process.communicate()
            assert process.returncode == 7
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_debug_container_is_among_the_processes_of_its_target(
    tool: Tool, cluster: Cluster
) -> None:
    name = "look-cubectl" if "cubectl" in tool.argv else "look-kubectl"
    script = "read word; echo $word; cat /proc/1/root/srv/mark; exit 0"
    words = ("debug", "-i", "box", "--image", BUSYBOX, "--target", "main", "-c", name,
             "--profile", "general")  # fmt: skip
    code, out, err = await tool(*words, "--", "sh", "-c", script, stdin=b"heard\n")
    assert code == 0, err
    # The target's server has been told this; nobody else on the node can read its files.
    assert MARK.encode() in out.partition(b"heard")[2], (out, err)

    async with cluster.client() as client:
        box = await client.get(Pod, "box", ROOM)
        assert box.status.phase == "Running"
        (ours,) = (one for one in box.status.ephemeral_container_statuses if one.name == name)
        assert (ours.ready, ours.restart_count) == (False, 0)
    code, out, err = await tool("logs", "box", "-c", name)
    assert (code, b"heard" in out) == (0, True), err


@pytest.mark.parametrize("protocol", ["websocket", "spdy"])
async def test_a_pod_that_is_run_at_our_console_hears_us_and_goes_with_us(
    tool: Tool, protocol: str
) -> None:
    """kubectl before 1.31 knows SPDY alone; later ones ask by it where they are told so."""
    if protocol == "spdy" and "cubectl" in tool.argv:
        pytest.skip("cubectl asks by WebSocket alone")
    told = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"} if protocol == "spdy" else {}
    client = Tool(tool.argv, {**tool.environment, **told})
    script = "read word; echo heard $word; read word; echo heard $word; exit 3"
    words = ("run", "-i", "--rm", "-q", "heard", "--image", BUSYBOX, "--restart", "Never")
    code, out, err = await client(*words, "--", "sh", "-c", script, stdin=b"one\ntwo\n")
    assert (code, b"heard one\nheard two\n" in out) == (3, True), (out, err)
    code, out, _ = await client("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 4")
    assert (code, out) == (4, b"out\n")

    async def is_gone() -> bool:  # a client deletes it, and does not wait
        return (await client("get", "pod", "heard"))[0] == 1

    await until("the pod is gone", is_gone)


async def test_a_port_of_the_pods_localhost_is_led_here(tool: Tool) -> None:
    async with tool.started("port-forward", "box", f":{PORT}") as process:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = (await process.stdout.readline()).decode()
            local = int(line.removeprefix("Forwarding from 127.0.0.1:").split()[0])
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                writer.write(b"GET /mark HTTP/1.0\r\n\r\n")
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert answer.endswith(f"\r\n\r\n{MARK}\n".encode())
                writer.close()


async def test_what_a_pod_serves_is_reached_through_the_api_and_its_localhost_is_not(
    cluster: Cluster, tool: Tool
) -> None:
    place = f"/api/v1/namespaces/{ROOM}"
    name = f"way-{Path(tool.argv[-3]).name}"
    ports = ("--tcp", f"80:{OPEN_PORT}")
    code, _, err = await tool("create", "service", "clusterip", name, *ports)
    assert code == 0, err
    code, _, err = await tool("set", "selector", "service", name, "app=box")
    assert code == 0, err

    async def through_the_service() -> bool:
        spot = f"{place}/services/http:{name}:80/proxy/mark"
        return await tool("get", "--raw", spot) == (0, f"{MARK}\n".encode(), b"")

    await until("the service has its endpoint", through_the_service)
    pod = await tool("get", "--raw", f"{place}/pods/box:{OPEN_PORT}/proxy/mark")
    assert pod == (0, f"{MARK}\n".encode(), b"")
    code, _, err = await tool("get", "--raw", f"{place}/pods/box:{PORT}/proxy/mark")
    assert (code, b"connection refused" in err) == (1, True), err
    for node in cluster.names:
        told = await tool("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz")
        assert told[:2] == (0, b"ok"), told


async def commands_of(cluster: Cluster) -> int:
    """Return how many of the long commands run on the pod's node."""
    ended = await cluster.run(cluster.names[-1], ["ps", "ax", "-o", "args="])
    return sum(line.strip() == " ".join(LONG) for line in ended.stdout.splitlines())


async def until_running(cluster: Cluster, count: int) -> None:
    async def holds() -> bool:
        return await commands_of(cluster) == count

    await until(f"{count} of the long commands run", holds, DEADLINE_S)


async def channels_of(cluster: Cluster, node: str, program: str) -> int:
    """Return how many sockets and pipes a program has open.

    Not its files: a kubelet keeps those of a pod's control groups from its first measuring on.
    """
    pid = await cluster.pid_of(node, program)
    listed = (await cluster.run(node, ["ls", "-l", f"/proc/{pid}/fd"])).stdout
    return listed.count("-> socket:") + listed.count("-> pipe:")


# The kernel ends the connections of a client that is killed, whatever client it was.
@pytest.mark.parametrize("tool", ["cubectl"], indirect=True)
async def test_a_client_that_is_killed_leaves_nothing_behind(cluster: Cluster, tool: Tool) -> None:
    last = cluster.names[-1]
    before = [await channels_of(cluster, *one) for one in (("n1", "apiserver"), (last, "kubelet"))]
    for _ in range(3):
        async with tool.started("exec", "-i", "box", "--", *LONG) as process:
            await until_running(cluster, 1)
            process.kill()
        await until_running(cluster, 0)

    async def is_as_before() -> bool:
        # Watches and logs come and go: no more than one or two.
        server = await channels_of(cluster, "n1", "apiserver")
        kubelet = await channels_of(cluster, last, "kubelet")
        return server <= before[0] + 2 and kubelet <= before[1] + 2

    await until("no socket or pipe is left", is_as_before, DEADLINE_S)


# Each client once and each program once: both ends of the way are in tests/contract/api/streams.
@pytest.mark.parametrize(
    ("tool", "program"), [("cubectl", "kubelet"), ("kubectl", "apiserver")], indirect=["tool"]
)
async def test_who_vanishes_on_the_way_is_an_error_to_the_client(
    cluster: Cluster, client: Client, tool: Tool, program: str
) -> None:
    node = "n1" if program == "apiserver" else cluster.names[-1]
    try:
        async with tool.started("exec", "-i", "box", "--", *LONG) as process:
            await until_running(cluster, 1)
            await cluster.kill(node, program)
            async with asyncio.timeout(DEADLINE_S):
                _, err = await process.communicate()
            assert process.returncode not in (0, None)
            assert err
    finally:
        # Of a kubelet that is killed the runtime hears nothing: the command stays, as Kubernetes'
        # does; the next test counts its own.
        left = ["pkill", "-f", f"^{' '.join(LONG)}$"]
        await cluster.run(cluster.names[-1], left, check=False)
    await until_running(cluster, 0)

    async def serves() -> bool:
        with suppress(TimeoutError):
            return (await tool("exec", "box", "--", "true"))[0] == 0
        return False

    await until("exec is served again", serves, 3 * DEADLINE_S)
