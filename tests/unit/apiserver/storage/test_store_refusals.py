"""What etcd's errors mean: failed for certain, unknown, or the store's fault."""

import pytest

from apiserver.storage.etcd.refusals import refusal
from apiserver.storage.etcd.version import VersionRefused, check_version
from apiserver.storage.store import (
    Compacted,
    FutureRevision,
    LeaseEnded,
    StorageFull,
    StoreError,
    TooLarge,
    Unavailable,
    WriteInDoubt,
)

REFUSALS = [
    ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", StorageFull),
    ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Unavailable),
    ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (3 vs. 2)", TooLarge),
    ("INVALID_ARGUMENT", "etcdserver: request is too large", TooLarge),
    ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", TooLarge),
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", Compacted),
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", FutureRevision),
    ("NOT_FOUND", "etcdserver: requested lease not found", LeaseEnded),
    ("PERMISSION_DENIED", "etcdserver: permission denied", StoreError),
]


@pytest.mark.parametrize(("code", "said", "reason"), REFUSALS)
@pytest.mark.parametrize("is_write", [False, True])
def test_a_refusal_is_the_same_for_reads_and_writes(
    code: str, said: str, reason: type[StoreError], is_write: bool
) -> None:
    assert type(refusal(code, said, is_write=is_write)) is reason


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("UNAVAILABLE", "Socket closed"),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer"),
        ("UNAVAILABLE", "etcdserver: request timed out"),
        ("UNAVAILABLE", "etcdserver: request timed out, possibly due to previous leader failure"),
        ("UNAVAILABLE", "etcdserver: leader changed"),
        ("UNAVAILABLE", "etcdserver: server stopped"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded"),
        ("CANCELLED", "CANCELLED"),
        ("UNKNOWN", "Stream removed"),
        ("INTERNAL", "Received RST_STREAM with error code 2"),
    ],
)
def test_a_write_cut_off_is_unknown_and_a_read_is_unavailable(code: str, said: str) -> None:
    assert type(refusal(code, said, is_write=True)) is WriteInDoubt
    assert type(refusal(code, said, is_write=False)) is Unavailable


@pytest.mark.parametrize(
    "said",
    [
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: refused",
        "etcdserver: no leader",
        "DNS resolution failed for etcd:2379",
    ],
)
def test_a_write_that_never_left_did_not_happen(said: str) -> None:
    assert type(refusal("UNAVAILABLE", said, is_write=True)) is Unavailable


@pytest.mark.parametrize("version", ["3.5.13", "3.5.30", "3.6.0", "3.6.1-rc.1", "4.0.0"])
def test_a_good_etcd_is_taken(version: str) -> None:
    check_version("127.0.0.1:2379", version)


@pytest.mark.parametrize("version", ["3.4.23", "3.4.40", "3.5.0", "3.5.12", "2.3.8", "", "latest"])
def test_an_etcd_with_known_faults_is_refused_with_advice(version: str) -> None:
    with pytest.raises(VersionRefused, match=r"at 10\.0\.0\.1:2379 .*scripts/install-etcd"):
        check_version("10.0.0.1:2379", version)
