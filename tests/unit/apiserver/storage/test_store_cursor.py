"""Where a watch stands after each of etcd's answers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.storage.etcd import rpc_pb2 as rpc
from apiserver.storage.etcd.cursor import Cursor
from apiserver.storage.etcd.wire import PreviousMissing
from apiserver.storage.store import Change, Changes


def an_event(revision: int, key: str = "a") -> rpc.Event:
    pair = rpc.KeyValue(
        key=key.encode(), value=b"v", create_revision=revision, mod_revision=revision
    )
    return rpc.Event(type=rpc.Event.PUT, kv=pair)


def an_answer(*revisions: int, fragment: bool = False, now: int = 0) -> rpc.WatchResponse:
    return rpc.WatchResponse(
        header=rpc.Header(revision=now or max(revisions, default=0)),
        events=[an_event(revision) for revision in revisions],
        fragment=fragment,
    )


def a_change(revision: int) -> Change:
    return Change("a", revision, b"v", None)


def test_created_does_not_move_the_place_to_begin_again() -> None:
    cursor = Cursor(5)

    assert cursor.take(rpc.WatchResponse(header=rpc.Header(revision=9), created=True)) is None
    cursor.restart()

    assert (cursor.begin, cursor.delivered) == (5, 5)


def test_progress_moves_it_but_never_back() -> None:
    cursor = Cursor(5)

    assert cursor.take(an_answer(now=8)) == Changes((), 8)
    assert cursor.take(an_answer(now=7)) is None
    cursor.restart()

    assert (cursor.begin, cursor.delivered) == (8, 8)


def test_what_was_delivered_already_is_left_out() -> None:
    cursor = Cursor(5)

    assert cursor.take(an_answer(5, 6)) == Changes((a_change(6),), 6)
    assert cursor.take(an_answer(5, 6)) is None


def test_a_revision_cut_by_fragments_is_joined() -> None:
    cursor = Cursor(5)

    assert cursor.take(an_answer(6, 7, 7, fragment=True)) == Changes((a_change(6),), 6)
    assert cursor.take(an_answer(7, fragment=True)) is None
    assert cursor.take(an_answer(7, 8)) == Changes((a_change(7),) * 4 + (a_change(8),), 8)


def test_a_connection_lost_between_fragments_begins_before_what_was_held() -> None:
    cursor = Cursor(5)
    cursor.take(an_answer(6, 7, fragment=True))
    cursor.restart()

    assert cursor.begin == 6
    assert cursor.take(an_answer(6, 7, 7)) == Changes((a_change(7),) * 2, 7)


def test_nothing_is_lost_where_only_what_is_known_was_compacted() -> None:
    cursor = Cursor(5)

    assert cursor.may_begin_at(6)
    assert cursor.begin == 6
    assert not cursor.may_begin_at(6)
    assert not Cursor(5).may_begin_at(7)


def test_revision_zero_is_never_asked_for_because_it_means_now() -> None:
    assert Cursor(0).begin == 1


def test_a_delete_without_the_value_it_deleted_is_not_told() -> None:
    gone = rpc.Event(type=rpc.Event.DELETE, kv=rpc.KeyValue(key=b"a", mod_revision=6))

    with pytest.raises(PreviousMissing):
        Cursor(5).take(rpc.WatchResponse(header=rpc.Header(revision=6), events=[gone]))


@given(
    st.lists(st.integers(6, 12), min_size=1, max_size=20).map(sorted),
    st.lists(st.integers(0, 20), max_size=6),
)
def test_however_it_is_cut_every_revision_comes_once_and_whole(
    revisions: list[int], cuts: list[int]
) -> None:
    cursor = Cursor(5)
    edges = sorted({0, len(revisions), *(cut for cut in cuts if cut < len(revisions))})
    parts = [revisions[a:b] for a, b in pairwise(edges)]
    told = [
        cursor.take(an_answer(*part, fragment=place < len(parts) - 1))
        for place, part in enumerate(parts)
    ]

    seen = [[change.revision for change in each.changes] for each in told if each is not None]
    assert [revision for each in seen for revision in each] == revisions
    assert sum(len(set(each)) for each in seen) == len(set(revisions))
    assert cursor.delivered == revisions[-1]
