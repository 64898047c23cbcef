"""What of a node is not for pods: both reserves, the margin of evictions, and what is wrong."""

from pathlib import Path

import pytest

from cubernetes.api.quantities import Quantity
from kubelet.eviction.reserved import (
    Reserves,
    ReservesInvalid,
    allocatable,
    is_allowed,
    pods_limits,
    reserves_of,
)
from kubelet.eviction.thresholds import thresholds_of
from kubelet.node.reserving import limit_pods

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
    reserves = reserves_of(FILE)
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


def test_who_reserves_more_than_there_is_leaves_pods_nothing() -> None:
    reserves = reserves_of(b'{"systemReserved": {"cpu": "9", "memory": "1Ti"}}')
    usable = allocatable(CAPACITY, reserves.reserved, MARGINS)

    assert (usable["cpu"].milli, usable["memory"].whole) == (0, 0)


def test_the_pods_group_has_what_is_not_reserved_and_evictions_come_before_its_limit() -> None:
    assert pods_limits(CAPACITY, reserves_of(FILE)) == {
        "memory": (8 << 30) - (1 << 30) - (512 << 20),
        "cpu": 3250,
    }
    assert pods_limits(CAPACITY, Reserves()) is None
    told = b'{"kubeReserved": {"cpu": "1"}, "enforceNodeAllocatable": []}'
    assert pods_limits(CAPACITY, reserves_of(told)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "truncated"),
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
        reserves_of(text)


def test_a_sysctl_is_allowed_by_its_name_or_by_its_beginning() -> None:
    told = b'{"allowedUnsafeSysctls": ["kernel.msg*", "net.core.somaxconn", "net.ipv6.*"]}'
    allowed = reserves_of(told).sysctls

    named = ("kernel.msgmax", "net.core.somaxconn", "net.ipv6.conf.all.mtu")
    assert all(is_allowed(one, allowed) for one in named)
    others = ("kernel.shmmax", "net.core.somaxconn2", "net.ipv4.tcp_mem")
    assert not any(is_allowed(one, allowed) for one in others)


V1 = (("memory.limit_in_bytes", "9223372036854771712", "-1"), ("cpu.shares", "1024", None))
V2 = (("memory.max", "max", "max"), ("cpu.weight", "100", None))


@pytest.mark.parametrize(("kind", "files"), [("cgroup", V1), ("cgroup2", V2)])
def test_the_group_of_all_pods_is_limited_and_is_not_again(
    tmp_path: Path, kind: str, files: tuple[tuple[str, str, str | None], ...]
) -> None:
    group, proc = tmp_path / "cg" / "pods", tmp_path / "proc"
    group.mkdir(parents=True)
    proc.mkdir()
    (proc / "mounts").write_text(f"{kind} {tmp_path / 'cg'} {kind} rw 0 0\n")
    for name, before, _ in files:
        (group / name).write_text(before)

    limit_pods("pods", {"memory": (1 << 30) + 5, "cpu": 2000}, proc)
    weight = {"cpu.shares": "2048", "cpu.weight": "79"}
    memory, cpu = files[0], files[1]
    assert (group / memory[0]).read_text() == str(1 << 30)
    assert (group / cpu[0]).read_text() == weight[cpu[0]]

    limit_pods("pods", None, proc)
    assert (group / memory[0]).read_text() == memory[2]


def test_a_node_without_a_pod_has_no_group_to_limit(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(f"cgroup {tmp_path} cgroup rw 0 0\n")
    limit_pods("pods", {"memory": 1 << 30, "cpu": 2000}, tmp_path)
    assert not (tmp_path / "pods").exists()
