"""How fast functions are, and functions-framework is, in the same run.

    python -m bench.peers.serverless [--framework PROGRAM] [--without-broker]

One process has the API server (its store in memory), the functions' program and a node whose pods
are runners as processes; its CPU is that of all of these, the API server and the node nearly idle.
Calls come from here, over loopback, without TLS, as they come from anybody. Durable calls go
through a real Kafka where `var/kafka` and Java are there, else through one in memory. PROGRAM is
`functions-framework` of https://github.com/GoogleCloudPlatform/functions-framework-python.
"""

import argparse
import asyncio
import itertools
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import uvloop

from bench.ground.load import Answer, connections, get, load, post
from bench.ground.processes import cpu_s
from bench.ground.report import ROOT, Figures, percentiles, progress, show, spread
from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from serverless.bus.bus import Bus
from serverless.bus.kafka import KafkaBus
from serverless.bus.memory import MemoryBus
from tests.contract.functions.brokers import Broker, reason_to_skip
from tests.contract.functions.world import World, functions_world, until

CODE = "def action(req):\n    return 'hello ' + req.param('name')\n"
PEERS_CODE = "def action(request):\n    return 'hello ' + request.args['name']\n"
TARGET = "/hello?name=x"
CLIENTS = (1, 16)
COUNT, DURABLE_COUNT, ROUNDS, COLD_ROUNDS, PEERS_ROUNDS = 1000, 200, 5, 20, 5
POOL_SIZE = 2
DEADLINE_S, LOOK_S = 60.0, 0.002
# How often the node looks for pods while calls are counted: its work is not theirs.
QUIET_S, COLD_LOOK_S = 2.0, 0.02


async def serve(folder: Path, *, has_broker: bool) -> None:
    """Serve until stdin ends. Each line names a function that is to be cold, and is answered."""
    async with AsyncExitStack() as stack:
        bus, name = _bus(folder, stack, has_broker=has_broker)
        made = functions_world(folder / "root", bus, None, pool_size=POOL_SIZE, look_interval_s=1.0)
        world = await stack.enter_async_context(made)
        await world.deploy("hello", CODE, concurrency=64, min_instances=1, max_instances=1)
        await world.loaded("hello")
        await world.route("hello", "/hello", "hello")
        world.node.look_s = QUIET_S
        await world.route("durable", "/durable", "hello", methods=("POST",), delivery="durable")
        print(world.platform.server.port, name, flush=True)
        while cold := (await asyncio.to_thread(sys.stdin.readline)).strip():
            await _make_cold(world, cold)
            print("cold", flush=True)


def _bus(folder: Path, stack: AsyncExitStack, *, has_broker: bool) -> tuple[Bus, str]:
    if not has_broker or reason_to_skip():
        return MemoryBus(SystemClock()), "memory"
    broker = Broker(folder)
    broker.begin()
    stack.callback(broker.kill)
    broker.await_answer()
    return KafkaBus(broker.access(), Env().blocking), "kafka"


async def _make_cold(world: World, name: str) -> None:
    """Make a function whose code is known to load, without an instance; wait for a full pool."""
    world.node.look_s = COLD_LOOK_S
    await world.deploy(name, CODE, idle_seconds=1)
    await world.loaded(name)
    await world.route(name, f"/{name}", name)

    async def is_cold() -> bool:
        return not await world.pods(name) and len(world.node.runners) == POOL_SIZE + 1

    await until(is_cold)


def directs(port: int, process: Path | None) -> Figures:
    """Calls of a function that has its instance."""
    return _rates(port, [get(TARGET)], COUNT, process)


def _rates(port: int, requests: Sequence[bytes], count: int, process: Path | None) -> Figures:
    figures: dict[str, object] = {}
    for client_count in CLIENTS:
        rounds = [
            asyncio.run(_round(port, client_count, requests, count, process)) for _ in range(ROUNDS)
        ]
        answers = [one for answers, _, _ in rounds for one in answers]
        figures[f"clients_{client_count}"] = {
            "per_s": spread([count / spent_s for _, spent_s, _ in rounds]),
            "ms": percentiles([one.total_ms for one in answers]),
            "cpu_us": spread([used_s / count * 1e6 for _, _, used_s in rounds]),
        }
    return figures


