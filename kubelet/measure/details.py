"""What else a group tells: parts of time and memory, block I/O, pressure, network. Pure.

These cost more to read than what autoscalers decide on, and are read for those who ask for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Read besides, of each controller of version 1; and of version 2. Version 1 has no pressure.
V1_FILES: Mapping[str, tuple[str, ...]] = {
    "cpuacct": ("cpuacct.usage_user", "cpuacct.usage_sys"),
    "blkio": ("blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"),
}
V2_FILES = ("io.stat", "cpu.pressure", "memory.pressure", "io.pressure")
RESOURCES = ("cpu", "memory", "io")
NS_OF_US = 1000
INTERFACES_MAX = 64


class Pressure(NamedTuple):
    """How long some (or all) tasks have waited for a resource, and how much of late, in percent."""

    total_ns: int
    avg10: float
    avg60: float
    avg300: float


class Traffic(NamedTuple):
    """What has gone through an interface in one direction."""

    bytes: int
    packets: int
    errors: int
    dropped: int


class Interface(NamedTuple):
    name: str
    received: Traffic
    sent: Traffic


@dataclass(frozen=True, slots=True)
class Details:
    """None: the kernel does not tell. pressure: by the resource and `some` or `full`."""

    user_ns: int | None = None
    system_ns: int | None = None
    period_count: int | None = None
    throttled_count: int | None = None
    rss_bytes: int | None = None
    cache_bytes: int | None = None
    swap_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    read_count: int | None = None
    write_count: int | None = None
    pressure: Mapping[tuple[str, str], Pressure] = field(default_factory=dict)


def details_of(texts: Mapping[str, str]) -> Details:
    """Return what the files of one group say, by their names."""
    cpu, memory = pairs_in(texts.get("cpu.stat", "")), pairs_in(texts.get("memory.stat", ""))
    user_ns = _first_number(texts.get("cpuacct.usage_user", ""))
    system_ns = _first_number(texts.get("cpuacct.usage_sys", ""))
    if "user_usec" in cpu:
        user_ns = cpu["user_usec"] * NS_OF_US
    if "system_usec" in cpu:
        system_ns = cpu["system_usec"] * NS_OF_US
    io = _io_of(texts)
    return Details(
        user_ns=user_ns,
        system_ns=system_ns,
        period_count=cpu.get("nr_periods"),
        throttled_count=cpu.get("nr_throttled"),
        # Version 1 tells of the group and all below under `total_`, version 2 by other words.
        rss_bytes=_any_of(memory, "total_rss", "rss", "anon"),
        cache_bytes=_any_of(memory, "total_cache", "cache", "file"),
        swap_bytes=_any_of(memory, "total_swap", "swap"),
        read_bytes=io.get("rbytes"),
        written_bytes=io.get("wbytes"),
        read_count=io.get("rios"),
        write_count=io.get("wios"),
        pressure=pressures_of({one: texts.get(f"{one}.pressure", "") for one in RESOURCES}),
    )


def pairs_in(text: str) -> dict[str, int]:
    """Return the numbers of lines that are a word and a number."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _any_of(numbers: Mapping[str, int], *names: str) -> int | None:
    return next((numbers[name] for name in names if name in numbers), None)


def _first_number(text: str) -> int | None:
    word = text.strip()
    return int(word) if word.isdigit() else None


def _io_of(texts: Mapping[str, str]) -> Mapping[str, int]:
    """Return bytes and operations of all devices together, by version 2's words."""
    found: dict[str, int] = {}
    for line in texts.get("io.stat", "").splitlines():
        for word in line.split()[1:]:
            name, _, number = word.partition("=")
            if number.isdigit():
                found[name] = found.get(name, 0) + int(number)
    files = (("blkio.throttle.io_service_bytes", "bytes"), ("blkio.throttle.io_serviced", "ios"))
    for file, unit in files:
        for line in texts.get(file, "").splitlines():
            # `8:0 Read 4096` for each device; a last line is the total of all.
            words = line.split()
            if len(words) == 3 and words[1] in ("Read", "Write") and words[2].isdigit():
                name = words[1][0].lower() + unit
                found[name] = found.get(name, 0) + int(words[2])
    return found


def pressures_of(texts: Mapping[str, str]) -> Mapping[tuple[str, str], Pressure]:
    """Return the lines of pressure files, by the resource of each: `some avg10=0.1 ... total=5`."""
    found = {}
    for resource, text in texts.items():
        for line in text.splitlines():
            kind, *words = line.split() or [""]
            told = dict(word.split("=", 1) for word in words if "=" in word)
            try:
                averages = [float(told[name]) for name in ("avg10", "avg60", "avg300")]
                found[resource, kind] = Pressure(int(told["total"]) * NS_OF_US, *averages)
            except (KeyError, ValueError):
                # No line of the form that kernels write: of this nothing is known.
                continue
    return found


def interfaces_of(net_dev: str) -> Sequence[Interface]:
    """Read /proc/<pid>/net/dev; the loopback is not told of."""
    found = []
    for line in net_dev.splitlines():
        name, _, numbers = line.partition(":")
        words = numbers.split()
        if len(words) < 12 or not all(word.isdigit() for word in words) or name.strip() == "lo":
            continue
        counts = [int(word) for word in words]
        received, sent = Traffic(*counts[:4]), Traffic(*counts[8:12])
        found.append(Interface(name.strip(), received, sent))
    return found[:INTERFACES_MAX]


def first_pid(cgroup_procs: str) -> int | None:
    """Return a process of a group; 0 is one of another namespace of processes, and of no use."""
    pids: Iterable[str] = cgroup_procs.split()
    return next((int(pid) for pid in pids if pid.isdigit() and int(pid) > 0), None)
