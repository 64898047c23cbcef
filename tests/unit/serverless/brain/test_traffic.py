"""Where calls go: splits between revisions, what is lacking, and seats that keep them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.condition import Condition
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.meta import replaced
from cubernetes.api.serverless.function import Function, TrafficShare
from cubernetes.api.serverless.functionrevision import FunctionRevision
from serverless.board.board import Board, Seat
from serverless.board.key import FunctionKey
from serverless.brain.known import Memory, Remembered, seat_of, why_waiting
from serverless.brain.plan import World, revisions_by_function
from serverless.brain.pods import pod_for
from serverless.brain.statuses import function_status
from serverless.brain.traffic import split_of, verdict_on
from tests.unit.serverless.functionworld import NOW, a_function, a_revision

KEY = FunctionKey("default", "f")


def shares(**parts: int) -> tuple[TrafficShare, ...]:
    """Return a split; f_1 is the revision f-1."""
    return tuple(
        TrafficShare(revision=name.replace("_", "-"), percent=percent)
        for name, percent in parts.items()
    )


def named(name: str, *, loads: bool | None = True) -> FunctionRevision:
    made = a_revision(a_function(), loads=loads)
    return replaced(made, metadata=replaced(made.metadata, name=name, uid=name))


def split(
    traffic: tuple[TrafficShare, ...], revisions: list[FunctionRevision], newest: int | None
) -> tuple[dict[str, int], str]:
    told = split_of(traffic, revisions, None if newest is None else revisions[newest])
    return {one.revision.metadata.name: one.percent for one in told.shares}, told.lacking


OLD, NEW = named("f-1"), named("f-2")
BROKEN, UNKNOWN = named("f-3", loads=False), named("f-4", loads=None)


def test_without_a_split_all_goes_to_the_newest_that_loads() -> None:
    assert split((), [OLD, NEW], 1) == ({"f-2": 100}, "")
    assert split((), [BROKEN], None) == ({}, "")


def test_a_split_is_as_it_is_asked_and_latest_is_the_newest() -> None:
    assert split(shares(f_1=90, latest=10), [OLD, NEW], 1) == ({"f-1": 90, "f-2": 10}, "")
    assert split(shares(f_2=90, latest=10), [OLD, NEW], 1) == ({"f-2": 100}, "")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("f_9", "f-9: there is no such revision"),
        ("f_3", "f-3: it cannot be loaded"),
        ("f_4", "f-4: it has not been loaded yet"),
    ],
)
def test_the_part_of_a_revision_that_cannot_serve_goes_to_the_newest(name: str, why: str) -> None:
    revisions = [OLD, NEW, BROKEN, UNKNOWN]

    assert split(shares(f_1=60, **{name: 40}), revisions, 1) == ({"f-1": 60, "f-2": 40}, why)


def test_where_no_newest_loads_the_others_have_all() -> None:
    assert split(shares(f_1=30, latest=70), [OLD], None) == ({"f-1": 100}, "")
    parts = shares(f_1=20, f_2=30, f_9=50)
    assert split(parts, [OLD, NEW], None)[0] == {"f-1": 20, "f-2": 80}


@pytest.mark.parametrize(
    ("revisions", "newest", "where"),
    [
        ([OLD, NEW], NEW, "go to f-2"),
        ([OLD, BROKEN], None, "go to f-1"),
        ([BROKEN], None, "wait: no revision could be loaded yet"),
    ],
)
def test_where_the_part_of_a_revision_goes_that_is_not_there_is_told(
    revisions: list[FunctionRevision], newest: FunctionRevision | None, where: str
) -> None:
    told = verdict_on(split_of(shares(f_1=60, f_9=40), revisions, newest))

    lacking = "f-9: there is no such revision; its calls "
    if OLD not in revisions:
        lacking = f"f-1: there is no such revision; {lacking}"
    assert (told.status, told.message) == ("False", lacking + where)


@given(
    percents=st.lists(st.integers(1, 98), min_size=2, max_size=3, unique=True),
    which=st.lists(st.sampled_from(["latest", "f-1", "f-2", "f-3", "f-4", "f-9"]), unique=True),
    has_newest=st.booleans(),
)
def test_no_call_is_without_a_revision_while_there_is_one(
    percents: list[int], which: list[str], has_newest: bool
) -> None:
    traffic = tuple(
        TrafficShare(revision=name, percent=percent)
        for name, percent in zip(which, percents, strict=False)
    )
    newest = NEW if has_newest else None

    told = split_of(traffic, [OLD, NEW, BROKEN, UNKNOWN], newest)

    asked = sum(one.percent for one in traffic) if traffic else 100
    if newest is not None:
        assert sum(one.percent for one in told.shares) == asked
    assert {one.revision.metadata.name for one in told.shares} <= {"f-1", "f-2"}


def a_board(*parts: tuple[str, int]) -> Board:
    board = Board()
    board.open(KEY, concurrency=1000, queue_max=10)
    board.seat(KEY, {"a": Seat("a", "a:8080", parts[0][0], parts)})
    return board


def revision_of(board: Board) -> str:
    granted = board.arrive(KEY, 0).granted
    assert granted is not None
    assert granted.parts == ()
    return granted.revision


def test_of_a_hundred_calls_each_revision_has_its_part_and_they_are_spread() -> None:
    board = a_board(("old", 90), ("new", 10))

    went = [revision_of(board) for _ in range(100)]

    assert went.count("new") == 10
    assert all(went[at : at + 10].count("new") == 1 for at in range(0, 100, 10))


@given(st.integers(1, 99), st.integers(1, 300))
def test_a_split_is_kept_to_within_one_call(percent: int, count: int) -> None:
    board = a_board(("old", 100 - percent), ("new", percent))

    went = [revision_of(board) for _ in range(count)]

    assert abs(went.count("new") - count * percent / 100) <= 1


def test_what_one_instance_lacks_is_not_made_up_for_at_once_by_another() -> None:
    board = a_board(("old", 50), ("new", 50))
    only_old = Seat("a", "a:8080", "old")
    board.seat(KEY, {"a": only_old})
    for _ in range(100):
        assert revision_of(board) == "old"
    board.seat(KEY, {"a": Seat("a", "a:8080", "old", (("old", 50), ("new", 50)))})

    went = [revision_of(board) for _ in range(10)]

    assert went.count("old") == 5


def test_an_instance_serves_what_it_has_of_a_split_else_what_it_served_before() -> None:
    pod = pod_for("i", "small", KEY, "image")
    ready = PodStatus(
        phase="Running", pod_ip="10.1.0.2", conditions=(Condition(type="Ready", status="True"),)
    )
    pod, one = replaced(pod, status=ready), Remembered(loaded=("f-1",))

    seats = [seat_of(pod, one, [])]
    one.loaded = ("f-1", "f-2")
    seats.append(seat_of(pod, one, [("f-3", 100)]))
    seats.append(seat_of(pod, one, [("f-1", 60), ("f-2", 30), ("f-3", 10)]))
    seats.append(seat_of(pod, one, [("f-3", 100)]))
    seats.append(seat_of(pod, one, [("f-2", 100)]))
    only_tried = Remembered(loaded=("f-9",))

    assert seat_of(pod, only_tried, [("f-1", 100)]) is None
    assert [(seat.revision, seat.parts) for seat in seats if seat is not None] == [
        ("f-1", ()),
        ("f-1", ()),
        ("f-1", (("f-1", 60), ("f-2", 30))),
        ("f-1", (("f-1", 60), ("f-2", 30))),
        ("f-2", ()),
    ]


def test_a_status_says_where_calls_go_and_what_is_lacking() -> None:
    function = a_function(traffic=shares(latest=75, f_9=25))
    revisions = revisions_by_function([a_revision(function)])
    world = World(functions=(function,), revisions=revisions)

    told = function_status(function, world, 0, NOW)
    shown = Function(metadata=function.metadata, spec=a_function().spec, status=told)
    after = function_status(shown, World(functions=(shown,), revisions=revisions), 0, NOW)

    assert [(one.revision, one.percent) for one in told.traffic] == [(told.latest_revision, 100)]
    assert told.serving_revision == told.latest_revision
    (verdict,) = [one for one in told.conditions if one.type == "TrafficAsAsked"]
    assert (verdict.status, verdict.reason) == ("False", "NoRevision")
    assert verdict.message.startswith("f-9: there is no such revision;")
    assert [one.type for one in after.conditions] == ["Loaded"]


def test_a_pod_keeps_its_two_newest_revisions_and_those_that_calls_go_to() -> None:
    memory = Memory()
    for name in ("f-1", "f-2", "f-3", "f-4"):
        memory.loaded("u", name, keep=("f-1",))

    assert memory.of("u").loaded == ("f-1", "f-3", "f-4")
    memory.loaded("u", "f-5")
    assert memory.of("u").loaded == ("f-4", "f-5")


def test_a_pod_rests_longer_each_time_from_what_it_could_not_load() -> None:
    memory, now_s, pauses_s = Memory(), 100.0, []
    for _ in range(8):
        memory.failed("u", "f-1", "broken", now_s)
        pauses_s.append(memory.of("u").failed["f-1"].again_s - now_s)
    memory.loaded("u", "f-1")

    assert pauses_s == [1, 2, 4, 8, 16, 32, 60, 60]
    assert memory.of("u").failed == {}
    memory.failed("u", "f-1", "broken", now_s)
    assert memory.of("u").failed["f-1"].again_s == 101


def test_a_pod_that_has_lost_a_revision_has_the_others() -> None:
    memory = Memory()
    for name in ("f-1", "f-2"):
        memory.loaded("u", name)
    memory.lost("u", "f-1")
    memory.lost("u", "f-9")

    assert memory.of("u").loaded == ("f-2",)


def test_an_instance_that_serves_nothing_says_what_it_could_not_load() -> None:
    memory, pod = Memory(), pod_for("i", "small", KEY, "image")
    memory.failed("u", "f-1", "ValueError: no", 0.0)
    before = why_waiting(pod, memory.of("u"))
    memory.loaded("u", "f-2")

    assert before == "i could not load f-1: ValueError: no"
    assert why_waiting(pod, memory.of("u")) == ""
