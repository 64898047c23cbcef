"""What the gateway's roads cost beside bare nginx: `sudo python -m bench.peers.gateway [HOSTS]`.

The same nginx, that of the gateway's image: with the configuration that the gateway writes for so
many hosts, and with as few lines as lead to a service at all, without a log. All are asked in turns
(A B B A ...) by Debian's wrk, and lead to another nginx that answers with a few bytes.
Counted is processor time of all of an nginx' processes: requests a second depend on who else is on
the machine. Everything happens in a network namespace of its own that ends with the program.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.ground.processes import cpu_s
from bench.ground.report import Figures, progress, show, spread
from bench.peers.names import TOOLS, found
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.cubernetes.dns import Dns, DnsPath, DnsSpec
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.roads import roads_of
from gateway.nginx.requestlog import RequestLog
from gateway.nginx.text import REQUEST_LOG, Facts, configuration_for
from gateway.nginx.tree import CONFIGURATION, TLS
from gateway.roads.compile import model_for
from tests.contract.gateway.world import INSIDE, ChrootNginx, reason_to_skip

HOSTS = 1_000
ROUNDS, SPAN_S, CONNECTIONS = 6, 4, 32
END_S, LOOK_S = 30.0, 0.05
SERVICE_PORT = 8080
PORTS = {"gateway": 8081, "bare": 8082, "bare_that_closes_first": 8083, "without_log": 8084}
HOST = "host-{}.example"

SERVICE = f"""\
user www-data; worker_processes 1; pid /run/service.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; server_tokens off;
  server {{ listen {SERVICE_PORT} backlog=4096; location / {{ return 200 "hello"; }} }}
}}
"""
BARE = """\
user www-data; worker_processes auto; pid /run/%d.pid;
events { worker_connections 8192; }
http {
  access_log off; server_tokens off; keepalive_requests 10000; %s
  server { listen %d; location / { proxy_pass http://127.0.0.1:%d; } }
}
"""
# As the gateway does, and nginx did until 1.29.7: else it is nginx that closes each connection to a
# service first, which saves a call and leaves it a port less for a minute.
CLOSING = "proxy_http_version 1.1; proxy_set_header Connection close;"


def gateway_text(host_count: int, http_port: int, log: str) -> bytes:
    """Return what the gateway writes: each host leads two paths to two services."""
    port = ServicePort(port=SERVICE_PORT)
    services = [
        Service(
            metadata=ObjectMeta(name=name, namespace="default"),
            spec=ServiceSpec(cluster_ip="127.0.0.1", ports=(port,)),
        )
        for name in ("first", "second")
    ]
    dnses = [
        Dns(
            metadata=ObjectMeta(name=f"host-{number}", namespace="default"),
            spec=DnsSpec(
                host=HOST.format(number),
                paths=tuple(
                    DnsPath(path=f"/{name}", service_name=name, service_port=SERVICE_PORT)
                    for name in ("first", "second")
                ),
            ),
        )
        for number in range(host_count)
    ]
    model = model_for(roads_of([], [], dnses), services)
    assert len(model.hosts) == host_count, model.problems
    # Further ports that must differ between two of them.
    facts = Facts(
        http_port=http_port, https_port=http_port + 1000, status_port=http_port + 2000, log=log
    )
    content = configuration_for(model, facts).content
    return content.replace(b"/run/nginx.pid", b"/run/%d.pid" % http_port)


def bare_text(port: int, more: str) -> bytes:
    return (BARE % (port, more, port, SERVICE_PORT)).encode()


@contextmanager
def an_nginx(root: Path, name: str, content: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """Run the image's nginx on the first core, with a configuration of its own."""
    folder = root / INSIDE / CONFIGURATION / name
    folder.mkdir(parents=True)
    (folder / "nginx.conf").write_bytes(content)
    path = f"/{INSIDE}/{CONFIGURATION}/{name}/nginx.conf"
    argv = ["taskset", "--cpu-list", "0", "chroot", str(root), "/usr/sbin/nginx",
            "-g", "daemon off;", "-c", path]  # fmt: skip
    with (root / "tmp" / f"{name}.said").open("ab") as said:
        process = subprocess.Popen(argv, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(END_S)


class Reader:
    """Reads the log as the gateway's program does, beside the load, and counts its lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._log, self._ended = path, RequestLog(), threading.Event()
        self.line_count = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        while True:
            # What was written before it was to end is read to the last line.
            is_ended = self._ended.is_set()
            while lines := self._log.take(self._path):
                self.line_count += len(lines)
                self._log.counted()
            if is_ended:
                return
            self._ended.wait(LOOK_S)


def wait_for(port: int, host: str) -> None:
    """Wait until a road answers 200."""
    until_s = time.perf_counter() + END_S
    while time.perf_counter() < until_s:
        request = f"GET /first HTTP/1.0\r\nHost: {host}\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=END_S) as client:
                client.sendall(request.encode())
                if b" 200 " in client.recv(4096):
                    return
        except OSError:
            pass
        time.sleep(LOOK_S)
    raise RuntimeError(f"no road at port {port}")


def processor_s(process: subprocess.Popen[bytes]) -> float:
    """Return the processor time of a master and of its workers."""
    own = Path("/proc") / str(process.pid)
    workers = (own / "task" / str(process.pid) / "children").read_text().split()
    return cpu_s(own) + sum(cpu_s(Path("/proc") / pid) for pid in workers)


class Asked(NamedTuple):
    """How many were answered, and how many a second of the nginx' processor."""

    answered_count: int
    rate: float


def asked(process: subprocess.Popen[bytes], port: int, host: str) -> Asked:
    """Ask for a while."""
    argv = ["taskset", "--cpu-list", str((os.cpu_count() or 1) - 1), found("wrk"), "-t1",
            f"-c{CONNECTIONS}", f"-d{SPAN_S}s", "-H", f"Host: {host}",
            f"http://127.0.0.1:{port}/first/some/path"]  # fmt: skip
    environment = os.environ | {"LD_LIBRARY_PATH": str(TOOLS / "lib" / "x86_64-linux-gnu")}
    before_s = processor_s(process)
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, check=True, timeout=SPAN_S + END_S
    )
    spent_s = processor_s(process) - before_s
    said = re.search(r"(\d+) requests in", done.stdout)
    if said is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"not every request was answered: {done.stdout}")
    return Asked(int(said[1]), int(said[1]) / spent_s)


def figures_of(host_count: int, root: Path) -> Figures:
    host = HOST.format(host_count // 2)
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(root / REQUEST_LOG.removeprefix("/")))
        stack.enter_context(an_nginx(root, "service", SERVICE.encode()))
        texts = {
            "gateway": gateway_text(host_count, PORTS["gateway"], Facts().log),
            "bare": bare_text(PORTS["bare"], CLOSING),
            "bare_that_closes_first": bare_text(PORTS["bare_that_closes_first"], ""),
            "without_log": gateway_text(host_count, PORTS["without_log"], "off"),
        }
        servers = {
            name: stack.enter_context(an_nginx(root, name, text)) for name, text in texts.items()
        }
        for port in PORTS.values():
            wait_for(port, host)
        told: dict[str, list[Asked]] = {name: [] for name in servers}
        for turn in range(ROUNDS):
            progress(f"turn {turn + 1} of {ROUNDS}")
            names = list(servers)
            for name in names if turn % 2 == 0 else reversed(names):
                told[name].append(asked(servers[name], PORTS[name], host))
    rates = {name: [one.rate for one in each] for name, each in told.items()}
    return {
        **{f"{name}_a_second_of_processor": spread(each, 0) for name, each in rates.items()},
        "share_of_bare": round(share_of(rates["gateway"], rates["bare"]), 3),
        **{
            f"share_of_bare_{name}": round(share_of(each, rates["bare"]), 3)
            for name, each in rates.items()
            if name not in ("gateway", "bare")
        },
        "requests_through_the_gateway": sum(one.answered_count for one in told["gateway"]),
        # Those that were asked when the load ended, and the first of all, are no part of the count.
        "lines_of_its_log": reader.line_count,
    }


def share_of(ours: Sequence[float], bare: Sequence[float]) -> float:
    """Return the middle of the shares of turns, each of two that ran one after the other."""
    return statistics.median(one / other for one, other in zip(ours, bare, strict=True))


def image_in(folder: Path) -> Path:
    """Unpack the gateway's image, and make what its container is given."""
    root = ChrootNginx(folder, 0).root
    (root / INSIDE / TLS).mkdir(parents=True)
    return root


def main() -> None:
    if reason := reason_to_skip():
        sys.exit(f"bench.peers.gateway {reason}")
    if not found("wrk"):
        sys.exit("bench.peers.gateway needs Debian's wrk, on PATH or unpacked into var/tools")
    (count,) = [int(one) for one in sys.argv[1:]] or [HOSTS]
    os.unshare(os.CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=END_S)
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as name:
        figures = figures_of(count, image_in(Path(name)))
    parameters = {"hosts": count, "rounds": ROUNDS, "seconds": SPAN_S, "connections": CONNECTIONS}
    show("gateway", parameters, figures)


if __name__ == "__main__":
    main()
