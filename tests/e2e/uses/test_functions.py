"""Functions on real nodes: woken, reloaded, back to zero, with calls that outlive their broker."""

import asyncio
import sys
from pathlib import Path

import pytest

from cubernetes.api.core.namespace import Namespace
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from serverless.bus.bus import Topic
from serverless.bus.kafka import KafkaBus
from serverless.settings import BusSettings
from tests.e2e.cluster import CUBEROOT, PKI, Cluster, until
from tests.e2e.tours import toured
from tests.house.sources import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(700)]

NODE = "n1"
INSTANCES = "cube-serverless"
ENABLED_S, DONE_S, SURVIVED_S, TOURED_S = 300.0, 60.0, 120.0, 300.0


async def cubectl(kubeconfig: Path, *words: str) -> str:
    """Run cubectl as a person would; return what it prints."""
    argv = [sys.executable, "-m", "cubectl", "--kubeconfig", str(kubeconfig), *words]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DONE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def tried(kubeconfig: Path, *words: str) -> str:
    """Run cubectl; return what it prints, empty where it fails."""
    try:
        return await cubectl(kubeconfig, *words)
    except AssertionError:
        return ""


async def ask(cluster: Cluster, path: str) -> str:
    """Return what the gateway answers this machine: the code, and the text."""
    url = f"http://{cluster.lab.node(NODE).address}:6810{path}"
    argv = ["curl", "-s", "-m", "60", "-w", " %{http_code}", url]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    text, _, code = out.decode().rpartition(" ")
    return f"{code} {text.strip()}".strip()


async def test_functions_are_woken_by_calls_reloaded_under_them_and_go_to_zero(
    cluster: Cluster, client: Client, kubeconfig: Path, tmp_path: Path
) -> None:
    """W30, W32: the first call was lost; new code interrupted calls."""
    ended = await cluster.run(NODE, [*CUBEROOT, "enable", "serverless"], deadline_s=ENABLED_S)
    assert "serverless is enabled" in ended.stdout
    try:
        await _toured(cluster, kubeconfig)
        await _survived(cluster, kubeconfig, tmp_path)
    finally:
        await cluster.run(NODE, [*CUBEROOT, "disable", "serverless"], deadline_s=ENABLED_S)

    async def is_gone() -> bool:
        names = {one.metadata.name for one in (await client.list(Namespace)).items}
        return INSTANCES not in names

    await until("the instances and their namespace are gone", is_gone, DONE_S)
    assert await ask(cluster, "/greeting") == "000"
    await cluster.run(NODE, ["test", "!", "-e", "/var/lib/cubernetes/kafka"])
    left = await cluster.run(NODE, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
    assert "kafka.Kafka" not in left.stdout


async def _toured(cluster: Cluster, kubeconfig: Path) -> None:
    """Woken, chained, loaded anew under calls, from zero to many and back, the page."""
    said = await toured(cluster, kubeconfig, "tour-serverless", TOURED_S)
    assert "The tour of functions is done" in said
    assert await cubectl(kubeconfig, "function", "invoke", "greeting") == "v2\n"


def outside(cluster: Cluster) -> KafkaBus:
    """Return a client of the broker from outside, with an administrator's certificate."""
    node = cluster.lab.node(NODE)
    access = BusSettings(
        brokers=(f"{node.address}:9092",),
        ca=str(node.root / PKI / "cluster-ca.crt"),
        cert=str(node.root / PKI / "admin.crt"),
        key=str(node.root / PKI / "admin.key"),
    )
    return KafkaBus(access, Env().blocking)


async def _survived(cluster: Cluster, kubeconfig: Path, folder: Path) -> None:
    """What was accepted and what others wrote is called, though broker and platform are killed.

    W37: the broker was a single point where calls were lost.
    """
    code = folder / "work.py"
    code.write_text("def action(req):\n    return 'done ' + req.body()\n")
    await cubectl(kubeconfig, "function", "deploy", "work", str(code))
    invoke = ["function", "invoke", "work", "--async", "-d"]
    calls = [(await cubectl(kubeconfig, *invoke, str(number))).strip() for number in range(5)]
    bus = outside(cluster)
    await bus.make(Topic("orders", 1))
    for kind in ("sale", "return", "sale"):
        await bus.write("orders", b"shop-1", b'{"kind": "%s", "amount": 3}' % kind.encode())
    for program in ("kafka", "serverless"):
        await cluster.kill(NODE, program)
    await bus.close()
    await cubectl(kubeconfig, "apply", "-f", str(ROOT / "examples" / "trigger.yaml"))
    for number, call in enumerate(calls):
        answers: list[str] = []

        async def is_ended(call: str = call, answers: list[str] = answers) -> bool:
            argv = ["function", "result", call, "--wait", "5"]
            answers.append(await tried(kubeconfig, *argv))
            return bool(answers[-1])

        await until(f"call {number} has ended", is_ended, SURVIVED_S)
        assert answers[-1] == f"done {number}\n"

    async def are_counted() -> bool:
        said = await tried(kubeconfig, "function", "logs", "counter")
        return said.count("shop-1: 3 (") == 2

    await until("each sale has been counted once", are_counted, SURVIVED_S)
    await cubectl(kubeconfig, "delete", "function/work", "function/counter", "trigger/orders")
