"""The real API server over TLS, before a real etcd with mTLS, each a process on loopback.

The etcd has the settings that cuberoot gives it, writes to disk, and begins empty.
"""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from apiserver.settings import Limits, Settings
from bench.ground.report import ROOT
from cubernetes.host.settings import settings_bytes
from cuberoot.pki import Signed, new_ca, new_cert
from cuberoot.program import Identity

LOOPBACK = "127.0.0.1"
START_DEADLINE_S = 30.0
LOOK_EVERY_S = 0.005
ASKER = Identity("system:apiserver")
ADMIN = Identity("kubernetes-admin", ("system:masters",))
# More than any bench asks of one user, and of history.
LIMITS = Limits(watches_per_user_max=4000)


class Served:
    """An API server that answers, and how to start it anew."""

    def __init__(self, folder: Path, port: int, argv: Sequence[str], tls: ssl.SSLContext) -> None:
        self.port = port
        # Of a client that is the cluster's administrator.
        self.tls = tls
        # With the administrator's certificate in it.
        self.folder = str(folder)
        self._folder = folder
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def proc(self) -> Path:
        assert self._process is not None
        return Path("/proc") / str(self._process.pid)

    def start(self) -> float:
        """Start the server; return how many seconds later it was ready."""
        begun = time.perf_counter()
        with (self._folder / "apiserver.log").open("ab") as said:
            self._process = subprocess.Popen(self._argv, cwd=ROOT, stdout=said, stderr=said)
        while not self._is_ready():
            self._check_alive(begun)
            time.sleep(LOOK_EVERY_S)
        return time.perf_counter() - begun

    def end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_DEADLINE_S)
            self._process = None

    def _is_ready(self) -> bool:
        ask = b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
        try:
            with (
                socket.create_connection((LOOPBACK, self.port), timeout=5) as plain,
                self.tls.wrap_socket(plain, server_hostname=LOOPBACK) as wire,
            ):
                wire.sendall(ask)
                return wire.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def _check_alive(self, begun: float) -> None:
        assert self._process is not None
        is_late = time.perf_counter() - begun > START_DEADLINE_S
        if is_late or self._process.poll() is not None:
            said = (self._folder / "apiserver.log").read_text()[-2000:]
            raise RuntimeError(f"the API server does not start: {said}")


@contextmanager
def serving(core: int, output_port: int = 0) -> Iterator[Served]:
    """Run an empty cluster's API server on one core of this machine; etcd may use any.

    output_port: where the program of GPU jobs tells outputs; 0: nowhere.
    """
    if shutil.which("etcd") is None:
        sys.exit("no etcd on PATH (scripts/setup installs it)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-api-")))
        api_port, etcd_port, peer_port = free_ports(3)
        ca = write_certificates(folder)
        etcd = subprocess.Popen(
            etcd_argv(folder, etcd_port, peer_port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(etcd.wait, START_DEADLINE_S)
        stack.callback(etcd.terminate)
        file = folder / "apiserver.json"
        told = settings_for(folder, api_port, etcd_port)
        if output_port:
            told = replace(told, jobs_url=f"https://{LOOPBACK}:{output_port}")
        file.write_bytes(settings_bytes(told))
        argv = [
            "taskset", "--cpu-list", str(core),
            sys.executable, "-m", "apiserver", "--settings", str(file),
        ]  # fmt: skip
        served = Served(folder, api_port, argv, tls_of(folder, ca))
        stack.callback(served.end, signal.SIGTERM)
        served.start()
        yield served


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that are free now; all are held until the last is found."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def write_certificates(folder: Path) -> Signed:
    """Write a CA and what it has signed for the server, for etcd and for the administrator."""
    now = datetime.now(UTC)
    ca = new_ca("bench-ca", now)
    server = Identity("bench", addresses=(LOOPBACK,), is_server=True)
    for name, identity in {"server": server, "admin": ADMIN, "asker": ASKER}.items():
        write_pair(folder, name, new_cert(identity, ca, now))
    write_pair(folder, "ca", ca)
    return ca


def write_pair(folder: Path, name: str, signed: Signed) -> None:
    (folder / f"{name}.crt").write_bytes(signed.cert)
    key = folder / f"{name}.key"
    key.touch(mode=0o600)
    key.write_bytes(signed.key)


def tls_of(folder: Path, ca: Signed) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.cert.decode())
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return context


def settings_for(folder: Path, port: int, etcd_port: int) -> Settings:
    ca, cert, key = (str(folder / name) for name in ("ca.crt", "server.crt", "server.key"))
    return Settings(
        listen_address=LOOPBACK,
        listen_port=port,
        # Where nobody is: an endpoint on loopback would be refused, and none is used here.
        advertise_addresses=("192.0.2.1",),
        cert=cert,
        key=key,
        client_ca=ca,
        etcd_servers=(f"{LOOPBACK}:{etcd_port}",),
        etcd_ca=ca,
        etcd_cert=cert,
        etcd_key=key,
        limits=LIMITS,
        kubelet_ca=ca,
        kubelet_cert=str(folder / "asker.crt"),
        kubelet_key=str(folder / "asker.key"),
    )


def etcd_argv(folder: Path, port: int, peer_port: int) -> list[str]:
    """Return etcd's command line, with the times and limits of cuberoot's."""
    client, peer = f"https://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{peer_port}"
    options = {
        "name": "bench",
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"bench={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": str(folder / "ca.crt"),
        "cert-file": str(folder / "server.crt"),
        "key-file": str(folder / "server.key"),
        "heartbeat-interval": "10",
        "election-timeout": "50",
        "quota-backend-bytes": str(2 << 30),
        "max-txn-ops": "128",
        "log-level": "error",
    }
    return ["etcd", *(f"--{name}={value}" for name, value in options.items())]


def write_kubeconfig(folder: Path, served: Served) -> Path:
    """Write the administrator's kubeconfig into a folder; return the file."""
    keys = Path(served.folder)
    cluster = {
        "server": f"https://{LOOPBACK}:{served.port}",
        "certificate-authority": str(keys / "ca.crt"),
    }
    user = {"client-certificate": str(keys / "admin.crt"), "client-key": str(keys / "admin.key")}
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": user}],
    }
    file = folder / "config"
    file.touch(mode=0o600)
    file.write_text(json.dumps(tree))
    return file
