"""What the kernel's text about processes and groups means."""

import pytest

from kubelet.runtime.cgroup import (
    V1,
    group_folders,
    has_cgroup,
    hierarchies,
    is_dead,
    oom_score_floor,
    pod_cgroup,
    started_ticks,
)

ID = "5d" * 32
TAIL = " 1 1 1 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 {threads} 0 4242 1000 200"


def stat(state: str, threads: int = 1, name: str = "(sd) x") -> str:
    return f"77 ({name}) {state}{TAIL.format(threads=threads)}"


def test_a_pods_group_is_spelled_as_its_driver_wants() -> None:
    assert pod_cgroup("cgroupfs", "cubernetes", "a-b") == "/cubernetes/poda-b"
    assert pod_cgroup("systemd", "cubernetes", "a-b") == "cubernetes-poda_b.slice"


@pytest.mark.parametrize(
    "line",
    [
        f"4:memory:/cubernetes/podx/{ID}",
        f"0::/cubernetes.slice/cubernetes-podx.slice/docker-{ID}.scope",
        f"0::/../../{ID}",
    ],
)
def test_a_process_is_known_by_its_group(line: str) -> None:
    assert has_cgroup(f"1:name=systemd:/other\n{line}\n", ID)
    assert not has_cgroup(line, "6e" * 32)
    assert not has_cgroup("", ID)


def test_a_name_may_hold_parentheses_and_spaces() -> None:
    assert started_ticks(stat("S", name="a) Z (b")) == 4242
    assert not is_dead(stat("S", name="a) Z (b"))


@pytest.mark.parametrize(
    ("state", "threads", "dead"),
    [("S", 1, False), ("R", 9, False), ("Z", 1, True), ("Z", 3, False), ("X", 1, True)],
)
def test_a_zombie_is_dead_unless_its_threads_go_on(state: str, threads: int, dead: bool) -> None:
    assert is_dead(stat(state, threads)) is dead


def test_a_group_lies_in_every_hierarchy() -> None:
    mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\nx / ext4 rw 0 0\nc /sys/u cgroup2 rw 0 0\n"
    assert hierarchies(mounts) == ["/sys/fs/cgroup/cpu", "/sys/u"]
    assert hierarchies(mounts, kinds=V1) == ["/sys/fs/cgroup/cpu"]
    assert [str(f) for f in group_folders(["/sys/u"], "/c/p")] == ["/sys/u/c/p"]


def test_a_pods_slice_lies_in_the_slice_of_all_pods() -> None:
    (folder,) = group_folders(["/sys/u"], pod_cgroup("systemd", "cubernetes", "a-b"))

    assert str(folder) == "/sys/u/cubernetes.slice/cubernetes-poda_b.slice"


def test_a_root_of_many_parts_lies_in_a_slice_for_each() -> None:
    (folder,) = group_folders(["/sys/u"], pod_cgroup("systemd", "a-b-c", "x"))

    assert str(folder) == "/sys/u/a.slice/a-b.slice/a-b-c.slice/a-b-c-podx.slice"


def test_who_lacks_the_right_gives_no_lower_oom_score_than_its_own() -> None:
    status = "Name:\tpython\nCapInh:\t0000000000000000\nCapEff:\t{}\n"
    whole, container = status.format("000001ffffffffff"), status.format("000001fffeffffff")

    assert oom_score_floor(whole, "0\n") == -1000
    assert oom_score_floor(container, "0\n") == 0
    assert oom_score_floor(container, "-500\n") == -500
    assert oom_score_floor(status.format("0000000000000000"), "200\n") == 200
