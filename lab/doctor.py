"""What a machine needs to hold a lab, and how to get what it lacks. Nothing is changed."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cubernetes.host.command import CommandFailed, Commands
from lab.faults import Cut, Loss, ruleset_for
from lab.host.cgroup import Hierarchy, hierarchies
from lab.host.systemd import PROGRAM, SHOWN, VENDOR
from lab.state import InitKind

# Program and the Debian package that has it.
PROGRAMS = {
    "conntrack": "conntrack",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "iptables-restore": "iptables",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
}
V1_NEEDED = frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"})
SYSTEMD_TREE = "name=systemd"
# The first that does not boot on control groups of version 1 (its NEWS).
SYSTEMD_WITHOUT_V1 = 256
LINK_KINDS = ("veth", "bridge", "vxlan id 1 dstport 4789")
FREE_BYTES_MIN = 2 << 30


@dataclass(frozen=True)
class Complaint:
    """One thing that is missing, and what to do about it."""

    what: str
    remedy: str


class Missing(Exception):
    """This machine cannot hold a lab, for the reasons listed."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        lines = "; ".join(f"{each.what} ({each.remedy})" for each in complaints)
        super().__init__(f"this machine cannot hold a lab: {lines}")
        self.complaints = tuple(complaints)


async def complaints(commands: Commands, init: InitKind = "own") -> list[Complaint]:
    """Return everything that is missing for nodes with this PID 1, or nothing."""
    if os.geteuid() != 0:
        return [Complaint("not root", "run as root: a lab makes namespaces, mounts and links")]
    found = [
        Complaint(f"no program {name}", f"apt-get install {package}")
        for name, package in PROGRAMS.items()
        if shutil.which(name) is None
    ]
    found += _about_kernel()
    if init == "systemd":
        found += about_systemd(VENDOR, await _systemd_version(commands), hierarchies())
    if not found:
        found += await _about_network(commands)
    return found


def _about_kernel() -> list[Complaint]:
    known = Path("/proc/filesystems").read_text().split()
    found = [
        Complaint(f"no file system {name}", f"modprobe {name}, or a kernel that has it")
        for name in ("ext4", "overlay")
        if name not in known
    ]
    for device, module in (("/dev/loop-control", "loop"), ("/dev/net/tun", "tun")):
        if not Path(device).exists():
            found.append(Complaint(f"no {device}", f"modprobe {module}, or a privileged container"))
    trees = hierarchies()
    words = {word for tree in trees for word in tree.words}
    if not trees or (trees[0].version == 1 and not words >= V1_NEEDED):
        lacking = " ".join(sorted(V1_NEEDED - words))
        found.append(Complaint(f"no control groups {lacking}", "mount them at /sys/fs/cgroup"))
    free_bytes = shutil.disk_usage("/var/lib").free
    if free_bytes < FREE_BYTES_MIN:
        found.append(Complaint(f"only {free_bytes >> 20} MiB free in /var/lib", "make room"))
    return found


def about_systemd(folder: Path, version: int, trees: Sequence[Hierarchy]) -> list[Complaint]:
    """Return what a systemd of this version (0: there is none) with these units lacks."""
    if not version:
        return [Complaint("no systemd", "apt-get install systemd")]
    found = [
        Complaint(f"no {folder / name}", "a systemd that has this unit")
        for name in SHOWN
        if not (folder / name).exists()
    ]
    if not trees or trees[0].version == 2:
        return found
    if version >= SYSTEMD_WITHOUT_V1:
        what = f"systemd {version} refuses control groups of version 1"
        return [*found, Complaint(what, "boot the machine with version 2, or use --init own")]
    if SYSTEMD_TREE not in {word for tree in trees for word in tree.words}:
        what, at = f"no control group tree {SYSTEMD_TREE}", "/sys/fs/cgroup/systemd"
        remedy = f"mkdir {at}; mount -t cgroup -o none,{SYSTEMD_TREE} systemd {at}"
        found.append(Complaint(what, remedy))
    return found


async def _systemd_version(commands: Commands) -> int:
    """Return its number, or 0 where there is no systemd that can say one."""
    try:
        done = await commands.run([str(PROGRAM), "--version"])
    except CommandFailed:
        return 0
    return version_in(done.stdout.decode(errors="replace"))


def version_in(told: str) -> int:
    """Return the number in systemd's own words: `systemd 252 (252.38-1~deb12u1) ...`."""
    found = re.match(r"systemd (\d+)", told)
    return int(found[1]) if found else 0


async def _about_network(commands: Commands) -> list[Complaint]:
    """Try each thing in a network namespace that lasts as long as the trial."""
    alone = ["unshare", "--net"]
    found = []
    for kind in LINK_KINDS:
        argv = [*alone, "ip", "link", "add", "trial0", "type", *kind.split()]
        if not await _works(commands, argv):
            name = kind.split()[0]
            found.append(Complaint(f"no {name} links", f"modprobe {name}"))
    rules = ruleset_for([Cut("a", "b"), Loss("a", 1)]).encode()
    if not await _works(commands, [*alone, "nft", "-f", "-"], rules):
        found.append(Complaint("no nftables bridge family", "modprobe nf_tables"))
    return found


async def _works(commands: Commands, argv: Sequence[str], stdin: bytes = b"") -> bool:
    try:
        await commands.run(argv, stdin=stdin)
    except CommandFailed:
        return False
    return True
