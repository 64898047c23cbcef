"""Waiting pods: asked again when it makes sense, forgotten never, and no faster than that."""

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.scheduling.nodeinfo import NodeFacts, NodeInfo, PodRequests
from cubernetes.scheduling.plugin import Change, Filter, News, WaitReason
from scheduler.waiting import ASKED_MAX, Waiting

A, B = ("default", "a"), ("default", "b")
REFUSED = WaitReason(PodRequests(), frozenset())
NEWS = [Change(NodeInfo(NodeFacts("n1")), News.NODE)]


def parked(*keys: tuple[str, str]) -> Waiting:
    waiting = Waiting(retry_base_s=10, retry_limit_s=300, wake_pause_s=1)
    for key in keys:
        waiting.add(key)
    for key in keys:
        assert waiting.take(0) == key
        waiting.park(key, 0, waiting.epoch, REFUSED)
    return waiting


def test_w17_a_pod_that_fits_nowhere_is_not_asked_for_again_without_news() -> None:
    waiting = parked(A)

    assert waiting.take(9) is None
    assert waiting.due_s() == 10
    assert waiting.take(10) == A


def test_w17_when_room_appears_it_is_asked_for_at_once() -> None:
    waiting = parked(A, B)

    waiting.wake(5, NEWS)

    assert [waiting.take(5), waiting.take(5), waiting.take(5)] == [A, B, None]


def test_the_pause_without_news_grows_up_to_a_limit() -> None:
    waiting = parked(A)
    now_s, pauses = 0.0, []
    for _ in range(8):
        due_s = waiting.due_s()
        assert due_s is not None
        pauses.append(due_s - now_s)
        now_s = due_s
        assert waiting.take(now_s) == A
        waiting.park(A, now_s, waiting.epoch, REFUSED)

    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_stream_of_small_news_wakes_only_so_often() -> None:
    waiting, taken = parked(A), 0
    for tenth in range(100):
        waiting.wake(tenth / 10, NEWS)
        key = waiting.take(tenth / 10)
        if key is not None:
            taken += 1
            waiting.park(key, tenth / 10, waiting.epoch, REFUSED)

    assert taken == 10


def test_room_that_appears_while_the_refusal_is_written_is_not_missed() -> None:
    waiting = Waiting(retry_base_s=10, wake_pause_s=1)
    waiting.add(A)
    assert waiting.take(0) == A
    epoch = waiting.epoch
    waiting.wake(0.1, NEWS)
    assert waiting.take(0.1) is None

    waiting.park(A, 0.2, epoch, REFUSED)

    # Nobody was woken at 0.1, so that no pause is due.
    assert waiting.due_s() == 0.2
    assert waiting.take(0.2) == A


def test_each_time_that_room_appears_is_told_from_the_one_before() -> None:
    """A refusal is written twice: the second knows of the first news, and not of the later one."""
    waiting = Waiting(retry_base_s=10, wake_pause_s=1)
    waiting.add(A)
    waiting.wake(0, NEWS)
    assert waiting.take(0) == A
    epoch = waiting.epoch
    waiting.wake(2, NEWS)
    assert waiting.take(2) is None

    waiting.park(A, 2.5, epoch, REFUSED)

    assert waiting.take(3) == A


def test_a_failed_write_comes_again_ever_later_and_is_counted() -> None:
    waiting = parked(A)
    assert waiting.take(10) == A

    first_s = waiting.retry(A, 10, 0.0)
    assert waiting.take(10 + first_s) == A
    assert waiting.retry(A, 10 + first_s, 0.0) == 2 * first_s
    assert waiting.failure_count(A) == 2
    assert waiting.failure_count(B) == 0
    waiting.wake(11, NEWS)
    assert waiting.take(12) == A


def test_what_failed_by_a_bug_is_not_woken_by_news() -> None:
    waiting = Waiting(wake_pause_s=1)
    waiting.add(A)
    assert waiting.take(0) == A

    pause_s = waiting.retry(A, 0, 0.5, is_held=True)
    waiting.add(A)
    waiting.wake(0, NEWS)

    assert waiting.take(pause_s / 2) is None
    assert waiting.take(pause_s) == A


def test_what_needs_no_node_any_more_is_not_woken() -> None:
    waiting = parked(A)
    waiting.wake(1, NEWS)
    assert waiting.take(1) == A
    waiting.done(A)
    waiting.wake(5, NEWS)

    assert waiting.take(5) is None


