"""Who may begin on a node: the oldest first, each judged once, as Kubernetes' kubelet says it."""

from datetime import timedelta

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.core.podspec.security.context import PodSecurityContext, Sysctl
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from kubelet.devices.book import Book, Shelf, Unit
from kubelet.pod.decisions.admission import Gate, Refusal, Room
from tests.given import NOW, a_pod

ROOM = Room({"cpu": 1000, "memory": 1 << 30}, pod_count=3)


def asking(name: str, cpu: str = "", memory: str = "", *, age_s: float = 0) -> Pod:
    return a_pod(name, cpu=cpu, memory=memory, uid=name, created_at=NOW - timedelta(seconds=age_s))


def taken_on(pod: Pod) -> Pod:
    return replaced(pod, status=replaced(pod.status, start_time=NOW))


def test_the_oldest_are_let_in_and_each_resource_is_named() -> None:
    old, young = asking("young", "600m", age_s=9), asking("old", "600m", age_s=1)
    assert {uid: one.reason for uid, one in Gate().judge([young, old], ROOM).items()} == {
        "old": "OutOfcpu"
    }
    fat = asking("fat", memory="2Gi")
    assert Gate().judge([fat], ROOM)["fat"].reason == "OutOfmemory"
    crowd = [asking(f"p{at}", age_s=at) for at in range(4)]
    assert {uid: one.reason for uid, one in Gate().judge(crowd, ROOM).items()} == {
        "p0": "OutOfpods"
    }


def test_who_asks_for_nothing_lacks_nothing() -> None:
    full = [taken_on(asking("full", "1000m")), asking("modest")]
    assert Gate().judge(full, ROOM) == {}


def test_who_was_taken_on_or_is_to_go_is_never_refused() -> None:
    big = taken_on(asking("big", "9"))
    going = replaced(asking("going", "9"), metadata=replaced(big.metadata, deletion_timestamp=NOW))
    assert Gate().judge([big, going], ROOM) == {}


def test_a_verdict_stays_whatever_room_there_is_later() -> None:
    gate, first, second = Gate(), asking("first", "1", age_s=9), asking("second", "1")
    assert gate.judge([first, second], ROOM).keys() == {"second"}
    assert gate.judge([second], ROOM).keys() == {"second"}
    assert gate.judge([], ROOM) == {}

    # Who was let in keeps the place, though an older pod asks for it now.
    gate = Gate()
    assert gate.judge([second], ROOM) == {}
    assert gate.judge([first, second], ROOM).keys() == {"first"}


def test_a_device_that_the_node_has_is_given_to_one_pod_and_refused_to_the_next() -> None:
    def wanting(name: str, age_s: float) -> Pod:
        pod = asking(name, age_s=age_s)
        resources = Resources(limits={"example.com/gpu": Quantity("1")})
        container = replaced(pod.spec.containers[0], resources=resources)
        return replaced(pod, spec=replaced(pod.spec, containers=(container,)))

    pods, room = [wanting("first", 9), wanting("second", 1)], ROOM.amounts
    refused = Gate().judge(pods, ROOM._replace(amounts={**room, "example.com/gpu": 1}))
    assert refused.keys() == {"second"}
    assert refused["second"].reason == "OutOfexample.com/gpu"
    assert refused["second"].message == (
        "Pod was rejected: Node didn't have enough resource: example.com/gpu, requested: 1, "
        "used: 1, capacity: 1"
    )
    # Kubernetes' kubelet does not judge what its node does not name.
    assert Gate().judge(pods, ROOM) == {}


def test_a_device_that_the_kubelet_gives_is_refused_where_there_are_too_few() -> None:
    gpu = Resources(limits={"example.com/gpu": Quantity("1")})

    def wanting(name: str, age_s: float) -> Pod:
        pod = asking(name, age_s=age_s)
        container = replaced(pod.spec.containers[0], resources=gpu)
        return replaced(pod, spec=replaced(pod.spec, containers=(container,)))

    pods = [wanting("first", 9), wanting("second", 1)]
    shelf = Shelf({"example.com/gpu": (Unit("a", "a"), Unit("b", "b", "is ill"))}, Book())
    refused = Gate().judge(pods, ROOM._replace(devices=shelf))
    assert refused.keys() == {"second"}
    assert refused["second"].reason == "UnexpectedAdmissionError"
    # It had devices once, and has none now.
    gone = Shelf({}, Book(offered=frozenset({"example.com/gpu"})))
    assert Gate().judge(pods, ROOM._replace(devices=gone)).keys() == {"first", "second"}


def test_an_unsafe_sysctl_is_refused_where_the_node_does_not_allow_it() -> None:
    safe, unsafe = asking("safe"), asking("unsafe")
    for name, one in (("net.ipv4.tcp_syncookies", safe), ("kernel.msgmax", unsafe)):
        settings = PodSecurityContext(sysctls=(Sysctl(name=name, value="1"),))
        pod = replaced(one, spec=replaced(one.spec, security_context=settings))
        safe, unsafe = (pod, unsafe) if one is safe else (safe, pod)

    said = 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    assert Gate().judge([safe, unsafe], ROOM) == {"unsafe": Refusal("SysctlForbidden", said)}
    assert Gate().judge([safe, unsafe], ROOM._replace(sysctls=("kernel.msg*",))) == {}


def test_a_node_that_is_short_takes_what_bears_it_and_what_the_system_needs() -> None:
    short = Room({}, 9, pressed=frozenset({"MemoryPressure"}))
    plain, asks = asking("plain"), asking("asks", memory="64Mi")
    needed = asking("needed")
    needed = replaced(needed, spec=replaced(needed.spec, priority=2_000_000_000))
    refused = Gate().judge([plain, asks, needed], short)
    said = "Pod was rejected: The node had condition: [MemoryPressure]. "
    assert refused == {"plain": Refusal("Evicted", said)}

    full = Room({}, 9, pressed=frozenset({"DiskPressure"}))
    bears = Toleration(key="node.kubernetes.io/disk-pressure", operator="Exists")
    daemon = replaced(plain, spec=replaced(plain.spec, tolerations=(bears,)))
    assert Gate().judge([daemon], full) == {}
    assert Gate().judge([plain, asks], full).keys() == {"plain", "asks"}
