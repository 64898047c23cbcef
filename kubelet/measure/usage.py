"""What a control group uses, from the texts of its files: version 1 and version 2. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from kubelet.measure import details
from kubelet.measure.details import Details, Interface, pairs_in

# Of each controller of version 1, in whose hierarchy its files are.
V1_FILES: Mapping[str, tuple[str, ...]] = {
    "cpuacct": ("cpuacct.usage",),
    "cpu": ("cpu.stat",),
    "memory": ("memory.usage_in_bytes", "memory.stat", "memory.oom_control"),
    "pids": ("pids.current",),
}
V2_FILES = ("cpu.stat", "memory.current", "memory.stat", "memory.events", "pids.current")
# Of a pod's own group, as far as autoscalers go.
V1_POD_FILES = ("cpuacct.usage", "memory.usage_in_bytes", "memory.stat")
V2_POD_FILES = ("cpu.stat", "memory.current", "memory.stat")
NS_OF_US = 1000

type Depth = Literal["pod", "container", "detailed"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group has used of the processor since it began, and what it holds now.

    None: the kernel does not tell. working_set_bytes: what is used less inactive files, which is
    what cannot be taken back without harm; Kubernetes counts so.
    """

    cpu_ns: int | None = None
    memory_bytes: int | None = None
    working_set_bytes: int | None = None
    pid_count: int | None = None
    throttled_ns: int | None = None
    oom_kill_count: int | None = None
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class PodGroup:
    """What a pod's group uses, and each group in it by its container's id."""

    usage: Usage
    containers: Mapping[str, Usage] = field(default_factory=dict)
    network: Sequence[Interface] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """What one pass has found: pods by uid; one without a group is not among them.

    file_count: how many files were read. is_cut: there were more groups than are read.
    network: of the machine, as its own interfaces have it; where details were asked for.
    """

    node: Usage = field(default_factory=Usage)
    pods: Mapping[str, PodGroup] = field(default_factory=dict)
    file_count: int = 0
    is_cut: bool = False
    network: Sequence[Interface] = ()


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where the kernel shows groups: one mount point for each controller that is of use here.

    v2: the mount point of the unified hierarchy, where the controllers are in that one.
    """

    v1: Mapping[str, str]
    v2: str = ""

    @property
    def main(self) -> str:
        """Return the mount point in which a pod's containers are looked for; empty for none."""
        return self.v2 or self.v1.get("memory", "")

    def files(self, group: str, depth: Depth = "container") -> Iterable[tuple[str, str]]:
        """Yield the name and the path of each file of a group, which begins with a slash."""
        is_detailed = depth == "detailed"
        if self.v2:
            names = V2_FILES + (details.V2_FILES if is_detailed else ())
            for name in names:
                if depth != "pod" or name in V2_POD_FILES:
                    yield name, f"{self.v2}{group}/{name}"
            return
        for controller, mount in self.v1.items():
            names = V1_FILES.get(controller, ())
            names += details.V1_FILES.get(controller, ()) if is_detailed else ()
            for name in names:
                if depth != "pod" or name in V1_POD_FILES:
                    yield name, f"{mount}{group}/{name}"


def hierarchies_of(proc_mounts: str) -> Hierarchies:
    """Read /proc/mounts. Where both versions are, memory is in the one that counts."""
    rows = [line.split() for line in proc_mounts.splitlines()]
    v1 = {
        controller: row[1]
        for row in rows
        if len(row) > 3 and row[2] == "cgroup"
        for controller in row[3].split(",")
        if controller in V1_FILES or controller in details.V1_FILES
    }
    v2 = next((row[1] for row in rows if len(row) > 2 and row[2] == "cgroup2"), "")
    return Hierarchies(v1) if "memory" in v1 else Hierarchies({}, v2)


def usage_of(texts: Mapping[str, str]) -> Usage:
    """Return what the files of one group say, by their names."""
    cpu, memory = pairs_in(texts.get("cpu.stat", "")), texts.get("memory.stat", "")
    events = texts.get("memory.events") or texts.get("memory.oom_control", "")
    held = _number(texts.get("memory.current") or texts.get("memory.usage_in_bytes", ""))
    # Version 1 tells of the group and all below under `total_`.
    inactive = number_after("total_inactive_file", memory) or number_after("inactive_file", memory)
    cpu_ns = _number(texts.get("cpuacct.usage", ""))
    if cpu_ns is None and "usage_usec" in cpu:
        cpu_ns = cpu["usage_usec"] * NS_OF_US
    throttled_ns = cpu.get("throttled_time")
    if throttled_ns is None and "throttled_usec" in cpu:
        throttled_ns = cpu["throttled_usec"] * NS_OF_US
    return Usage(
        cpu_ns=cpu_ns,
        memory_bytes=held,
        working_set_bytes=None if held is None else max(0, held - (inactive or 0)),
        pid_count=_number(texts.get("pids.current", "")),
        throttled_ns=throttled_ns,
        oom_kill_count=number_after("oom_kill", events),
    )


def machine_usage(own: Usage, proc_stat: str, meminfo: str, ticks_per_s: int) -> Usage:
    """Return what a machine uses: as its root group says, or /proc where that is silent.

    proc_stat: its first line counts ticks since the start; idle time and waiting are no use.
    """
    cpu_ns, working_set = own.cpu_ns, own.working_set_bytes
    words = proc_stat.partition("\n")[0].split()
    if cpu_ns is None and len(words) > 8 and words[0] == "cpu":
        ticks = [int(word) for word in words[1:9]]
        cpu_ns = (sum(ticks) - ticks[3] - ticks[4]) * (10**9 // ticks_per_s)
    fields = pairs_in(meminfo.replace(":", " "))
    if working_set is None and {"MemTotal", "MemAvailable"} <= fields.keys():
        working_set = (fields["MemTotal"] - fields["MemAvailable"]) * 1024
    return replace(own, cpu_ns=cpu_ns, working_set_bytes=working_set)


def container_id_of(folder: str) -> str:
    """Return the id in a group's name: `<id>` of cgroupfs, `docker-<id>.scope` of systemd."""
    return folder.removesuffix(".scope").rpartition("-")[2]


def number_after(name: str, text: str) -> int | None:
    """Return the number of the line that begins with a word: of forty lines one is wanted."""
    _, found, rest = f"\n{text}".partition(f"\n{name} ")
    return _number(rest.partition("\n")[0]) if found else None


def _number(text: str) -> int | None:
    word = text.strip()
    return int(word) if word.isdigit() else None
