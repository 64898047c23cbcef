"""Room in the store: what is taken while it is short, who may write how much, and what is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.settings import Limits
from apiserver.state.room import (
    WRITERS_MAX,
    Room,
    Write,
    is_to_trim,
    is_worth_defragmenting,
    may_disarm,
)
from apiserver.state.statuses import StorageFull
from apiserver.storage.store import Usage
from apiserver.strategies.registry import strategy_of
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import RequestTooLarge, TooManyRequests
from cubernetes.api.meta import Object
from cubernetes.host.web.messages import Identity

ADMIN = Identity("kubernetes-admin", ("system:masters",))
KUBELET = Identity("system:node:n1", ("system:nodes",))
PROXY = Identity("system:proxy:n1", ("system:proxies",))
QUOTA = 1_000_000
LIMITS = Limits(
    node_object_bytes_max=1000,
    node_write_bytes_per_s=100,
    node_write_burst_bytes=2000,
    write_bytes_per_s=10_000,
    write_burst_bytes=200_000,
)


def a_write(
    kind: type[Object] = Pod,
    old: int = 0,
    new: int = 100,
    *,
    by: Identity = ADMIN,
    part: str = "",
    status: int = 0,
    namespace: str = "default",
) -> Write:
    return Write(by, strategy_of(kind).vital_bytes_max(namespace), part, old, new, status)


def a_room(size: int, used: int | None = None, *, is_full: bool = False) -> Room:
    room = Room(LIMITS)
    room.looked(Usage(size, size if used is None else used, QUOTA, is_full), 0.0)
    return room


def is_refused(room: Room, write: Write) -> bool:
    try:
        room.check(write, 0.0)
    except StorageFull:
        return True
    return False


@pytest.mark.parametrize(
    ("write", "taken"),
    [
        (a_write(), False),
        (a_write(old=100, new=101), False),
        (a_write(old=100, new=100), True),
        (a_write(old=100, new=99), True),
        (a_write(Pod, 100, 4000, part="status", status=3900), True),
        (a_write(Pod, 100, 5000, part="status", status=4900), False),
        (a_write(Pod, 100, 200, part="binding"), False),
        (a_write(Lease, 0, 400, namespace="kube-node-lease"), True),
        (a_write(Lease, 0, 400, namespace="kube-system"), True),
        (a_write(Lease, 300, 4096, namespace="kube-node-lease"), True),
        (a_write(Lease, 300, 4097, namespace="kube-node-lease"), False),
        (a_write(Lease, 0, 400, namespace="default"), False),
    ],
)
def test_near_the_quota_is_taken_what_shrinks_or_keeps_the_cluster_alive(
    write: Write, taken: bool
) -> None:
    assert is_refused(a_room(850_000), write) != taken
    assert is_refused(a_room(1000, is_full=True), write) != taken
    assert not is_refused(a_room(849_999), write)


def test_room_is_short_until_there_is_clearly_more() -> None:
    room = a_room(850_000)
    room.looked(Usage(750_000, 100_000, QUOTA), 0.0)
    assert room.is_tight
    room.looked(Usage(749_999, 100_000, QUOTA), 0.0)
    assert not room.is_tight
    room.looked(Usage(849_999, 100_000, QUOTA), 0.0)
    assert not room.is_tight


def test_what_is_written_between_two_looks_counts() -> None:
    """What is free in the file is used first; nobody writes past the reserve before the next."""
    room = a_room(size=700_000, used=700_000)
    room.noted(ADMIN, 119_998, 0.0)
    assert not is_refused(room, a_write())
    room.noted(ADMIN, 2, 0.0)
    assert is_refused(room, a_write())
    # A look does not end that at once: a store measures itself a moment later.
    room.looked(Usage(700_000, 700_000, QUOTA), 0.5)
    assert is_refused(room, a_write())
    room.looked(Usage(700_000, 700_000, QUOTA), 1.5)
    assert not is_refused(room, a_write())
    free = a_room(size=700_000, used=100_000)
    free.noted(ADMIN, 190_000, 0.0)
    assert not is_refused(free, a_write())


def test_a_store_without_a_quota_is_never_full() -> None:
    room = Room(LIMITS)
    room.looked(Usage(1 << 40, 1 << 40, 0), 0.0)
    assert not is_refused(room, a_write())


@pytest.mark.parametrize("identity", [KUBELET, PROXY], ids=lambda one: one.user)
def test_what_a_node_writes_is_small(identity: Identity) -> None:
    room = a_room(0)
    room.check(a_write(Node, 500, 1000, by=identity), 0.0)
    with pytest.raises(RequestTooLarge, match="at most 1000"):
        room.check(a_write(Node, 500, 1001, by=identity), 0.0)
    with pytest.raises(RequestTooLarge):
        room.check(a_write(Node, 0, 1001, by=identity), 0.0)
    # What an administrator made large may be written on, and not made larger.
    room.check(a_write(Node, 5000, 5000, by=identity), 0.0)
    with pytest.raises(RequestTooLarge):
        room.check(a_write(Node, 5000, 5001, by=identity), 0.0)


def test_of_a_large_pod_a_node_writes_a_small_status() -> None:
    room = a_room(0)
    room.check(a_write(Pod, 50_000, 51_000, by=KUBELET, part="status", status=1000), 0.0)
    with pytest.raises(RequestTooLarge):
        room.check(a_write(Pod, 50_000, 51_001, by=KUBELET, part="status", status=1001), 0.0)
    room.check(a_write(Pod, 0, 500_000), 0.0)


def test_every_writer_has_a_rate_of_bytes_of_its_own() -> None:
    room = a_room(0)
    room.noted(KUBELET, 2001, 0.0)
    with pytest.raises(TooManyRequests, match="system:node:n1"):
        room.check(a_write(Node, 500, 500, by=KUBELET), 0.0)
    room.check(a_write(by=ADMIN), 0.0)
    room.check(a_write(by=Identity("system:node:n2", ("system:nodes",))), 0.0)
    room.check(a_write(Node, 500, 500, by=KUBELET), 0.01)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1000)), max_size=60))
def test_no_writer_gets_more_than_its_burst_and_its_rate(writes: list[tuple[float, int]]) -> None:
    room, now, written = a_room(0), 0.0, 0
    for span_s, count in writes:
        now += span_s
        try:
            room.check(a_write(Node, count, count, by=KUBELET), now)
        except TooManyRequests:
            continue
        room.noted(KUBELET, count, now)
        written += count
    # The last write is let in as long as anything is left.
    assert written <= 2000 + 100 * now + 1000


def test_a_crowd_of_writers_fills_no_memory() -> None:
    room = a_room(0)
    for number in range(WRITERS_MAX * 2):
        room.noted(Identity(f"u{number}"), 10, 0.0)
    assert room.writer_count == WRITERS_MAX + 1


def test_writers_of_long_ago_take_nobodys_place() -> None:
    """Nodes come and go for years: each has a rate of its own all the same."""
    room = a_room(0)
    for number in range(WRITERS_MAX + 5):
        room.noted(Identity(f"u{number}"), 10, 0.0)
    room.noted(KUBELET, 5000, 1000.0)
    with pytest.raises(TooManyRequests):
        room.check(a_write(Node, 500, 500, by=KUBELET), 1000.0)
    room.check(a_write(Node, 500, 500, by=PROXY), 1000.0)
    assert room.writer_count <= WRITERS_MAX


def test_who_is_refused_is_told_what_and_who_filled_the_store() -> None:
    room = Room(LIMITS)
    room.noted(KUBELET, 3 << 20, 0.0)
    room.noted(ADMIN, 1 << 20, 0.0)
    kinds = {"pods": 1 << 20, "nodes": 2 << 20, "events": 0}
    room.looked(Usage(900_000, 900_000, QUOTA), 0.0)
    room.kind_bytes = kinds
    with pytest.raises(StorageFull) as refused:
        room.check(a_write(by=ADMIN), 1e6)
    said = refused.value.message
    assert "nodes 2.0 MiB, pods 1.0 MiB" in said
    assert "system:node:n1 3.0 MiB, kubernetes-admin 1.0 MiB" in said
    assert "docs/store-full.md" in said
    assert refused.value.code == 503
    assert refused.value.retry_after_s


def test_the_store_is_looked_after_in_time_and_not_in_vain() -> None:
    assert not is_to_trim(Usage(599_999, 599_999, QUOTA))
    assert is_to_trim(Usage(600_000, 0, QUOTA))
    assert is_to_trim(Usage(0, 0, QUOTA, is_full=True))
    assert is_worth_defragmenting(Usage(600_000, 400_000, QUOTA))
    assert not is_worth_defragmenting(Usage(600_000, 400_001, QUOTA))
    assert not is_worth_defragmenting(Usage(500_000, 0, QUOTA))
    assert may_disarm(Usage(849_999, 0, QUOTA, is_full=True))
    assert not may_disarm(Usage(850_000, 0, QUOTA, is_full=True))
    assert not may_disarm(Usage(0, 0, QUOTA))
