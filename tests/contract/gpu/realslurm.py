"""A real Slurm of Debian with fake GPUs, and a real sshd, on the loopback.

Nothing of the machine is used or changed: folders and sockets are the test's. The ports are fixed,
so that one such Slurm is up at a time on a machine; others wait for it.
"""

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sshd", "ssh-keygen", "sbatch", "scontrol")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
CTLD_PORT, SLURMD_PORT, SECOND_PORT, SSH_PORT = 17_817, 17_818, 17_819, 17_822
UP_S, LOOK_S = 60.0, 0.1
LOCK = Path(tempfile.gettempdir()) / "cube-slurm.lock"
NULL = os.makedev(1, 3)

SLURM = """
ClusterName=paper
SlurmctldHost={host}({address})
SlurmctldPort={ctld}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/ctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/ctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmctldParameters=enable_configless
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
KillWait=2
NodeName=DEFAULT CPUs=16 RealMemory=64000 Gres=gpu:fake:2
NodeName=g1 NodeAddr={address} NodeHostname={host} Port={slurmd}
NodeName=g2 NodeAddr={address} NodeHostname={host} Port={second}
PartitionName=gpu Nodes=g1 Default=YES MaxTime=60 DefMemPerCPU=100 State=UP
PartitionName=wide Nodes=g1,g2 MaxTime=60 DefMemPerCPU=100 State=UP
"""
SSHD = """
ListenAddress {address}:{ssh}
HostKey {root}/host_key
PidFile {root}/sshd.pid
AuthorizedKeysFile {root}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin forced-commands-only
UsePAM no
StrictModes no
SetEnv SLURM_CONF={root}/slurm.conf
"""


def why_not() -> str:
    """Return why there is no Slurm to be had here; empty: there is."""
    if os.geteuid() != 0:
        return "needs root: daemons of Slurm and sshd"
    missing = [one for one in PROGRAMS if shutil.which(one, path=PATH) is None]
    needs = "slurmctld slurmd slurm-client munge openssh-server"
    return f"needs Debian's {needs}: there is no {', '.join(missing)}" if missing else ""


class RealSlurm:
    """One life of the daemons."""

    def __init__(self) -> None:
        # Not below /tmp/pytest-of-root: munge wants folders that everybody may enter.
        self.root = Path(tempfile.mkdtemp(prefix="cube-slurm-"))
        self.root.chmod(0o755)
        self.address, self.port = "127.0.0.1", SSH_PORT
        self._lock = LOCK.open("w")
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._env = {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.root / "slurm.conf")}

    def start(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        root = self.root
        words = {
            "root": root, "address": self.address, "host": socket.gethostname(),
            "ctld": CTLD_PORT, "slurmd": SLURMD_PORT, "second": SECOND_PORT, "ssh": SSH_PORT,
        }  # fmt: skip
        for folder in ("state", "spool", "spool/g1", "spool/g2", "homes"):
            (root / folder).mkdir()
        for index in range(2):
            os.mknod(root / f"gpu{index}", 0o666 | stat.S_IFCHR, NULL)
        (root / "slurm.conf").write_text(SLURM.format(**words))
        gres = f"NodeName=g[1-2] Name=gpu Type=fake File={root}/gpu[0-1]\n"
        (root / "gres.conf").write_text(gres)
        (root / "sshd_config").write_text(SSHD.format(**words))
        (root / "munge.key").write_bytes(os.urandom(1024))
        (root / "munge.key").chmod(0o400)
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{root}/host_key")
        (root / "authorized_keys").touch()
        Path("/run/sshd").mkdir(exist_ok=True)
        self._begin(
            *("munged", "--foreground", "--force", "--key-file", f"{root}/munge.key"),
            *("--socket", f"{root}/munge.sock", "--pid-file", f"{root}/munge.pid"),
            *("--log-file", f"{root}/munge.log", "--seed-file", f"{root}/munge.seed"),
        )
        self._until("munge answers", lambda: (root / "munge.sock").exists())
        self._begin("slurmctld", "-D", "-f", f"{root}/slurm.conf")
        self.begin_node("g1")
        self.begin_node("g2")
        # It begins itself anew by its full name.
        self._begin(shutil.which("sshd", path=PATH) or "", "-D", "-f", f"{root}/sshd_config")
        self._until("both nodes are idle", lambda: self.states("wide") == "idle")
        self._until("sshd listens", self._is_listening)

    def begin_node(self, name: str) -> None:
        self._begin("slurmd", "-D", "-N", name, "-f", f"{self.root}/slurm.conf")

    def states(self, partition: str) -> str:
        """Return the states of a partition's nodes, each once."""
        return self.said("sinfo", "-h", "-p", partition, "-o", "%T")

    @property
    def host_key(self) -> str:
        kind, key, *_ = (self.root / "host_key.pub").read_text().split()
        return f"{kind} {key}"

    def run(self, *argv: str) -> str:
        done = subprocess.run(argv, env=self._env, capture_output=True, timeout=60, check=True)
        return done.stdout.decode().strip()

    def said(self, *argv: str) -> str:
        """Return what a command says; nothing where it fails."""
        done = subprocess.run(argv, env=self._env, capture_output=True, timeout=60, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    def stop(self) -> None:
        for one in reversed(self._daemons):
            one.terminate()
        for one in self._daemons:
            try:
                one.wait(UP_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        shutil.rmtree(self.root)
        self._lock.close()

    def _begin(self, *argv: str) -> None:
        log = (self.root / f"{Path(argv[0]).name}.out").open("ab")
        with log:
            self._daemons.append(
                subprocess.Popen(
                    argv, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )

    def _is_listening(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex((self.address, SSH_PORT)) == 0

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        before_s = time.monotonic() + UP_S
        while not holds():
            if time.monotonic() > before_s or any(one.poll() is not None for one in self._daemons):
                logs = [
                    path.read_text(errors="replace")[-1000:] for path in self.root.glob("*.out")
                ]
                logs += [
                    path.read_text(errors="replace")[-1000:] for path in self.root.glob("*.log")
                ]
                raise AssertionError(f"not so: {what}\n" + "\n".join(logs))
            time.sleep(LOOK_S)
