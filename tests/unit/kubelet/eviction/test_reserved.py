"""What of a node is not for pods: both reserves, the margin of evictions, and what is wrong."""

from pathlib import Path

import pytest

from cubernetes.api.core.node import Node
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.quantities import Quantity
from cubernetes.host.durable.checkedfile import CheckedFile
from cubernetes.host.env import Env
from cubernetes.reconcile.plan import Record
from kubelet.eviction.reserved import (
    Reserves,
    ReservesInvalid,
    allocatable,
    is_allowed,
    pods_limits,
    reserves_of,
)
from kubelet.eviction.thresholds import thresholds_of
from kubelet.node.reserving import Ground, PodsGroup, Reserving
from kubelet.node.weights import FoundWeights

MARGINS = thresholds_of(None).margins
CAPACITY = {
    "cpu": Quantity("4"),
    "memory": Quantity("8Gi"),
    "ephemeral-storage": Quantity("100Gi"),
    "pods": Quantity("110"),
    "example.com/gpu": Quantity("2"),
}
FILE = b"""{"systemReserved": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "5Gi"},
            "kubeReserved": {"cpu": "0.25", "memory": "512Mi"}}"""


def test_pods_may_use_the_capacity_less_both_reserves_less_the_margin_of_evictions() -> None:
    reserves = reserves_of(FILE, CAPACITY)
    usable = allocatable(CAPACITY, reserves.reserved, MARGINS)

    assert usable["cpu"].milli == 4000 - 500 - 250
    assert usable["memory"].whole == (8 << 30) - (1 << 30) - (512 << 20) - (100 << 20)
    assert usable["ephemeral-storage"].whole == (100 << 30) - (5 << 30) - (10 << 30)
    assert (usable["pods"].whole, usable["example.com/gpu"].whole) == (110, 2)


def test_another_threshold_of_evictions_is_another_margin() -> None:
    hard = thresholds_of(b'{"evictionHard": {"memory.available": "25%"}}').margins
    usable = allocatable(CAPACITY, {}, hard)

    assert usable["memory"].whole == 6 << 30
    assert usable["ephemeral-storage"].whole == 100 << 30


