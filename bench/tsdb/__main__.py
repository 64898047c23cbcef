"""`python -m bench.tsdb`: ours beside Prometheus and VictoriaMetrics, figures as JSON.

Every server runs on one core and the sender on another; rounds go forth and back through the peers
(ABBA), and the median is told, because the machine is shared.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np

from bench.ground.report import progress, show
from bench.tsdb.datasets import DATASETS, STEP_MS, dataset
from bench.tsdb.peers import Peer, available, folder_bytes, running, start
from bench.tsdb.streams import Stream, key_for, send, stream
from tsdb.budget import unlimited
from tsdb.limits import Limits
from tsdb.query import Engine
from tsdb.select import Reader
from tsdb.steps import finished
from tsdb.storage.store import open_store

SPAN_MS = 7_200_000

type Figures = dict[str, dict[str, float]]
REGULAR = [name for name in DATASETS if name != "random_gauges"]


def rounds(names: list[str], count: int) -> list[str]:
    """Return the order of runs: forth, back, forth."""
    order: list[str] = []
    for number in range(count):
        order += names if number % 2 == 0 else list(reversed(names))
    return order


def fresh(root: Path, name: str) -> Path:
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def ingest(root: Path, names: list[str], scale: float) -> Figures:
    """Remote write of one counter stream: samples a second of wall time and of processor time."""
    found = stream("request_counters", 4000, int(250 * scale), now_ms())
    wall: dict[str, list[float]] = {name: [] for name in names}
    busy: dict[str, list[float]] = {name: [] for name in names}
    for name in rounds(names, 3):
        with running(name, fresh(root, name)) as peer:
            before_s = peer.cpu_s()
            wall[name].append(found.sample_count / send(peer.port, found))
            busy[name].append(found.sample_count / max(0.01, peer.cpu_s() - before_s))
    return {
        "remote_write_samples_per_s": medians(wall),
        "remote_write_samples_per_cpu_s": medians(busy),
    }


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items() if values}


def batch_path(root: Path, scale: float) -> Figures:
    """The in-process path: columns of 10,000 series, synced after each batch."""
    samples = int(400 * scale)
    matrix = dataset("request_counters", 10_000, samples)
    columns = [np.ascontiguousarray(matrix[:, at]) for at in range(samples)]
    rates, busy = [], []
    for _ in range(3):
        store = open_store(fresh(root, "batch"))
        keys = [key_for("bench_batch_total", number) for number in range(10_000)]
        refs = np.array([store.ref(key) for key in keys])
        now = now_ms()
        began_s, busy_s = time.perf_counter(), time.process_time()
        for at, values in enumerate(columns):
            store.append(refs, np.full(10_000, now + at * 1000), values, 2**60)
            store.sync()
        rates.append(matrix.size / (time.perf_counter() - began_s))
        busy.append(matrix.size / (time.process_time() - busy_s))
        store.close()
    return {
        "batch_samples_per_s": {"cubernetes": statistics.median(rates)},
        "batch_samples_per_cpu_s": {"cubernetes": statistics.median(busy)},
    }


def disk(root: Path, names: list[str], scale: float) -> Figures:
    """Bytes a sample at rest, index included, for each data set: 1,000 series, four hours."""
    figures: Figures = {}
    for kind in DATASETS:
        found = stream(kind, 1000, int(960 * scale), now_ms())
        figures[f"bytes_per_sample_{kind}"] = {
            name: bytes_at_rest(root, name, found) / found.sample_count for name in names
        }
    return figures


def bytes_at_rest(root: Path, name: str, found: Stream) -> int:
    folder = fresh(root, name)
    with running(name, folder) as peer:
        send(peer.port, found)
        if name == "prometheus":
            # A snapshot holds everything as compressed blocks, the head too.
            peer.post("/api/v1/admin/tsdb/snapshot")
            return folder_bytes(folder / "data" / "snapshots")
        if name == "victoria-metrics":
            peer.get("/internal/force_flush")
            peer.get("/internal/force_merge")
            time.sleep(3)
            return folder_bytes(folder / "data" / "data") + folder_bytes(folder / "data/indexdb")
    store = open_store(folder / "data")
    for _ in store.flush_all():
        pass
    size = sum(block.size_bytes for block in store.blocks)
    store.close()
    return size


def memory(root: Path, names: list[str], scale: float) -> Figures:
    """Resident memory with 100,000 series of 20 samples each, and without any."""
    count = int(100_000 * scale)
    found = stream("request_counters", count, 20, now_ms(), lanes=40)
    merged = [list(chain.from_iterable(found.lanes[lane::4])) for lane in range(4)]
    found = Stream(merged, found.sample_count)
    figures: Figures = {"rss_empty_bytes": {}, "rss_100k_series_bytes": {}}
    for name in names:
        with running(name, fresh(root, name)) as peer:
            figures["rss_empty_bytes"][name] = peer.rss_bytes()
            send(peer.port, found)
            time.sleep(2)
            figures["rss_100k_series_bytes"][name] = peer.rss_bytes()
    figures["rss_bytes_per_series"] = {
        name: (figures["rss_100k_series_bytes"][name] - figures["rss_empty_bytes"][name]) / count
        for name in names
    }
    return figures


QUERIES = {
    "sum_rate_1m_instant": ("sum(rate({m}[1m]))", False),
    "sum_rate_1m_range_1h": ("sum(rate({m}[1m]))", True),
    "quantile_rate_range_1h": ("quantile(0.9, rate({m}[5m]))", True),
    "rate_1000_rows_range_1h": ("rate({m}[5m])", True),
    "one_series_instant": ('{m}{{pod="web-00000-x7f0k"}}', False),
}


def queries(root: Path, names: list[str], repeats: int) -> Figures:
    """Latency of queries over 1,000 series and one hour at 15 s, in milliseconds over HTTP."""
    end_ms = now_ms() // STEP_MS * STEP_MS
    found = stream("request_counters", 1000, 300, end_ms)
    peers = [start(name, fresh(root, name)) for name in names]
    try:
        for peer in peers:
            send(peer.port, found)
        time.sleep(2)
        figures: Figures = {}
        for label, (text, is_range) in QUERIES.items():
            spent: dict[str, list[float]] = {name: [] for name in names}
            busy: dict[str, list[float]] = {name: [] for name in names}
            path = query_path(text.format(m="bench_request_counters_total"), is_range, end_ms)
            for number in range(repeats):
                for peer in peers if number % 2 == 0 else reversed(peers):
                    before_s = peer.cpu_s()
                    spent[peer.name].append(timed(peer, path))
                    busy[peer.name].append((peer.cpu_s() - before_s) * 1000)
            figures[f"query_{label}_ms"] = medians(spent)
            figures[f"query_{label}_cpu_ms"] = medians(busy)
        return figures
    finally:
        for peer in peers:
            peer.process.terminate()
            peer.process.wait(60)


def query_path(text: str, is_range: bool, end_ms: int) -> str:
    end_s = end_ms // 1000
    if is_range:
        asked = {"query": text, "start": end_s - 3600, "end": end_s, "step": 15}
        return f"/api/v1/query_range?{urllib.parse.urlencode(asked)}&nocache=1"
    return f"/api/v1/query?{urllib.parse.urlencode({'query': text, 'time': end_s})}&nocache=1"


def timed(peer: Peer, path: str) -> float:
    began_s = time.perf_counter()
    body = peer.get(path)
    spent_ms = (time.perf_counter() - began_s) * 1000
    assert b'"result":[]' not in body, (peer.name, path, body[:300])
    return spent_ms


def in_process(root: Path) -> Figures:
    """The same instant query without HTTP."""
    store = open_store(fresh(root, "in-process"))
    matrix = dataset("request_counters", 1000, 300)
    refs = np.array([store.ref(key_for("bench_q_total", number)) for number in range(1000)])
    end_ms = now_ms()
    for at in range(300):
        times = np.full(1000, end_ms - (299 - at) * STEP_MS)
        store.append(refs, times, np.ascontiguousarray(matrix[:, at]), 2**60)
    engine = Engine(Reader(store), Limits())
    text = "sum(rate(bench_q_total[1m]))"
    spent = []
    for _ in range(300):
        began_s = time.perf_counter()
        finished(engine.instant(text, end_ms, unlimited()))
        spent.append((time.perf_counter() - began_s) * 1000)
    store.close()
    return {"query_sum_rate_1m_in_process_ms": {"cubernetes": statistics.median(spent)}}


def opening(root: Path, names: list[str], scale: float) -> Figures:
    """Seconds from the start to readiness after a kill -9, with ten million samples in the log."""
    # Two hours from the beginning of a block's span on: or a part would be in blocks already.
    samples = int(500 * scale)
    end_ms = (now_ms() - samples * STEP_MS) // SPAN_MS * SPAN_MS + samples * STEP_MS
    found = stream("request_counters", 20_000, samples, end_ms, lanes=20)
    found = Stream(
        [list(chain.from_iterable(zip(*found.lanes[lane::4], strict=True))) for lane in range(4)],
        found.sample_count,
    )
    figures: Figures = {
        "open_after_crash_s": {},
        "open_after_crash_cpu_s": {},
        "log_bytes_per_sample": {},
    }
    for name in names:
        folder = fresh(root, name)
        peer = start(name, folder)
        send(peer.port, found)
        peer.kill()
        logs = {"cubernetes": "data/log", "prometheus": "data/wal"}.get(name)
        if logs:
            size = folder_bytes(folder / logs)
            figures["log_bytes_per_sample"][name] = size / found.sample_count
        peer = start(name, folder)
        figures["open_after_crash_s"][name] = peer.start_s
        figures["open_after_crash_cpu_s"][name] = peer.cpu_s()
        peer.process.terminate()
        peer.process.wait(120)
    return figures


def now_ms() -> int:
    return int(time.time() * 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--only", default="", help="parts by name, with commas")
    options = parser.parse_args()
    scale = 0.1 if options.quick else 1.0
    names = available()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-tsdb-") as folder:
        root = Path(folder)
        parts: dict[str, Callable[[], Figures]] = {
            "ingest": lambda: ingest(root, names, scale),
            "batch": lambda: batch_path(root, scale),
            "queries": lambda: queries(root, names, 5 if options.quick else 21),
            "in-process": lambda: in_process(root),
            "disk": lambda: disk(root, names, scale),
            "memory": lambda: memory(root, names, scale),
            "opening": lambda: opening(root, names, scale),
        }
        chosen = options.only.split(",") if options.only else list(parts)
        for part in chosen:
            found = parts[part]()
            figures |= found
            for label, values in found.items():
                told = "  ".join(f"{name} {value:,.4g}" for name, value in values.items())
                progress(f"{label:36} {told}")
    show("tsdb", {"peers": names, "scale": scale, "parts": chosen}, figures)


if __name__ == "__main__":
    main()
