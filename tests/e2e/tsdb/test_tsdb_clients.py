"""Real clients against the real program: promtool, a Prometheus on both sides, and kill -9."""

import contextlib
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tsdb.budget import unlimited
from tsdb.columns.labels import key_of_dict, pairs_of
from tsdb.columns.matching import Matcher, Op
from tsdb.columns.selection import Selection
from tsdb.limits import Limits
from tsdb.select import Reader
from tsdb.storage.store import open_store
from tsdb.wire.remote import encode_request, snapped

HOUSE = Path(__file__).resolve().parents[3]
PATIENCE_S = 60.0
# How much is acknowledged before a program is killed.
ACKNOWLEDGED_MIN = 400
needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="Debian's prometheus is missing"
)


def get(url: str, **parameters: str) -> Any:
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}?{query}", timeout=PATIENCE_S) as answer:  # noqa: S310
        return answer.read()


def wait_for(condition: Callable[[], object], what: str, deadline_s: float = PATIENCE_S) -> None:
    until_s = time.monotonic() + deadline_s
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < until_s, what
        time.sleep(0.05)


@contextmanager
def child(command: list[str], ready_url: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=HOUSE, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: get(ready_url), f"{command[0]} did not become ready")
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def a_store(folder: Path, **settings: Any) -> Iterator[str]:
    """Run the program on a free port."""
    with a_process(folder, **settings) as (url, _):
        yield url


@contextmanager
def a_process(folder: Path, **settings: Any) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = folder / "settings.json"
    file.write_text(json.dumps({"data_dir": str(folder / "data"), "port": port, **settings}))
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tsdb", "--settings", str(file), "--log-level", "warning"]
    with child(command, f"{url}/-/ready") as process:
        yield url, process


def push(url: str, text: str) -> None:
    request = urllib.request.Request(f"{url}/api/v1/import/prometheus", text.encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
        assert answer.status == 204


def pushed_until_refused(url: str) -> int:
    """Push what does not compress until the store refuses; return the status it refuses with."""
    rng = random.Random(1)
    for _ in range(100):
        try:
            push(url, "".join(f"m{number} {rng.random()}\n" for number in range(900)))
        except urllib.error.HTTPError as error:
            with error:
                return error.code
    return 204


def is_pushed(url: str, text: str) -> bool:
    push(url, text)
    return True


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_store(tmp_path_factory.mktemp("store")) as url:
        now_ms = int(time.time() * 1000)
        for step in range(20):
            at_ms = now_ms - (20 - step) * 15_000
            push(url, f'm{{job="a"}} {step} {at_ms}\nm{{job="b"}} {2 * step} {at_ms}\n')
        yield url


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@needs_prometheus
@pytest.mark.prometheus
def test_an_instant_query(filled: str) -> None:
    assert "{} => 57" in promtool("query", "instant", filled, "sum(m)")


@needs_prometheus
@pytest.mark.prometheus
def test_a_range_query(filled: str) -> None:
    start = str(int(time.time()) - 120)
    told = promtool("query", "range", f"--start={start}", "--step=15s", filled, "rate(m[1m])")
    assert '{job="a"} =>' in told
    assert "0.0666" in told


@needs_prometheus
@pytest.mark.prometheus
def test_series(filled: str) -> None:
    told = promtool("query", "series", "--match=m", filled)
    assert '{__name__="m", job="a"}' in told


@needs_prometheus
@pytest.mark.prometheus
def test_labels(filled: str) -> None:
    assert promtool("query", "labels", filled, "job").split() == ["a", "b"]


@needs_prometheus
@pytest.mark.prometheus
def test_its_own_metrics_please_promtool(filled: str) -> None:
    text = get(f"{filled}/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@needs_prometheus
@pytest.mark.prometheus
def test_it_scrapes_us_and_writes_what_it_scraped_to_us(tmp_path: Path) -> None:
    with a_store(tmp_path / "store") as url:
        address = f"127.0.0.1:{free_port()}"
        store_address = url.removeprefix("http://")
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, external_labels: {via: prometheus}}\n"
            "scrape_configs:\n"
            "- job_name: tsdb\n"
            f"  static_configs: [{{targets: ['{store_address}']}}]\n"
            "- job_name: federated\n  metrics_path: /federate\n"
            "  params: {'match[]': ['cube_tsdb_blocks']}\n"
            f"  static_configs: [{{targets: ['{store_address}']}}]\n"
            "remote_write:\n"
            f"- url: {url}/api/v1/write\n"
            "  metadata_config: {send_interval: 1s}\n"
        )
        command = [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address={address}", "--log.level=error",
        ]  # fmt: skip
        with child(command, f"http://{address}/-/ready"):

            def counted(query: str) -> int:
                found = json.loads(get(f"{url}/api/v1/query", query=query))
                return len(found["data"]["result"])

            wait_for(
                lambda: counted('cube_tsdb_samples_total{job="tsdb",via="prometheus"}') >= 7,
                "nothing came back by remote write",
            )
            wait_for(lambda: counted('up{via="prometheus"} == 1') == 2, "a scrape is down")
            wait_for(
                lambda: "cube_tsdb_head_series" in str(get(f"{url}/api/v1/metadata")),
                "no metadata came",
            )
            wait_for(lambda: counted('count_over_time(up{job="tsdb"}[1m]) > 3'), "too few samples")
            theirs = get(f"http://{address}/api/v1/query", query='up{job="tsdb"}')
            assert len(json.loads(theirs)["data"]["result"]) == 1
            refused = get(f"{url}/api/v1/query", query="sum(up)")
            assert json.loads(refused)["status"] == "success"


