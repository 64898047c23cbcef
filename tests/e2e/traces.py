"""Prints everything that a machine bears, as JSON: run on a node before init and after reset.

`python traces.py` writes one object: subject -> sorted lines. What changes by itself (counters,
ages, the engine's own state, logs of others) is left out, so that two runs on a machine where
nothing was added give the same text.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("/etc", "/var", "/usr/local", "/run", "/root", "/opt", "/srv", "/home", "/tmp", "/dev/shm")
# The engine's state is compared by what the engine says; the lock is of iptables, /run/mount of
# mount(8), which makes it. Of systemd, what each boot and each container gives another name.
NOT_OURS = re.compile(
    r"/var/lib/docker(/.*)?|/run/docker(/.*)?|/var/log/(dockerd|cubernetes-boot)\.log"
    r"|/run/(docker\.pid|containerd(/.*)?|log/journal(/.*)?)|/run/systemd/(journal/streams|transient)"
    r"|/run/systemd/units/invocation:(docker|systemd-journald)\.service"
    r"|/run/xtables\.lock|/run/mount(/.*)?|/root/\.pyenv(/.*)?|.*/__pycache__(/.*)?"
)
HASHED_BYTES_MAX = 1 << 20
COMMANDS = {
    "links": "ip -d link",
    "addresses": "ip addr",
    "routes": "ip route show table all",
    "rules": "ip rule",
    "neighbours": "ip neigh show nud permanent",
    "forwarding": "bridge fdb",
    "namespaces": "ip netns",
    "iptables": "iptables-save",
    "iptables-legacy": "iptables-legacy-save",
    "ip6tables": "ip6tables-save",
    "containers": "docker ps -a --no-trunc --format {{.ID}}_{{.Names}}_{{.Image}}_{{.State}}",
    "volumes": "docker volume ls -q",
    "networks": "docker network ls -q",
    "images": "docker images --no-trunc -q",
}
VOLATILE = re.compile(
    r"\[\d+:\d+\]|^#.*|\b(qlen|numtxqueues|numrxqueues|gso_\w+|tso_\w+|gro_\w+) \d+"
    r"|^\s*(valid_lft|preferred_lft).*|(?<=eth0@)if\d+"
)
# The nft kind of iptables makes a table of empty chains the first time it is asked for one.
EMPTY_TABLE = re.compile(r"\*\w+\n(:\w+ ACCEPT\s*\n)*COMMIT\n?")


def snapshot() -> dict[str, list[str]]:
    return {
        "files": sorted(files()),
        "cgroups": sorted(cgroups()),
        "mounts": sorted(mounts()),
        "processes": sorted(processes()),
        "sysctls": sorted(sysctls()),
        **{subject: lines_of(command) for subject, command in COMMANDS.items()},
    }


def files() -> Iterator[str]:
    for root in ROOTS:
        for path in [Path(root), *Path(root).rglob("*")]:
            text = str(path)
            if Path(root).is_symlink() or NOT_OURS.fullmatch(text):
                continue
            at = path.lstat()
            line = f"{text} {oct(at.st_mode)} {at.st_uid}:{at.st_gid}"
            if path.is_symlink():
                line += f" -> {path.readlink()}"
            elif path.is_file() and at.st_size <= HASHED_BYTES_MAX:
                line += f" {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
            yield line


def cgroups() -> Iterator[str]:
    for path in Path("/sys/fs/cgroup").rglob("*/"):
        # A container that is there is listed by the engine.
        if not re.search(r"/docker(/|$)", str(path)):
            yield str(path)


def mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if not fields[4].startswith(("/var/lib/docker/", "/run/docker/")):
            yield f"{fields[4]} {fields[3]} {fields[5]}"


def processes() -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            command = b" ".join(words).decode(errors="replace").strip()
        except OSError:
            continue
        is_engine = command.startswith(("dockerd", "containerd"))
        if command and not is_engine and "traces.py" not in command:
            yield command


def sysctls() -> Iterator[str]:
    for path in Path("/proc/sys/net/ipv4").rglob("*"):
        try:
            yield f"{path} {path.read_text().strip()}"
        except OSError:
            continue


def lines_of(command: str) -> list[str]:
    try:
        ran = subprocess.run(
            command.split(), capture_output=True, check=False, text=True, timeout=30
        )
    except FileNotFoundError:
        return []
    text = "\n".join(VOLATILE.sub("", line).rstrip() for line in ran.stdout.splitlines())
    text = EMPTY_TABLE.sub("", re.sub(r"\n+", "\n", text).lstrip("\n") + "\n")
    return sorted(line for line in text.splitlines() if line.strip())


if __name__ == "__main__":
    json.dump(snapshot(), sys.stdout)
