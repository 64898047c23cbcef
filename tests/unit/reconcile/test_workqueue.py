"""The queue's laws, on any life of it: nothing is lost, nothing is done twice at once."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cubernetes.host.timing.backoff import jittered_s
from cubernetes.reconcile.workqueue import HELD_MAX_S, RETRY_MAX_S, Workqueue

KEYS = st.sampled_from("abcd")


class LifeOfAQueue(RuleBasedStateMachine):
    """A model beside it: who is owed a round, who is busy, who is held until when."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Workqueue[str] = Workqueue()
        self.now_s = 0.0
        self.owed: set[str] = set()
        self.busy: set[str] = set()
        self.held: set[str] = set()
        self.due: dict[str, float] = {}

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        if key not in self.held:
            self.owed.add(key)

    @rule(key=KEYS, delay_s=st.floats(0, 20))
    def add_later(self, key: str, delay_s: float) -> None:
        self.queue.add_at(key, self.now_s + delay_s)
        self._wish(key, self.now_s + delay_s)

    @rule(delay_s=st.floats(0.01, 30))
    def time_passes(self, delay_s: float) -> None:
        self.now_s += delay_s

    @rule()
    def take(self) -> None:
        self._ring()
        key = self.queue.take(self.now_s)
        if key is None:
            assert not self.owed - self.busy, "a key that was asked for is not given"
            return
        assert key not in self.busy, "two workers have one key"
        assert key in self.owed, "nobody asked for this key"
        self.owed.discard(key)
        self.busy.add(key)

    def _ring(self) -> None:
        for key in [key for key, at_s in self.due.items() if at_s <= self.now_s]:
            del self.due[key]
            self.held.discard(key)
            self.owed.add(key)

    def _wish(self, key: str, at_s: float) -> None:
        self.due[key] = min(at_s, self.due.get(key, at_s))

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.busy)))
        self.queue.done(key)
        self.busy.discard(key)
        assert self.queue.failure_count(key) == 0

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), fraction=st.floats(0, 0.99), is_held=st.booleans())
    def fail(self, data: st.DataObject, fraction: float, is_held: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.busy)))
        pause_s = self.queue.retry(key, self.now_s, fraction, is_held=is_held)
        assert 0 < pause_s <= (HELD_MAX_S if is_held else RETRY_MAX_S)
        self.busy.discard(key)
        if is_held:
            self.owed.discard(key)
            self.due.pop(key, None)
            self.held.add(key)
        self._wish(key, self.now_s + pause_s)

    @invariant()
    def it_says_when_the_next_key_is_due(self) -> None:
        assert self.queue.due_s() == min(self.due.values(), default=None)


TestLifeOfAQueue = LifeOfAQueue.TestCase


@given(asked=st.lists(KEYS, min_size=1))
def test_keys_come_in_the_order_in_which_they_were_first_asked_for(asked: list[str]) -> None:
    queue: Workqueue[str] = Workqueue()
    for key in asked:
        queue.add(key)

    taken = [queue.take(0.0) for _ in range(len(queue))]

    assert taken == list(dict.fromkeys(asked))
    assert queue.take(0.0) is None


def test_failures_lengthen_the_pause_and_a_success_forgets_them() -> None:
    queue: Workqueue[str] = Workqueue()
    pauses_s, now_s = [], 0.0
    for _ in range(12):
        queue.add("a")
        queue.take(now_s)
        pauses_s.append(queue.retry("a", now_s, 0.5))
        now_s += pauses_s[-1]
    queue.add("a")
    queue.take(now_s)
    queue.done("a")
    queue.add("a")
    queue.take(now_s)

    assert pauses_s == sorted(pauses_s)
    assert pauses_s[-1] == RETRY_MAX_S * 0.75
    assert queue.retry("a", now_s, 0.5) == pauses_s[0]


def test_news_end_the_pause_of_a_failure_but_not_of_a_bug() -> None:
    queue: Workqueue[str] = Workqueue()
    for key, is_held in (("trouble", False), ("bug", True)):
        queue.add(key)
        queue.take(0.0)
        queue.retry(key, 0.0, 0.5, is_held=is_held)
    queue.add("trouble")
    queue.add("bug")

    assert queue.take(0.0) == "trouble"
    assert queue.take(0.0) is None
    assert queue.take(10.0) == "bug"


def test_one_key_that_fails_does_not_delay_another() -> None:
    queue: Workqueue[str] = Workqueue()
    queue.add("bad")
    queue.take(0.0)
    queue.retry("bad", 0.0, 0.0)
    queue.add("good")

    assert queue.take(0.0) == "good"


def test_the_pause_of_a_failure_doubles_from_a_fifth_of_a_second_up_to_a_minute() -> None:
    queue: Workqueue[str] = Workqueue()
    now_s, pauses = 0.0, []
    queue.add("a")
    for count in range(1, 11):
        assert queue.take(now_s) == "a"
        pause_s = queue.retry("a", now_s, 0.0)
        assert queue.due_s() == now_s + pause_s
        assert queue.failure_count("a") == count
        assert queue.failure_count("b") == 0
        pauses.append(round(pause_s / jittered_s(1.0, 0.0), 6))
        now_s += pause_s

    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0]


def test_the_pause_of_a_bug_grows_up_to_five_minutes() -> None:
    queue: Workqueue[str] = Workqueue()
    now_s, pause_s = 0.0, 0.0
    queue.add("a")
    for _ in range(14):
        assert queue.take(now_s) == "a"
        pause_s = queue.retry("a", now_s, 0.0, is_held=True)
        now_s += pause_s

    assert pause_s == jittered_s(HELD_MAX_S, 0.0) == 150.0


def test_a_key_that_is_asked_for_early_is_not_due_again_and_one_that_fails_keeps_its_pause() -> (
    None
):
    queue: Workqueue[str] = Workqueue()
    queue.add_at("a", 5.0)
    assert not queue.is_waiting("a")
    queue.add_early("a")
    assert queue.is_waiting("a")
    assert queue.take(1.0) == "a"
    assert queue.is_waiting("a")
    queue.done("a")
    assert not queue.is_waiting("a")
    assert queue.take(5.0) is None
    queue.add("a")
    assert queue.take(6.0) == "a"
    pause_s = queue.retry("a", 6.0, 0.0)
    queue.add_early("a")
    assert queue.take(6.0) is None
    assert queue.take(6.0 + pause_s) == "a"


def test_keys_that_are_due_at_the_same_time_come_in_the_order_of_asking() -> None:
    queue: Workqueue[str] = Workqueue()
    for key in ("c", "a", "b"):
        queue.add_at(key, 5.0)

    assert [queue.take(5.0) for _ in range(4)] == ["c", "a", "b", None]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30))
def test_keys_of_lower_rank_come_first_and_equal_ones_in_their_order(
    asked: list[tuple[str, bool]],
) -> None:
    ranks = {"a": (2.0,), "b": (1.0,), "c": (2.0,), "d": (0.0, 5.0), "e": (0.0, 1.0)}
    queue: Workqueue[str] = Workqueue(lambda key: ranks.get(key, (9.0,)))
    waiting: list[str] = []
    for key, is_taken in asked:
        queue.add(key)
        if key not in waiting:
            waiting.append(key)
        if is_taken:
            expected = min(waiting, key=lambda one: ranks.get(one, (9.0,)))
            assert queue.take(0) == expected
            queue.done(expected)
            waiting.remove(expected)
        assert len(queue) == len(waiting)