@pytest.mark.prometheus
@pytest.mark.skipif(
    not shutil.which("victoria-metrics"),
    reason="no victoria-metrics on PATH: apt-get install victoria-metrics, or go install "
    "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v1.102.0",
)
def test_victoria_metrics_is_sent_everything_and_answers_for_the_past(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    engine, now_ms = f"http://{address}", int(time.time() * 1000)
    command = [
        "victoria-metrics",
        f"-storageDataPath={tmp_path / 'engine'}",
        f"-httpListenAddr={address}",
        "-search.latencyOffset=0s",
    ]
    remote = {
        "remote_write": [{"url": f"{engine}/api/v1/write", "flush_s": 0.1}],
        "remote_read": {"url": engine, "after_s": 600},
    }
    with child(command, f"{engine}/health"):
        old = "".join(f"old {step} {now_ms - 7_200_000 + 15_000 * step}\n" for step in range(40))
        request = urllib.request.Request(f"{engine}/api/v1/import/prometheus", old.encode())  # noqa: S310
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()  # noqa: S310
        with a_store(tmp_path / "store", **remote) as url:
            push(url, "".join(f'm{{i="{number}"}} {number} {now_ms}\n' for number in range(100)))
            wait_for(
                lambda: answered(engine, "sum(m)") == ["4950"] and answered(engine, "count(m)"),
                "samples did not come",
            )
            assert answered(engine, "count(m)") == ["100"]
            wait_for(
                lambda: answered(url, "count_over_time(old[3h])") == ["40"],
                "the past was not told",
            )
            assert answered(url, "sum(m)") == ["4950"]


def answered(url: str, query: str) -> list[str]:
    told = json.loads(get(f"{url}/api/v1/query", query=query))
    assert told["status"] == "success"
    return [one["value"][1] for one in told["data"]["result"]]


@dataclass
class Ledger:
    """What was sent, and what was acknowledged: by (series, time), the value."""

    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    acknowledged: set[tuple[str, int]] = field(default_factory=set)


def write_until_it_dies(url: str, ledger: Ledger, lane: int, times: Iterator[int]) -> None:
    """Send batches of one lane's series as fast as they are acknowledged.

    All lanes draw their times from one counter: none falls behind what is in blocks already.
    """
    host = url.removeprefix("http://")
    keys = {name: key_of_dict({"__name__": name}) for name in (f"l{lane}_{n}" for n in range(20))}
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    rng = random.Random(lane)
    with contextlib.closing(http.client.HTTPConnection(host, timeout=PATIENCE_S)) as connection:
        for at_ms in times:
            samples = {(name, at_ms): rng.random() for name in keys}
            ledger.sent |= samples
            series = [(keys[name], [(at, value)]) for (name, at), value in samples.items()]
            try:
                connection.request(
                    "POST", "/api/v1/write", snapped(encode_request(series)), headers
                )
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 503:
                return
            assert answer.status == 204
            ledger.acknowledged |= samples.keys()


def await_acknowledged(ledgers: list[Ledger], count: int) -> None:
    wait_for(
        lambda: sum(len(one.acknowledged) for one in ledgers) >= count,
        f"not {count} samples were acknowledged",
    )


def everything_in(folder: Path) -> dict[tuple[str, int], float]:
    store = open_store(folder, Limits(series=1000))
    every = [Matcher("__name__", Op.LIKE, ".+")]
    found: dict[tuple[str, int], float] = {}
    for answer in Reader(store).select(every, -(2**60), 2**60, unlimited()):
        if isinstance(answer, Selection):
            frame = answer.frame
            for row, key in enumerate(answer.keys):
                name = dict(pairs_of(key))["__name__"]
                lane = frame.lane_of[row]
                count = int(frame.counts[lane])
                for at, value in zip(
                    frame.times[lane, :count].tolist(),
                    frame.values[row, :count].tolist(),
                    strict=True,
                ):
                    found[name, at] = value
    store.close()
    return found


# Blocks of some hundred requests, or checkpoints of some ten, so that flushes and merges, or
# checkpoints, are under way when it dies.
SMALL_BLOCKS = {"block_span_s": 0.2, "out_of_order_s": 0.05, "compacted_span_s": 2.0}
SMALL_LOGS = {"checkpoint_bytes": 10_000}


@pytest.mark.parametrize(
    ("options", "made"),
    [(SMALL_BLOCKS, "blocks/*.blk"), (SMALL_LOGS, "log/checkpoint-*.log")],
    ids=["blocks", "checkpoints"],
)
def test_kill_9_under_load_loses_nothing_acknowledged_and_invents_nothing(
    tmp_path: Path, options: dict[str, float], made: str
) -> None:
    rng = random.Random(int(os.environ.get("CUBE_TEST_SEED", "9")))
    folder = tmp_path / "store"
    settings = {"options": options, "upkeep_interval_s": 0.01}
    ledgers = [Ledger() for _ in range(4)]
    first_ms = int(time.time() * 1000) - 3_000_000
    for life in range(5):
        with a_process(folder, limits={"series": 1000}, **settings) as (url, process):
            times = itertools.count(first_ms + life * 100_000)
            lanes = [
                threading.Thread(target=write_until_it_dies, args=(url, ledger, lane, times))
                for lane, ledger in enumerate(ledgers)
            ]
            for lane in lanes:
                lane.start()
            await_acknowledged(ledgers, ACKNOWLEDGED_MIN * (life + 1))
            time.sleep(rng.random())
            process.send_signal(signal.SIGKILL)
            for lane in lanes:
                lane.join()
    found = everything_in(folder / "data")
    sent = {name: value for ledger in ledgers for name, value in ledger.sent.items()}
    acknowledged = {name for ledger in ledgers for name in ledger.acknowledged}
    assert len(acknowledged) > 1000
    assert list((folder / "data").glob(made))
    assert acknowledged <= found.keys()
    assert all(bits(sent[name]) == bits(value) for name, value in found.items())


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a disk image needs root to be mounted")
def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """The file system is shut down under the running program, as by a power cut."""
    image, mount = tmp_path / "disk.img", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(mount)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no loop mount here: {mounted.stderr.decode()}")
    ledgers = [Ledger() for _ in range(3)]
    try:
        with a_process(mount / "store", limits={"series": 1000}) as (url, process):
            times = itertools.count(int(time.time() * 1000) - 2_000_000)
            lanes = [
                threading.Thread(target=write_until_it_dies, args=(url, ledger, lane, times))
                for lane, ledger in enumerate(ledgers)
            ]
            for lane in lanes:
                lane.start()
            await_acknowledged(ledgers, ACKNOWLEDGED_MIN)
            # Only what was acknowledged before the cut began counts: a sync that races with the
            # ioctl may return as if all were well (1 of 30 bare fsyncs did), which no power cut
            # can do to anybody who is still there to be told.
            acknowledged = {name for ledger in ledgers for name in ledger.acknowledged.copy()}
            shut_down(mount)
            process.send_signal(signal.SIGKILL)
            for lane in lanes:
                lane.join()
            # What the disk has at this moment. The file system below may live on for as long as
            # somebody else's namespace has a copy of its mount; the new one is of the copy.
            after = shutil.copy(image, tmp_path / "after.img")
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    subprocess.run(["mount", "-o", "loop", str(after), str(mount)], check=True)
    try:
        found = everything_in(mount / "store" / "data")
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    sent = {name: value for ledger in ledgers for name, value in ledger.sent.items()}
    assert acknowledged
    assert acknowledged <= found.keys()
    assert all(bits(sent[name]) == bits(value) for name, value in found.items())


def shut_down(mount: Path) -> None:
    """Stop a file system at once, without writing what it has not written (EXT4_IOC_SHUTDOWN)."""
    import fcntl

    no_log_flush = 2
    descriptor = os.open(mount, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", no_log_flush))
    finally:
        os.close(descriptor)


def test_a_full_disk_refuses_writes_serves_queries_and_recovers(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a tmpfs needs root to be mounted")
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], check=False
    )
    if done.returncode:
        pytest.skip("no tmpfs mount here")
    try:
        with a_store(mount / "store", limits={"series": 1000}) as url:
            push(url, "before 1\n")
            filler = mount / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            assert pushed_until_refused(url) == 503
            assert b'"1"' in get(f"{url}/api/v1/query", query="before")
            filler.unlink()
            wait_for(lambda: is_pushed(url, "after 2\n"), "it did not recover")
            assert b'"2"' in get(f"{url}/api/v1/query", query="after")
    finally:
        subprocess.run(["umount", str(mount)], check=True)
