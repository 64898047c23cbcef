"""Who may begin on a node: the oldest first, each judged once, as Kubernetes' kubelet says it."""

from datetime import timedelta

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from kubelet.pod.admission import Gate, Room
from tests.given import NOW, a_pod

ROOM = Room(cpu_milli=1000, memory_bytes=1 << 30, pod_count=3)


def asking(name: str, cpu: str = "", memory: str = "", *, age_s: float = 0) -> Pod:
    return a_pod(name, cpu=cpu, memory=memory, uid=name, created_at=NOW - timedelta(seconds=age_s))


def taken_on(pod: Pod) -> Pod:
    return replaced(pod, status=replaced(pod.status, start_time=NOW))


def test_the_oldest_are_let_in_and_each_resource_is_named() -> None:
    old, young = asking("young", "600m", age_s=9), asking("old", "600m", age_s=1)
    assert {uid: one.reason for uid, one in Gate(ROOM).judge([young, old]).items()} == {
        "old": "OutOfcpu"
    }
    fat = asking("fat", memory="2Gi")
    assert Gate(ROOM).judge([fat])["fat"].reason == "OutOfmemory"
    crowd = [asking(f"p{at}", age_s=at) for at in range(4)]
    assert {uid: one.reason for uid, one in Gate(ROOM).judge(crowd).items()} == {"p0": "OutOfpods"}


def test_who_asks_for_nothing_lacks_nothing() -> None:
    full = [taken_on(asking("full", "1000m")), asking("modest")]
    assert Gate(ROOM).judge(full) == {}


def test_who_was_taken_on_or_is_to_go_is_never_refused() -> None:
    big = taken_on(asking("big", "9"))
    going = replaced(asking("going", "9"), metadata=replaced(big.metadata, deletion_timestamp=NOW))
    assert Gate(ROOM).judge([big, going]) == {}


def test_a_verdict_stays_whatever_room_there_is_later() -> None:
    gate, first, second = Gate(ROOM), asking("first", "1", age_s=9), asking("second", "1")
    assert gate.judge([first, second]).keys() == {"second"}
    assert gate.judge([second]).keys() == {"second"}
    assert gate.judge([]) == {}

    # Who was let in keeps the place, though an older pod asks for it now.
    gate = Gate(ROOM)
    assert gate.judge([second]) == {}
    assert gate.judge([first, second]).keys() == {"first"}
