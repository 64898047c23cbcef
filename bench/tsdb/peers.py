"""The three databases as child processes on one core, all reached over loopback."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

READY_DEADLINE_S = 120.0
SERVER_CORE = str(max(os.sched_getaffinity(0)))


@dataclass
class Peer:
    """A running database. `folder` holds its data; `start_s` is how long it took to be ready."""

    name: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    start_s: float
    query_prefix: str = ""
    extra: dict[str, float] = field(default_factory=dict)

    def rss_bytes(self) -> int:
        """Return the resident memory of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_s(self) -> float:
        """Return the processor time that its living threads used so far, to the nanosecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def get(self, path: str, deadline_s: float = 120.0) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=deadline_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status < 300, (self.name, path, answer.status, body[:300])
            return body
        finally:
            connection.close()

    def post(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def kill(self) -> None:
        """End the process as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _command(name: str, folder: Path, port: int) -> tuple[list[str], str]:
    """Return how to start a database, and the path that answers 200 when it is ready."""
    address = f"127.0.0.1:{port}"
    match name:
        case "prometheus":
            settings = folder / "prometheus.yml"
            settings.write_text("global: {scrape_interval: 1h}\n")
            return [
                "prometheus",
                f"--config.file={settings}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
                "--web.enable-remote-write-receiver",
                "--web.enable-admin-api",
                "--log.level=error",
            ], "/-/ready"
        case "victoria-metrics":
            return [
                "victoria-metrics",
                f"-storageDataPath={folder}/data",
                f"-httpListenAddr={address}",
                "-retentionPeriod=10y",
                "-search.disableCache",
                "-search.latencyOffset=0s",
                "-loggerLevel=ERROR",
            ], "/health"
        case "cubernetes":
            settings = folder / "tsdb.json"
            settings.write_text(json.dumps({"data_dir": f"{folder}/data", "port": port}))
            return [sys.executable, "-m", "tsdb", "--settings", str(settings)], "/-/ready"
    raise ValueError(name)


PEERS = ("cubernetes", "prometheus", "victoria-metrics")


def available() -> list[str]:
    return [name for name in PEERS if name == "cubernetes" or shutil.which(name)]


def start(name: str, folder: Path) -> Peer:
    """Start a database on a folder, which may hold data, and wait until it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command, ready_path = _command(name, folder, port)
    # As an installation is: Python programs are compiled before, once for all starts of a bench.
    env = dict(os.environ, GOMAXPROCS="1", PYTHONPYCACHEPREFIX=str(folder.parent / "bytecode"))
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    began_s = time.perf_counter()
    log = (folder / "log").open("ab")
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command], stdout=log, stderr=log, env=env
    )
    log.close()
    while not _ready(port, ready_path):
        assert process.poll() is None, (name, (folder / "log").read_text()[-2000:])
        assert time.perf_counter() - began_s < READY_DEADLINE_S, name
        time.sleep(0.005)
    return Peer(name, port, folder, process, time.perf_counter() - began_s)


@contextmanager
def running(name: str, folder: Path) -> Iterator[Peer]:
    peer = start(name, folder)
    try:
        yield peer
    finally:
        if peer.process.poll() is None:
            peer.process.terminate()
            peer.process.wait(60)


def _ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return False
    else:
        return answer.status == 200
    finally:
        connection.close()


def folder_bytes(folder: Path) -> int:
    """Return what the files of a folder hold, each counted once."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