def test_the_pods_group_has_what_is_not_reserved_and_evictions_come_before_its_limit() -> None:
    assert pods_limits(CAPACITY, reserves_of(FILE, CAPACITY)) == {
        "memory": (8 << 30) - (1 << 30) - (512 << 20),
        "cpu": 3250,
    }
    assert pods_limits(CAPACITY, Reserves()) is None
    told = b'{"kubeReserved": {"cpu": "1"}, "enforceNodeAllocatable": []}'
    assert pods_limits(CAPACITY, reserves_of(told, CAPACITY)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "truncated"),
        (b"", "truncated"),
        (b'{"systemReserved": {"memory": "512Gi"}}', "kubeReserved.memory: must be less together"),
        (
            b'{"systemReserved": {"cpu": "3"}, "kubeReserved": {"cpu": "1"}}',
            "Reserved.cpu: must be",
        ),
        (b'{"kubeReserved": {"ephemeral-storage": "1Ti"}}', "the 100Gi of this machine"),
        (b'{"sysReserved": {}}', "sysReserved"),
        (b'{"systemReserved": {"pid": "9"}}', "systemReserved.pid: must be one of cpu, memory"),
        (b'{"kubeReserved": {"cpu": "much"}}', "kubeReserved.cpu: must be a quantity"),
        (b'{"kubeReserved": {"memory": "-1"}}', "kubeReserved.memory: must not be negative"),
        (b'{"enforceNodeAllocatable": ["kube-reserved"]}', "kube-reserved"),
        (b'{"allowedUnsafeSysctls": ["vm.swappiness"]}', r"allowedUnsafeSysctls\[0\]: must be"),
        (b'{"allowedUnsafeSysctls": ["net.*.all"]}', r"allowedUnsafeSysctls\[0\]: must be"),
        (b'{"allowedUnsafeSysctls": ["*"]}', r"allowedUnsafeSysctls\[0\]: must be"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_the_name_of_the_field(text: bytes, why: str) -> None:
    with pytest.raises(ReservesInvalid, match=why):
        reserves_of(text, CAPACITY)


def test_a_sysctl_is_allowed_by_its_name_or_by_its_beginning() -> None:
    told = b'{"allowedUnsafeSysctls": ["kernel.msg*", "net.core.somaxconn", "net.ipv6.*"]}'
    allowed = reserves_of(told, CAPACITY).sysctls

    named = ("kernel.msgmax", "net.core.somaxconn", "net.ipv6.conf.all.mtu")
    assert all(is_allowed(one, allowed) for one in named)
    others = ("kernel.shmmax", "net.core.somaxconn2", "net.ipv4.tcp_mem")
    assert not any(is_allowed(one, allowed) for one in others)


V1 = (("memory.limit_in_bytes", "9223372036854771712", "-1"), ("cpu.shares", "700", "700"))
V2 = (("memory.max", "max", "max"), ("cpu.weight", "300", "300"))


def a_group(tmp_path: Path, kind: str) -> tuple[Path, Path]:
    """Return the folder of all pods' group, and a /proc that tells of it."""
    group, proc = tmp_path / "cg" / "pods", tmp_path / "proc"
    group.mkdir(parents=True)
    proc.mkdir()
    (proc / "mounts").write_text(f"{kind} {tmp_path / 'cg'} {kind} rw 0 0\n")
    return group, proc


@pytest.mark.parametrize(("kind", "files"), [("cgroup", V1), ("cgroup2", V2)])
def test_the_group_of_all_pods_is_limited_and_is_not_again(
    tmp_path: Path, kind: str, files: tuple[tuple[str, str, str], ...]
) -> None:
    group, proc = a_group(tmp_path, kind)
    for name, before, _ in files:
        (group / name).write_text(before)

    pods = PodsGroup("pods", FoundWeights(None), proc)
    pods.limit({"memory": (1 << 30) + 5, "cpu": 2000})
    weight = {"cpu.shares": "2048", "cpu.weight": "79"}
    memory, cpu = files[0], files[1]
    assert (group / memory[0]).read_text() == str(1 << 30)
    assert (group / cpu[0]).read_text() == weight[cpu[0]]

    pods.limit(None)
    assert [(group / one[0]).read_text() for one in files] == [memory[2], cpu[2]]


def test_a_weight_that_another_sets_stays_where_nothing_is_reserved(tmp_path: Path) -> None:
    group, proc = a_group(tmp_path, "cgroup2")
    weight = group / "cpu.weight"
    weight.write_text("300")
    pods, limits = PodsGroup("pods", FoundWeights(None), proc), {"memory": 1 << 30, "cpu": 2000}
    pods.limit(None)
    assert weight.read_text() == "300"

    for cpu_milli in (2000, 3000):
        pods.limit({**limits, "cpu": cpu_milli})
    assert weight.read_text() == "118"
    pods.limit(None)
    weight.write_text("20")
    pods.limit(None)
    assert weight.read_text() == "20"


def test_a_weight_of_a_kubelet_before_this_one_is_none_that_another_has_set(tmp_path: Path) -> None:
    group, proc = a_group(tmp_path, "cgroup")
    (group / "cpu.shares").write_text("2048")
    pods = PodsGroup("pods", FoundWeights(None), proc)
    pods.limit({"memory": 1 << 30, "cpu": 2000})
    pods.limit(None)
    assert (group / "cpu.shares").read_text() == "1024"


class Kubelets:
    """One kubelet after another on a node whose group of pods weighs what a file says."""

    def __init__(self, tmp_path: Path) -> None:
        group, self._proc = a_group(tmp_path, "cgroup2")
        self.kept, self.weight = tmp_path / "weights", group / "cpu.weight"
        self.weight.write_text("300")

    def next(self) -> PodsGroup:
        return PodsGroup("pods", FoundWeights(CheckedFile(self.kept)), self._proc)


def limits_of(cpu_milli: int) -> dict[str, int]:
    return {"memory": 1 << 30, "cpu": cpu_milli}


def test_the_weight_that_was_found_is_given_back_where_a_reserve_goes_while_no_kubelet_runs(
    tmp_path: Path,
) -> None:
    node = Kubelets(tmp_path)
    node.next().limit(limits_of(2000))
    # Another reserve, and none, each while the kubelet is away.
    node.next().limit(limits_of(3000))
    assert node.weight.read_text() == "118"
    node.next().limit(None)
    assert node.weight.read_text() == "300"

    node.weight.write_text("118")
    node.next().limit(None)
    assert node.weight.read_text() == "118"


def test_what_another_has_set_since_is_what_is_found(tmp_path: Path) -> None:
    """A machine that booted has the usual weights again; an administrator may set others."""
    node = Kubelets(tmp_path)
    node.next().limit(limits_of(2000))
    node.weight.write_text("100")
    node.next().limit(None)
    assert node.weight.read_text() == "100"

    node.next().limit(limits_of(2000))
    node.weight.write_text("500")
    node.next().limit(limits_of(2000))
    node.next().limit(None)
    assert node.weight.read_text() == "500"


@pytest.mark.parametrize("cpu_milli", [0, 2000])
def test_a_kubelet_that_died_before_it_wrote_a_weight_has_lost_nothing(
    tmp_path: Path, cpu_milli: int
) -> None:
    node = Kubelets(tmp_path)
    if cpu_milli:
        node.next().limit(limits_of(cpu_milli))
    text = node.weight.read_text()
    node.next().limit(limits_of(3000))
    node.weight.write_text(text)
    node.next().limit(None)
    assert node.weight.read_text() == "300"


def test_a_record_that_is_broken_or_cannot_be_kept_keeps_no_limit_away(tmp_path: Path) -> None:
    node = Kubelets(tmp_path)
    CheckedFile(node.kept).save(b"[]")
    node.next().limit(limits_of(2000))
    assert node.weight.read_text() == "79"
    node.next().limit(None)
    assert node.weight.read_text() == "300"

    node.kept.unlink()
    node.kept.mkdir()
    pods = node.next()
    pods.limit(limits_of(2000))
    assert node.weight.read_text() == "79"
    pods.limit(None)
    assert node.weight.read_text() == "300"


def test_no_limit_is_set_for_which_the_kernel_would_kill_pods(tmp_path: Path) -> None:
    """Pages of files are given back; all else that is in use is not."""
    group, proc = a_group(tmp_path, "cgroup2")
    limits = {"memory": 1 << 30, "cpu": 2000}
    (group / "memory.max").write_text("max")
    (group / "cpu.weight").write_text("100")
    (group / "memory.current").write_text(f"{3 << 30}\n")
    (group / "memory.stat").write_text(f"anon 9\ninactive_file {1 << 30}\nactive_file 5\n")

    pods = PodsGroup("pods", FoundWeights(None), proc)
    with pytest.raises(OSError, match="more is in use"):
        pods.limit(limits)
    assert (group / "memory.max").read_text() == "max"
    assert (group / "cpu.weight").read_text() == "79"

    (group / "memory.current").write_text(f"{2 << 30}\n")
    pods.limit(limits)
    assert (group / "memory.max").read_text() == str(1 << 30)


class Machine:
    """A file of reserves, the limits that were set, and the Node's Events."""

    def __init__(self, text: bytes | None) -> None:
        self.text = text
        self.node: Node | None = None
        self.is_busy = False
        self.limits: list[object] = []
        self.events: list[str] = []
        ground = Ground(lambda: self.text, CAPACITY, self.limit)
        self.keeper = Reserving(Env(), ground, self.own, self.take, lambda: None, 5.0)

    def own(self) -> Node | None:
        return self.node

    def limit(self, limits: object) -> None:
        if self.is_busy:
            raise OSError("busy")
        self.limits.append(limits)

    def take(self, record: Record) -> None:
        self.events.append(record.reason)


@pytest.mark.parametrize("text", [b"", b"{", b'{"systemReserved": {"memory": "512Gi"}}'])
async def test_a_file_that_is_wrong_at_a_start_limits_nothing_and_is_told_once_the_node_is_known(
    text: bytes,
) -> None:
    machine = Machine(text)
    await machine.keeper.look()
    assert (machine.limits, machine.events) == ([], [])

    machine.node = Node(metadata=ObjectMeta(name="node-1"))
    for _ in range(2):
        await machine.keeper.look()
    assert (machine.limits, machine.events) == ([], ["InvalidNodeReserves"])


async def test_pods_wait_for_a_file_that_is_being_written_and_not_for_one_that_stays_wrong() -> (
    None
):
    machine = Machine(b"")
    await machine.keeper.look()
    assert not machine.keeper.looked.is_set()
    machine.text = b'{"allowedUnsafeSysctls": ["net.core.somaxconn"]}'
    await machine.keeper.look()
    assert machine.keeper.looked.is_set()
    assert machine.keeper.reserves.sysctls == ("net.core.somaxconn",)

    wrong = Machine(b"{")
    for is_waited_for in (True, False):
        await wrong.keeper.look()
        assert wrong.keeper.looked.is_set() != is_waited_for


async def test_a_limit_that_is_refused_before_the_node_is_known_is_told_later() -> None:
    machine = Machine(None)
    machine.is_busy = True
    await machine.keeper.look()
    assert machine.events == []
    machine.node = Node(metadata=ObjectMeta(name="node-1"))
    for _ in range(2):
        await machine.keeper.look()
    assert machine.events == ["FailedNodeAllocatableEnforcement"]


def test_a_node_without_a_pod_has_no_group_to_limit(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(f"cgroup {tmp_path} cgroup rw 0 0\n")
    PodsGroup("pods", FoundWeights(None), tmp_path).limit({"memory": 1 << 30, "cpu": 2000})
    assert not (tmp_path / "pods").exists()
