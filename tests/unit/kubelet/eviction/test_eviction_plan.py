"""Which pod ends when a node is short of something: laws of the order, and the words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import replaced
from kubelet.eviction.plan import HELD_MIN, Known, PodUse, after_look, due, eviction_of, ranked
from kubelet.eviction.room import MachineRoom, Share
from kubelet.eviction.thresholds import Amount, Threshold, Thresholds, thresholds_of
from tests.given import a_container, a_pod

MIB = 1 << 20
PLENTY = MachineRoom(*(Share(90, 100),) * 4)
LITTLE = replace(PLENTY, memory=Share(5, 100))
HARD = Threshold("memory.available", Amount(10))
SOFT = Threshold("memory.available", Amount(20), False, 30.0)
BOTH = Thresholds((SOFT, HARD), transition_s=60.0, grace_max_s=15.0)


def known_after(*looks: tuple[float, MachineRoom], thresholds: Thresholds = BOTH) -> Known:
    known = Known()
    for now_s, room in looks:
        known = after_look(known, thresholds, room, now_s)
    return known


def test_a_hard_threshold_is_due_at_once_and_a_soft_one_after_its_grace() -> None:
    short = replace(PLENTY, memory=Share(15, 100))
    assert due(known_after((0.0, LITTLE)), 0.0) == HARD
    known = known_after((0.0, short), (29.0, short))
    assert due(known, 29.0) is None
    assert due(known, 30.0) == SOFT
    again = known_after((0.0, short), (29.0, PLENTY), (30.0, short))
    assert due(again, 31.0) is None


def test_a_pressure_is_told_for_its_transition_beyond_the_last_sight_of_it() -> None:
    known = known_after((0.0, LITTLE), (10.0, LITTLE), (69.0, PLENTY))
    assert known.pressed == {"MemoryPressure"}
    assert after_look(known, BOTH, PLENTY, 70.0).pressed == set()
    assert due(known, 69.0) is None


def test_a_threshold_lasts_until_its_minimum_reclaim_is_back_as_well() -> None:
    back = Thresholds((HARD._replace(reclaim=Amount(5)),))
    almost = replace(PLENTY, memory=Share(14, 100))
    assert due(known_after((0.0, almost), thresholds=back), 0.0) is None
    assert due(known_after((0.0, LITTLE), (1.0, almost), thresholds=back), 1.0)
    assert not due(known_after((0.0, LITTLE), (1.0, PLENTY), thresholds=back), 1.0)


def test_memory_comes_before_the_disk_and_what_is_not_counted_is_never_short() -> None:
    full = replace(LITTLE, disk=Share(0, 100), inodes=Share(0, 0), pids=Share(0, 100))
    known = known_after((0.0, full), thresholds=thresholds_of(None))
    assert known.pressed == {"MemoryPressure", "DiskPressure", "PIDPressure"}
    found = due(known, 0.0)
    assert found is not None
    assert found.signal == "memory.available"
    assert known_after((0.0, MachineRoom()), thresholds=thresholds_of(None)).pressed == set()


def a_user(name: str, request_mib: int = 0, priority: int = 0, **fields: object) -> Pod:
    memory = f"{request_mib}Mi" if request_mib else ""
    pod = a_pod(name, uid=name, containers=[a_container(memory=memory)], **fields)  # type: ignore[arg-type]
    return replaced(pod, spec=replaced(pod.spec, priority=priority))


def names(pods: Sequence[Pod], mib: Mapping[str, int]) -> list[str]:
    uses = {name: PodUse({"memory": count * MIB}) for name, count in mib.items()}
    return [one.metadata.name for one in ranked("memory", pods, uses)]


def test_who_exceeds_its_request_goes_first_then_by_priority_then_by_how_much() -> None:
    pods = [
        a_user("asks-enough", request_mib=500),
        a_user("asks-enough-and-matters", request_mib=500, priority=9),
        a_user("takes-little"),
        a_user("takes-much", request_mib=100),
        a_user("takes-most-but-matters", priority=9),
    ]
    held = dict(zip((one.metadata.name for one in pods), (400, 400, 50, 400, 800), strict=True))
    assert names(pods, held) == [
        "takes-much",
        "takes-little",
        "takes-most-but-matters",
        "asks-enough",
        "asks-enough-and-matters",
    ]


def test_what_the_system_needs_is_over_or_holds_nothing_is_never_chosen() -> None:
    pods = [
        a_user("critical", priority=2_000_000_000),
        a_user("over", phase="Succeeded"),
        a_user("small"),
        a_user("unknown"),
    ]
    assert names(pods, {"critical": 900, "over": 900, "small": 0}) == []


AMOUNTS = st.integers(0, 900)
USERS = st.lists(st.tuples(AMOUNTS, AMOUNTS, st.integers(0, 3)), max_size=8)


@given(USERS, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_pods(
    users: list[tuple[int, int, int]], chance: Random
) -> None:
    pods = [a_user(f"p{index}", asked, rank) for index, (asked, _, rank) in enumerate(users)]
    held = {f"p{index}": mib for index, (_, mib, _) in enumerate(users)}
    order = names(pods, held)
    chance.shuffle(pods)
    assert names(pods, held) == order


@given(USERS)
def test_nobody_within_its_request_goes_before_who_exceeds_it(
    users: list[tuple[int, int, int]],
) -> None:
    pods = [a_user(f"p{index}", asked, rank) for index, (asked, _, rank) in enumerate(users)]
    held = {f"p{index}": mib for index, (_, mib, _) in enumerate(users)}
    order = names(pods, held)
    exceeds = [held[name] > users[int(name[1:])][0] for name in order]
    assert exceeds == sorted(exceeds, reverse=True)
    assert set(order) == {name for name, mib in held.items() if mib * MIB >= HELD_MIN["memory"]}


def test_the_message_has_the_numbers_in_kubernetes_words() -> None:
    pod = a_pod("web", spec=PodSpec(containers=(a_container("main", memory="100Mi"),)))
    use = PodUse({"memory": 300 * MIB}, {"main": {"memory": 300 * MIB}})
    share = Share(50 * MIB, 4 << 30)
    threshold = Threshold("memory.available", Amount(100 * MIB))
    found = eviction_of(pod, threshold, share, use, 15.0)
    assert found.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container main was using 300Mi, request is 100Mi, has larger consumption of memory. "
    )
    assert (found.grace_s, found.is_disruption) == (1.0, True)
    assert eviction_of(pod, threshold._replace(is_hard=False), share, use, 15.0).grace_s == 15.0


def test_a_share_of_the_inodes_is_told_as_a_number() -> None:
    threshold = Threshold("nodefs.inodesFree", Amount(percent=5.0))
    found = eviction_of(a_pod("web"), threshold, Share(1024, 40960), PodUse(), 0.0)
    said = "The node was low on resource: inodes. Threshold quantity: 2048, available: 1024. "
    assert found.message == said