async def _round(
    port: int, client_count: int, requests: Sequence[bytes], count: int, process: Path | None
) -> tuple[list[Answer], float, float]:
    """Return the answers, how long they took, and the CPU time of the process that served."""
    async with connections(port, None, client_count) as wires:
        began_s, used_s = time.monotonic(), cpu_s(process) if process else 0.0
        sent = itertools.islice(itertools.cycle(requests), count)
        answers = await load(wires, sent, 200)
        return (
            answers,
            time.monotonic() - began_s,
            (cpu_s(process) if process else 0.0) - used_s,
        )


def colds(port: int, child: subprocess.Popen[str]) -> Figures:
    """The first call of a function that has no instance, and its code none to be read from."""
    assert child.stdin is not None
    assert child.stdout is not None
    spans_ms: list[float] = []
    for number in range(COLD_ROUNDS):
        child.stdin.write(f"cold{number}\n")
        child.stdin.flush()
        assert child.stdout.readline().strip() == "cold"
        request = [get(f"/cold{number}?name=x")]
        answers, _, _ = asyncio.run(_round(port, 1, request, 1, None))
        spans_ms += [one.total_ms for one in answers]
    return {"ms": percentiles(spans_ms)}


@contextmanager
def framework(program: str, folder: Path) -> Iterator[tuple[int, float]]:
    """Run the peer with the same function; yield its port, and how long its first answer took."""
    (folder / "main.py").write_text(PEERS_CODE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [program, "--target=action", f"--source={folder / 'main.py'}", f"--port={port}"]
    began_s = time.monotonic()
    with (folder / "peer.log").open("ab") as log:
        process = subprocess.Popen([*argv, "--host=127.0.0.1"], stdout=log, stderr=log)
    try:
        while not _answers(port):
            assert time.monotonic() < began_s + DEADLINE_S, (folder / "peer.log").read_text()
            time.sleep(LOOK_S)
        yield port, time.monotonic() - began_s
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _answers(port: int) -> bool:
    try:
        asyncio.run(_round(port, 1, [get(TARGET)], 1, None))
    except OSError:
        return False
    return True


def peers(program: str, folder: Path) -> Figures:
    """The peer: from nothing to its first answer, and as a server that is up."""
    starts_ms: list[float] = []
    for _ in range(PEERS_ROUNDS):
        with framework(program, folder) as (_, first_s):
            starts_ms.append(first_s * 1000)
    with framework(program, folder) as (port, _):
        return {"cold_ms": percentiles(starts_ms), "direct": directs(port, None)}


def measured(program: str, *, has_broker: bool) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        argv = [sys.executable, "-m", "bench.peers.serverless", "--serve", str(folder)]
        argv += [] if has_broker else ["--without-broker"]
        child = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(child.wait, DEADLINE_S)
        assert child.stdin is not None
        assert child.stdout is not None
        stack.callback(child.stdin.close)
        port_text, bus = child.stdout.readline().split()
        port, process = int(port_text), Path("/proc") / str(child.pid)
        figures: dict[str, object] = {}
        progress("warm direct calls")
        figures["direct"] = directs(port, process)
        progress(f"durable calls, bus: {bus}")
        body = [post("/durable?name=x", b"{}")]
        figures["durable"] = _rates(port, body, DURABLE_COUNT, process)
        progress("cold calls, from the pool")
        figures["cold"] = colds(port, child)
        if program:
            progress("functions-framework")
            figures["functions_framework"] = peers(program, folder)
        parameters = {"bus": bus, "count": COUNT, "rounds": ROUNDS, "cold_rounds": COLD_ROUNDS}
        show("serverless", parameters, figures)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.peers.serverless")
    parser.add_argument("--framework", default="", metavar="PROGRAM")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--without-broker", action="store_true")
    options = parser.parse_args()
    has_broker = not options.without_broker
    if options.serve:
        uvloop.run(serve(Path(options.serve), has_broker=has_broker))
    else:
        measured(options.framework, has_broker=has_broker)


if __name__ == "__main__":
    main()
