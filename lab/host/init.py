"""PID 1 of a node host: waits for its cable, keeps Docker running, boots what is installed.

It buries every orphan, as PID 1 must. TERM is the power button: orderly, services first. A
program at /etc/cubernetes/boot is started at boot, once Docker answers, and again when it fails.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cubernetes.host.clock import Clock, SystemClock
from cubernetes.host.timing.backoff import backoff_s
from lab.host.cgroup import LEAF, V2_CONTROLLERS
from lab.host.spec import IN_NODE, NodeSpec
from lab.host.systemd import ENGINE_OOM_SCORE, become_systemd

BOOT = Path("/etc/cubernetes/boot")
DOCKER_SOCKET = "/run/docker.sock"
DOCKER_PID = Path("/run/docker.pid")
CGROUP = Path("/sys/fs/cgroup")
# An address of documentation (RFC 5737): reached by the default route, the last part of a cable.
ELSEWHERE = "192.0.2.1"
TICK_S = 0.02
SETTLE_DEADLINE_S = 20
STOP_GRACE_S = 10.0
# A service that ran this long was healthy: its next failure counts as the first.
HEALTHY_S = 30.0
AWAITED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


@dataclass
class Service:
    """One supervised program. pid 0 means that it does not run; it starts once due_at came."""

    argv: Sequence[str]
    log: str
    pid: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    failure_count: int = 0
    is_done: bool = False


class Init:
    """The services of one boot and the loop that keeps them."""

    def __init__(self, path: str, clock: Clock) -> None:
        self.clock = clock
        self.environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
        self.docker = Service(("dockerd",), "/var/log/dockerd.log")
        self.boot = Service((str(BOOT),), "/var/log/cubernetes-boot.log")
        # What is installed while the node runs was started by its installer, not by this boot.
        self.boot.is_done = not os.access(BOOT, os.X_OK)
        self.is_docker_ready = False

    def run(self) -> None:
        """Serve until the power button."""
        while self.step():
            pass

    def step(self) -> bool:
        """Start what is due, wait for one event, bury the dead; False means: power off."""
        now = self.clock.monotonic()
        self.is_docker_ready = self.is_docker_ready or _answers(DOCKER_SOCKET)
        for service in (self.docker, self.boot):
            is_wanted = service is self.docker or self.is_docker_ready
            if is_wanted and not service.is_done and not service.pid and now >= service.due_at:
                self.start(service)
        is_settled = (
            self.is_docker_ready and self.docker.pid and (self.boot.pid or self.boot.is_done)
        )
        told = signal.sigtimedwait(AWAITED, 3600.0 if is_settled else TICK_S)
        self.bury()
        return told is None or told.si_signo == signal.SIGCHLD

    def start(self, service: Service) -> None:
        """Start a service in its own session, with its output in its log."""
        if service is self.docker:
            # The old number may by now belong to another process, and dockerd would refuse.
            DOCKER_PID.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        service.started_at = self.clock.monotonic()
        try:
            service.pid = os.posix_spawnp(
                service.argv[0],
                list(service.argv),
                self.environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 1, service.log, flags, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=(),
            )
        except OSError as error:
            say(f"{service.argv[0]} did not start: {error}")
            self.retry(service)
            return
        if service is self.docker:
            self.protect(service.pid)

    def protect(self, pid: int) -> None:
        """Let the kernel end every container before the engine; children inherit it."""
        try:
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(ENGINE_OOM_SCORE))
        except OSError as error:
            # A machine that is itself a container may lack the right (CAP_SYS_RESOURCE).
            say(f"dockerd keeps the oom_score_adj of its parent: {error}")

    def bury(self) -> None:
        """Collect every dead child, ours and orphans; plan the return of a service."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for service in (self.docker, self.boot):
                if service.pid == pid:
                    self.ended(service, os.waitstatus_to_exitcode(status))

    def ended(self, service: Service, code: int) -> None:
        """Dockerd always comes back; a boot program that ended with 0 has done its work."""
        say(f"{service.argv[0]} ended with {code}")
        service.pid = 0
        if service is self.boot and code == 0:
            service.is_done = True
            return
        self.retry(service)

    def retry(self, service: Service) -> None:
        now = self.clock.monotonic()
        is_streak = now - service.started_at < HEALTHY_S
        service.failure_count = service.failure_count + 1 if is_streak else 1
        service.due_at = now + backoff_s(service.failure_count, base_s=0.1, limit_s=5.0)

    def power_off(self) -> None:
        """End the boot program, then every process, then kill the rest; then the disk is clean."""
        self.docker.is_done = self.boot.is_done = True
        if self.boot.pid:
            os.kill(self.boot.pid, signal.SIGTERM)
            self.wait_for(lambda: not self.boot.pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal_everyone(number)
            self.wait_for(_is_alone)
        os.sync()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Bury the dead until condition holds, for STOP_GRACE_S at most."""
        deadline = self.clock.monotonic() + STOP_GRACE_S
        while not condition() and self.clock.monotonic() < deadline:
            signal.sigtimedwait(AWAITED, TICK_S)
            self.bury()


def _signal_everyone(number: signal.Signals) -> None:
    try:
        # Everyone in this PID namespace but PID 1 itself.
        os.kill(-1, number)
    except ProcessLookupError:
        return


def _is_alone() -> bool:
    return not any(name.isdigit() and name != "1" for name in os.listdir("/proc"))


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(path)
        except OSError:
            return False
        return True


def say(sentence: str) -> None:
    """Write a line to the node's log."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def wait_for_cable(address: str) -> None:
    """Wait until the cable is laid: this machine has its address, and a way out by it."""
    while not has_cable(address):
        signal.sigtimedwait(AWAITED, TICK_S)


def has_cable(address: str) -> bool:
    """Tell whether packets to elsewhere leave from address.

    Not whether a socket may be bound to it: in a network namespace without any address yet, the
    kernel has no local table, and lets a socket be bound to whatever is asked for.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            # Nothing is sent: the kernel only looks for the way.
            trial.connect((ELSEWHERE, 9))
        except OSError:
            return False
        found: str = trial.getsockname()[0]
        return found == address


def settle_cgroup() -> None:
    """Version 2: leave the top group, so that it may give its controllers to children."""
    if not (CGROUP / "cgroup.controllers").exists():
        return
    (CGROUP / LEAF).mkdir(exist_ok=True)
    (CGROUP / LEAF / "cgroup.procs").write_text("0")
    there = (CGROUP / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in V2_CONTROLLERS if name in there)
    # The launcher may not have quite left the top group yet, and until then it is busy.
    for _ in range(round(SETTLE_DEADLINE_S / TICK_S)):
        try:
            (CGROUP / "cgroup.subtree_control").write_text(wanted)
        except OSError:
            signal.sigtimedwait(AWAITED, TICK_S)
        else:
            return


def configure_docker(gateway: str) -> None:
    """Write Docker's settings on the first boot; later they belong to the node."""
    settings = Path("/etc/docker/daemon.json")
    if settings.exists():
        return
    settings.parent.mkdir(parents=True, exist_ok=True)
    wanted = {
        "bridge": "none",
        "iptables": False,
        "ip-masq": False,
        "live-restore": True,
        "storage-driver": "overlay2",
        "insecure-registries": [f"{gateway}:5000"],
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "log-driver": "json-file",
        "log-opts": {"max-size": "5m", "max-file": "2"},
    }
    settings.write_bytes(msgspec.json.format(msgspec.json.encode(wanted)) + b"\n")


def main() -> int:
    """Boot, serve, power off."""
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    spec = msgspec.json.decode(IN_NODE.read_bytes(), type=NodeSpec)
    settle_cgroup()
    wait_for_cable(spec.address)
    configure_docker(spec.gateway)
    if spec.init == "systemd":
        become_systemd()
    init = Init(spec.path, SystemClock())
    init.run()
    init.power_off()
    return 0


if __name__ == "__main__":
    sys.exit(main())
