"""A Docker engine of the tests' own: own folder, own socket, own containerd, no network of its own.

Ended by pid, and nothing of it stays: no process, mount, cgroup or file.
"""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

READY_MAX_S = 60.0
END_MAX_S = 20.0
BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "sleep", "tail", "cat", "echo", "kill", "id", "hostname", "nslookup", "true")


def reason_to_skip() -> str:
    """Return why no private engine can run here, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in ("dockerd", "containerd", "runc") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)} on PATH"
    return "" if BUSYBOX.exists() else f"needs {BUSYBOX} (package busybox-static)"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class PrivateDocker:
    """One dockerd with live-restore, which tests may kill and start again."""

    def __init__(self) -> None:
        # Not the usual temporary folder: overlay2 needs a real filesystem below.
        self.folder = Path(tempfile.mkdtemp(prefix="cube-docker-", dir="/var/tmp"))
        self.socket = self.folder / "sock"
        self.cgroup_root = self.folder.name
        (self.folder / "config.json").write_text("{}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The engine's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def containerd_pid(self) -> int:
        """The process of the engine's containerd."""
        return int((self.folder / "exec/containerd/containerd.pid").read_text())

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        self._forget_the_dead(self.folder / "pid")
        self._forget_the_dead(self.folder / "exec/containerd/containerd.pid")
        argv = ["dockerd", "--live-restore", "--bridge=none", "--iptables=false"]
        argv += ["--ip-masq=false", "--storage-driver=overlay2", f"--host=unix://{self.socket}"]
        argv += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        argv += [f"--pidfile={self.folder}/pid", f"--config-file={self.folder}/config.json"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        self._wait(lambda: self._answers(), READY_MAX_S, "the engine does not answer")

    def kill(self) -> None:
        """End the engine as a crash does; its containers live on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        # Its containerd goes with it, by the kernel's hand, a moment later.
        pid = self.containerd_pid
        self._wait(lambda: not _is_alive(pid), END_MAX_S, "containerd outlives its engine")

    def remove(self) -> None:
        """End the engine and everything that it ever made."""
        assert self._process is not None
        if self._process.poll() is not None:
            self.start()
        for row in json.loads(self.request("GET", "/containers/json?all=1")):
            self.request("DELETE", f"/containers/{row['Id']}?force=1&v=1")
        containerd = self.containerd_pid
        self._process.terminate()
        self._process.wait(END_MAX_S)
        if _is_alive(containerd):
            os.kill(containerd, signal.SIGTERM)
            self._wait(lambda: not _is_alive(containerd), END_MAX_S, "containerd stays")
        for mount in reversed(_mounts_under(self.folder)):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder)
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            _remove_groups(hierarchy / self.cgroup_root)
        _remove_groups(Path("/sys/fs/cgroup") / self.cgroup_root)

    def add_image(self, name: str, *changes: str) -> None:
        """Make an image of busybox and nothing else."""
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as tar:
            tar.add(BUSYBOX.resolve(), "bin/busybox")
            for applet in APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        repository, tag = name.split(":")
        query = [("fromSrc", "-"), ("repo", repository), ("tag", tag)]
        query += [("changes", change) for change in changes]
        self.request("POST", f"/images/create?{urlencode(query)}", held.getvalue())

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Ask the engine behind the driver's back."""
        connection = _UnixConnection(self.socket)
        try:
            kind = "application/x-tar" if "/images/" in path else "application/json"
            connection.request(method, f"/v1.41{path}", body or None, {"Content-Type": kind})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, content
        return content

    @staticmethod
    def _forget_the_dead(pid_file: Path) -> None:
        """Remove the pid file of a process that has ended, as whoever starts a daemon must.

        Docker takes a dead process that nobody has reaped yet for a living one.
        """
        if pid_file.exists() and not _is_alive(int(pid_file.read_text())):
            pid_file.unlink()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return self.request("GET", "/_ping") == b"OK"
        except OSError:
            return False

    @staticmethod
    def _wait(holds: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        give_up_s = time.monotonic() + limit_s
        while not holds():
            assert time.monotonic() < give_up_s, otherwise
            time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _mounts_under(folder: Path) -> list[str]:
    rows = Path("/proc/mounts").read_text().splitlines()
    return [row.split()[1] for row in rows if row.split()[1].startswith(f"{folder}/")]


def _remove_groups(group: Path) -> None:
    if group.is_dir():
        for below in sorted(group.rglob("*"), reverse=True):
            if below.is_dir():
                below.rmdir()
        group.rmdir()
