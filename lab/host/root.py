"""The file tree of a node host: its own disk, with the machine's programs shown through overlays.

Only what is named here is visible in a node. Its root is its own ext4, so that Docker finds a real
file system below /var, and everything else of the machine is simply not there.
"""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

from lab.host.spec import NodeSpec
from lab.host.syscall import Mount, bind, detach, mount, pivot_root

# Programs, libraries and configuration of the machine: read there, written to the node's disk.
SHARED = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
OWN = ("home", "mnt", "opt", "srv", "var/cache", "var/lib", "var/log", "var/spool")
# Traces of a cluster or a Docker that this machine itself may run: a new node has none.
FOREIGN = ("etc/cubernetes", "etc/docker", "etc/machine-id", "etc/systemd/system")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MOUNT_DEADLINE_S = 20


def build_root(spec: NodeSpec) -> Path:
    """Mount the node's whole tree in this mount namespace; return its root."""
    mount("none", Path("/"), flags=Mount.RECURSIVE | Mount.PRIVATE)
    disk = Path(spec.scratch)
    # mount(8) finds a free loop device and frees it with the mount, which the bare call does not.
    argv = ["mount", "-o", "loop,noatime", spec.disk, spec.scratch]
    subprocess.run(argv, check=True, timeout=MOUNT_DEADLINE_S)
    root = disk / "root"
    is_first_boot = not root.exists()
    root.mkdir(exist_ok=True)
    bind(root, root)
    _share_programs(disk, root)
    _make_own(root)
    if is_first_boot:
        _forget_foreign(root)
    _mount_kernel(root)
    _mount_devices(root)
    _mount_cgroups(spec, root)
    for name in spec.visible:
        target = root / name.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        bind(Path(name), target, is_read_only=True)
    _name_machines(spec, root)
    return root


def enter_root(root: Path) -> None:
    """Make root this process's root, and let go of the machine's.

    As on every machine that systemd boots, containers may ask to see what is mounted later.
    """
    old = root / "mnt"
    pivot_root(root, old)
    os.chdir("/")
    detach(Path("/mnt"))
    mount("none", Path("/"), flags=Mount.RECURSIVE | Mount.SHARED)


def _share_programs(disk: Path, root: Path) -> None:
    for name in SHARED:
        source, target = Path("/", name), root / name
        if source.is_symlink():
            if not target.is_symlink():
                target.symlink_to(source.readlink())
            continue
        if not source.is_dir():
            continue
        upper, work = disk / "upper" / name, disk / "work" / name
        for folder in (target, upper, work):
            folder.mkdir(parents=True, exist_ok=True)
        mount(
            "machine",
            target,
            "overlay",
            options=f"lowerdir={source},upperdir={upper},workdir={work}",
        )


def _make_own(root: Path) -> None:
    for name in OWN:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "root").mkdir(mode=0o700, exist_ok=True)
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777)):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(mode)
    for name, points_to in (("var/run", "/run"), ("var/lock", "/run/lock")):
        if not (root / name).is_symlink():
            (root / name).symlink_to(points_to)


def _forget_foreign(root: Path) -> None:
    for name in FOREIGN:
        found = root / name
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)
    (root / "etc/machine-id").write_text(uuid.UUID(bytes=os.urandom(16), version=4).hex + "\n")


def _mount_kernel(root: Path) -> None:
    for name in ("proc", "sys", "dev", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    mount("proc", root / "proc", "proc")
    mount("sysfs", root / "sys", "sysfs")
    mount("tmpfs", root / "run", "tmpfs", options="mode=755,size=256m")
    mount("tmpfs", root / "tmp", "tmpfs", options="mode=1777,size=512m")
    (root / "run/lock").mkdir()


def _mount_devices(root: Path) -> None:
    dev = root / "dev"
    mount("tmpfs", dev, "tmpfs", options="mode=755,size=64k")
    (dev / "net").mkdir()
    for name in (*DEVICES, "net/tun"):
        if Path("/dev", name).exists():
            (dev / name).touch()
            bind(Path("/dev", name), dev / name)
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", options="newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", dev / "shm", "tmpfs", options="mode=1777")
    mount("mqueue", dev / "mqueue", "mqueue")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"/proc/self/fd/{at}" for at, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, points_to in links.items():
        (dev / name).symlink_to(points_to)


def _mount_cgroups(spec: NodeSpec, root: Path) -> None:
    """Mount the machine's trees again: in the node's cgroup namespace they begin at its group."""
    top = root / "sys/fs/cgroup"
    if spec.trees[0].version == 2:
        mount("cgroup2", top, "cgroup2")
        return
    mount("tmpfs", top, "tmpfs", options="mode=755,size=1m")
    for tree in spec.trees:
        target = top / Path(tree.at).name
        target.mkdir()
        mount("cgroup", target, "cgroup", options=tree.options)
        # `cpu,cpuacct` is one tree under three names.
        for word in tree.words if len(tree.words) > 1 else ():
            (top / word).symlink_to(target.name)


def _name_machines(spec: NodeSpec, root: Path) -> None:
    etc = root / "etc"
    known = [f"{address} {name}" for name, address in spec.hosts.items()]
    texts = {
        "hostname": spec.name,
        "hosts": "\n".join(["127.0.0.1 localhost", *known]),
        "resolv.conf": "nameserver 127.0.0.1",
    }
    for name, text in texts.items():
        # A link of the machine's own (resolv.conf often is one) must not be written through.
        (etc / name).unlink(missing_ok=True)
        (etc / name).write_text(text + "\n")
