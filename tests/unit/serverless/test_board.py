"""Calls and seats: nothing is lost, nobody is overtaken, no instance has too much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serverless.board.board import Board, QueueFull, Seat, Waiting
from serverless.board.key import FunctionKey
from serverless.board.peaks import Peaks

KEY = FunctionKey("default", "f")
NAMES = ("a", "b", "c")


def a_seat(name: str, revision: str = "r1") -> Seat:
    return Seat(name, f"{name}:8080", revision)


def a_board(*names: str, concurrency: int = 2, queue_max: int = 10) -> Board:
    board = Board()
    board.open(KEY, concurrency=concurrency, queue_max=queue_max)
    assert not list(board.seat(KEY, {name: a_seat(name) for name in names}))
    return board


def test_a_call_without_a_seat_waits_and_is_granted_the_first_that_comes() -> None:
    board = a_board()
    first, second = board.arrive(KEY, 0), board.arrive(KEY, 0)
    assert first.granted is second.granted is None
    board.open(KEY, concurrency=1, queue_max=10)

    granted = list(board.seat(KEY, {"a": a_seat("a")}))

    assert granted == [first]
    assert first.granted == a_seat("a")
    assert list(board.end(first, 1)) == [second]


def test_calls_go_to_the_least_busy_instance() -> None:
    board = a_board("a", "b", concurrency=2)

    seats = [board.arrive(KEY, 0).granted for _ in range(4)]

    assert [seat.instance for seat in seats if seat] == ["a", "b", "a", "b"]


def test_more_than_may_wait_are_refused() -> None:
    board = a_board(queue_max=2)
    board.arrive(KEY, 0)
    board.arrive(KEY, 0)

    with pytest.raises(QueueFull):
        board.arrive(KEY, 0)


def test_a_call_that_an_instance_refuses_goes_before_all_others_and_elsewhere() -> None:
    board = a_board("a", concurrency=1)
    first, second = board.arrive(KEY, 0), board.arrive(KEY, 0)

    assert not list(board.refuse(first, 0))
    assert first.granted is None
    granted = list(board.seat(KEY, {"b": a_seat("b")}))

    assert granted == [first]
    assert second.granted is None


def test_a_seat_has_the_revision_that_it_was_given_last() -> None:
    board = a_board("a")
    assert not list(board.seat(KEY, {"a": a_seat("a", "r2")}))

    call = board.arrive(KEY, 0)

    assert call.granted == a_seat("a", "r2")


def test_a_function_that_goes_gives_back_what_waits() -> None:
    board = a_board()
    call = board.arrive(KEY, 0)

    assert list(board.close(KEY)) == [call]
    assert not list(board.end(call, 0))
    with pytest.raises(KeyError):
        board.arrive(KEY, 0)


@pytest.mark.parametrize(
    ("in_hand", "need"), [(0, 0), (1, 1), (4, 1), (5, 2), (6, 2), (7, 3), (16, 5)]
)
def test_need_keeps_a_fifth_of_the_places_free_beyond_the_first_instance(
    in_hand: int, need: int
) -> None:
    board = a_board(concurrency=4, queue_max=100)
    for _ in range(in_hand):
        board.arrive(KEY, 0)

    assert board.most_needed(KEY, 60, 0) == need


def test_need_is_remembered_for_the_window_and_no_longer() -> None:
    board = a_board("a", concurrency=1)
    call = board.arrive(KEY, 0)
    list(board.end(call, 5))

    assert board.most_needed(KEY, 60, 64.9) == 1
    assert board.changes_in_s(KEY, 60, 60) == 5
    assert board.most_needed(KEY, 60, 65) == 0
    assert board.changes_in_s(KEY, 60, 65) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10)), max_size=30))
def test_peaks_are_what_a_plain_list_says(steps: list[tuple[int, int]]) -> None:
    peaks, story, now = Peaks(), [(0, 0)], 0
    for span, number in steps:
        now += span
        peaks.note(number, now)
        story.append((now, number))
        # It was a number until the next note: those that ended within the window count.
        ends = [at for at, _ in story[1:]] + [now + 1]
        for window in (3, 7):
            wanted = max(
                number for (_, number), end in zip(story, ends, strict=True) if end > now - window
            )
            assert Peaks.most(peaks_copy(peaks), window, now) == wanted


def peaks_copy(peaks: Peaks) -> Peaks:
    """Return a copy: looking forgets what is older than the window."""
    import copy

    return copy.deepcopy(peaks)


class BoardMachine(RuleBasedStateMachine):
    """Any order of what may happen; the model is a list of who came when."""

    def __init__(self) -> None:
        super().__init__()
        self.concurrency = 2
        self.board = a_board(concurrency=self.concurrency, queue_max=5)
        self.waiting: list[Waiting] = []
        self.running: list[Waiting] = []
        self.now = 0.0

    def take(self, granted: list[Waiting]) -> None:
        """Granted are the first that wait, in their order."""
        assert granted == self.waiting[: len(granted)]
        del self.waiting[: len(granted)]
        self.running += granted

    @rule()
    def arrive(self) -> None:
        self.now += 1
        if len(self.waiting) >= 5:
            with pytest.raises(QueueFull):
                self.board.arrive(KEY, self.now)
            return
        call = self.board.arrive(KEY, self.now)
        (self.running if call.granted else self.waiting).append(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.take(list(self.board.end(call, self.now)))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.waiting.insert(0, call)
        self.take(list(self.board.refuse(call, self.now)))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        call = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.board.withdraw(call, self.now)

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def seat(self, names: set[str]) -> None:
        self.take(list(self.board.seat(KEY, {name: a_seat(name) for name in names})))
        self.names = names

    @invariant()
    def no_instance_has_too_much_and_nothing_is_lost(self) -> None:
        counts = [self.board.running_count(KEY, name) for name in NAMES]
        assert max(counts) <= self.concurrency
        assert sum(counts) == len(self.running)
        assert list(self.board.waiting(KEY)) == self.waiting


TestBoard = BoardMachine.TestCase
