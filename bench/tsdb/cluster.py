"""What 5,000 pods on 100 nodes cost one store: `python -m bench.tsdb.cluster`.

A hundred paths of one program answer like kubelets, and the store reads each every second. Told are
the processor time of reading them, and that of the autoscalers' questions for every namespace, of
which one round is due each second; asked while the nodes are silent, so that each is told apart.
Where the targets or the store cannot keep up, reads_per_s is below the number of nodes.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.ground.processes import cpu_s, memory
from bench.ground.report import progress, show
from controllers.autoscaling.measured import question_of

NODES, PODS_OF_A_NODE, NAMESPACES = 100, 50, 50
TARGETS, STORE = "127.0.0.1:19111", "127.0.0.1:19190"
WARM_S, READ_S, SILENT_S = 10.0, 15.0, 3.0
DEADLINE_S = 60.0
FAMILIES = (
    "container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
    "container_start_time_seconds", "container_processes",
    "container_cpu_cfs_throttled_seconds_total", "container_oom_events_total",
    "pod_cpu_usage_seconds_total", "pod_memory_working_set_bytes",
)  # fmt: skip


def page(node: int, now_s: float) -> bytes:
    """Return what a kubelet says of its pods."""
    lines = []
    for family in FAMILIES:
        inner = 'container="main",' if family.startswith("container") else ""
        for pod in range(PODS_OF_A_NODE):
            space = (node * PODS_OF_A_NODE + pod) % NAMESPACES
            labels = f'{inner}namespace="n{space}",pod="web-{node}-{pod}"'
            lines.append(f"{family}{{{labels}}} {now_s * (1 + pod):.6f} {int(now_s * 1000)}")
    return ("\n".join(lines) + "\n").encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            node = int(head.split(b" ", 2)[1].removeprefix(b"/n"))
            body = page(node, time.time())
            said = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}"
            writer.write(said.encode() + b"\r\n\r\n" + body)
            await writer.drain()
    writer.close()


async def serve() -> None:
    host, port = TARGETS.split(":")
    server = await asyncio.start_server(answer, host, int(port))
    await server.serve_forever()


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *words], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def numbers_of(query: str, at_s: float) -> list[float]:
    """Return what a query of a moment finds, without its labels."""
    asked = urllib.parse.urlencode({"query": query, "time": at_s})
    with urllib.request.urlopen(f"http://{STORE}/api/v1/query?{asked}", timeout=DEADLINE_S) as told:
        return [float(one["value"][1]) for one in json.load(told)["data"]["result"]]


def figures_of(folder: Path) -> dict[str, object]:
    groups = [
        {"targets": [TARGETS], "labels": {"node": f"n{one}", "__metrics_path__": f"/n{one}"}}
        for one in range(NODES)
    ]
    job = {"name": "kubelets", "interval_s": 1, "timeout_s": 1, "groups": groups}
    port = int(STORE.split(":")[1])
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"data_dir": str(folder / "data"), "port": port,
                                    "fsync_interval_s": 1, "scrape": [job]}))  # fmt: skip
    with started("tsdb", "--settings", str(settings)) as store:
        process = Path(f"/proc/{store.pid}")
        with started("bench.tsdb.cluster", "--serve"):
            time.sleep(WARM_S)
            before_s, began_s = cpu_s(process), time.time()
            time.sleep(READ_S)
            ended_s = time.time()
            read_s = (cpu_s(process) - before_s) / (ended_s - began_s)
        time.sleep(SILENT_S)
        idle_s, began_s = cpu_s(process), time.time()
        time.sleep(SILENT_S)
        idle = (cpu_s(process) - idle_s) / (time.time() - began_s)
        before_s, began_s, found = cpu_s(process), time.time(), 0
        for one in range(NAMESPACES):
            found += len(numbers_of(question_of("cpu", f"n{one}").query, ended_s - 1))
        spent_s = time.time() - began_s
        asked_s = cpu_s(process) - before_s - idle * spent_s
        window = f"[{round(READ_S)}s]"
        reads = sum(numbers_of(f'count_over_time(up{{job="kubelets"}}{window})', ended_s - 1))
        return {
            "reads_per_s": round(reads / READ_S, 1),
            "reading_core_share": round(read_s, 3),
            "questions_processor_s": round(asked_s, 3),
            "questions_wall_s": round(spent_s, 3),
            "pods_answered": found,
            "rss_bytes": memory(process).rss_bytes,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the nodes")
    if parser.parse_args().serve:
        asyncio.run(serve())
        return
    progress("100 nodes are read every second, and every namespace is asked for")
    with tempfile.TemporaryDirectory() as folder:
        figures = figures_of(Path(folder))
    parameters = {"nodes": NODES, "pods": NODES * PODS_OF_A_NODE, "namespaces": NAMESPACES}
    show("tsdb.cluster", parameters, figures)


if __name__ == "__main__":
    main()