@given(st.lists(st.sampled_from(["wake", "take", "park", "done", "add"]), max_size=60))
def test_whatever_happens_a_parked_pod_is_taken_after_the_last_news(steps: list[str]) -> None:
    waiting, now_s, busy = Waiting(retry_base_s=1000, wake_pause_s=1), 0.0, None
    waiting.add(A)
    for step in steps:
        now_s += 0.3
        if step == "wake":
            waiting.wake(now_s, NEWS)
        elif step == "add":
            waiting.add(A)
        elif step == "take" and busy is None:
            busy = (waiting.take(now_s), waiting.epoch)
            busy = busy if busy[0] else None
        elif step == "park" and busy is not None:
            waiting.park(A, now_s, busy[1], REFUSED)
            busy = None
        elif step == "done" and busy is not None:
            waiting.done(A)
            waiting.add(A)
            busy = None
    if busy is not None:
        waiting.park(A, now_s, busy[1], REFUSED)
    waiting.wake(now_s, NEWS)

    assert waiting.take(now_s + 1) == A


class AskedFilter:
    """Refuses where a node has less cpu than requested, and counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, requests: PodRequests, node: NodeInfo) -> str:
        self.count += 1
        return "is too small" if dict(requests.amounts)["cpu"] > node.free("cpu") else ""


def sized(cpu: int) -> NodeInfo:
    return NodeInfo(NodeFacts("n1", amounts={"cpu": cpu}, pod_count=9))


def test_only_what_its_filter_may_be_helped_by_wakes_a_pod() -> None:
    waiting, ask = Waiting(retry_base_s=1000, wake_pause_s=0), AskedFilter()
    big = WaitReason(PodRequests((("cpu", 500),)), frozenset([Filter(ask, News.AMOUNTS)]))
    waiting.add(A)
    assert waiting.take(0) == A
    waiting.park(A, 0, waiting.epoch, big)

    waiting.wake(1, [Change(sized(900), News.LABELS | News.PODS)])
    assert (waiting.take(1), ask.count) == (None, 0)
    waiting.wake(2, [Change(sized(400), News.AMOUNTS)])
    assert (waiting.take(2), ask.count) == (None, 1)
    waiting.wake(3, [Change(sized(400), News.AMOUNTS), Change(sized(500), News.AMOUNTS)])
    assert (waiting.take(3), ask.count) == (A, 3)
    waiting.park(A, 3, waiting.epoch, big)
    waiting.wake(4, [Change(sized(1), News.NODE)])
    assert (waiting.take(4), ask.count) == (A, 3)


def test_a_thousand_equal_pods_are_one_question_and_none_once_they_are_to_be_woken() -> None:
    waiting, ask = Waiting(retry_base_s=1000, wake_pause_s=10), AskedFilter()
    filters = frozenset([Filter(ask, News.AMOUNTS)])
    for at in range(1000):
        waiting.add(("default", str(at)))
        key = waiting.take(0)
        assert key is not None
        big = WaitReason(PodRequests((("cpu", 500),)), filters)
        waiting.park(key, 0, waiting.epoch, big)

    for cpu in (100, 200, 900, 900, 900):
        waiting.wake(1, [Change(sized(cpu), News.AMOUNTS)])

    assert ask.count == 3
    taken = [waiting.take(1) for _ in range(1001)]
    assert taken == [*(("default", str(at)) for at in range(1000)), None]


def test_where_refusals_are_of_very_many_kinds_all_pods_are_woken_unasked() -> None:
    waiting, ask = Waiting(retry_base_s=1000, wake_pause_s=0), AskedFilter()
    filters = frozenset([Filter(ask, News.AMOUNTS)])
    for at in range(ASKED_MAX + 1):
        waiting.add(("default", str(at)))
        key = waiting.take(0)
        assert key is not None
        waiting.park(key, 0, waiting.epoch, WaitReason(PodRequests((("cpu", at),)), filters))

    waiting.wake(1, [Change(sized(0), News.LABELS)])

    assert ask.count == 0
    assert sum(waiting.take(1) is not None for _ in range(2 * ASKED_MAX)) == ASKED_MAX + 1


def test_pods_come_by_priority_then_by_age_then_as_asked_for_woken_ones_too() -> None:
    waiting = Waiting(retry_base_s=10, wake_pause_s=0)
    asked = {"young": (0, 9.0), "old": (0, 1.0), "high": (5, 9.0), "low": (-1, 0.0)}
    keys = {name: ("default", name) for name in asked}
    for name, (priority, created_s) in asked.items():
        waiting.add(keys[name], priority, created_s)
    order = [keys[name] for name in ("high", "old", "young", "low")]

    taken = [waiting.take(0) for _ in order]
    assert taken == order
    for key in reversed(order):
        waiting.park(key, 0, waiting.epoch, REFUSED)
    waiting.wake(1, NEWS)
    assert [waiting.take(1) for _ in order] == order
