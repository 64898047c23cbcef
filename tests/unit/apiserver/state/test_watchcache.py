"""The cache of one kind: a ring of events in which every watch is a place."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.state.items import Item, encoded, stored
from apiserver.state.keys import key_of
from apiserver.state.selection import selection_of
from apiserver.state.watchcache import Event, FellBehind, KindCache
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import ObjectMeta

ALL = selection_of(Pod, "", "", "")
DEFAULT = selection_of(Pod, "default", "", "")


def an_item(name: str, revision: int, namespace: str = "default") -> Item:
    pod = Pod(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=PodSpec(containers=(Container(name="c", image="i"),)),
    )
    return stored(Pod, key_of(Pod, namespace, name), encoded(pod), revision)


def a_cache(events_max: int = 8) -> KindCache:
    cache = KindCache(Pod, events_max=events_max)
    cache.load([], 1)
    return cache


def put(cache: KindCache, name: str, revision: int, namespace: str = "default") -> None:
    item = an_item(name, revision, namespace)
    cache.apply([(item.key, item, revision)])


def delete(cache: KindCache, name: str, revision: int) -> None:
    cache.apply([(key_of(Pod, "default", name), None, revision)])


@given(ops=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_the_items_are_what_the_changes_made_and_in_order(
    ops: list[tuple[str, bool]],
) -> None:
    cache, wanted = a_cache(), dict[str, int]()
    for revision, (name, is_put) in enumerate(ops, 2):
        if is_put:
            put(cache, name, revision)
            wanted[name] = revision
        elif wanted.pop(name, 0):
            delete(cache, name, revision)
    found = [(item.object.metadata.name, item.revision) for item in cache.chosen(ALL)]

    assert found == sorted(wanted.items())
    assert cache.keys == sorted(cache.items)


@given(
    count=st.integers(0, 60),
    begin=st.integers(1, 62),
    reads=st.lists(st.integers(0, 60), max_size=5),
)
def test_a_watch_reads_every_event_once_in_order_or_is_told_that_it_cannot(
    count: int, begin: int, reads: list[int]
) -> None:
    cache = a_cache(events_max=8)
    watch = None
    seen: list[int] = []
    try:
        for revision in range(2, count + 2):
            if watch is None and revision > begin:
                watch = cache.watch(ALL, begin)
            put(cache, "x", revision)
            if watch is not None and revision in reads:
                seen += [event.revision for _, event in watch.take().changes]
        watch = watch or cache.watch(ALL, begin)
        while found := watch.take().changes:
            seen += [event.revision for _, event in found]
    except FellBehind:
        assert seen == list(range(begin + 1, begin + 1 + len(seen)))
        return
    assert seen == list(range(begin + 1, count + 2))


def test_memory_is_bounded_whoever_watches() -> None:
    cache = a_cache(events_max=8)
    watches = [cache.watch(ALL) for _ in range(100)]
    for revision in range(2, 1000):
        put(cache, "x", revision)

    assert len(cache.events_from(cache._first)) <= 10
    for watch in watches:
        with pytest.raises(FellBehind):
            watch.take()


def test_a_revision_at_the_edge_of_the_ring_is_still_good() -> None:
    cache = a_cache(events_max=8)
    for revision in range(2, 40):
        put(cache, "x", revision)
    floor = cache.floor

    assert [event.revision for _, event in cache.watch(ALL, floor).take().changes] == [
        *range(floor + 1, 40)
    ]
    with pytest.raises(FellBehind):
        cache.watch(ALL, floor - 1)


async def test_a_watch_sleeps_while_nothing_concerns_it_and_does_not_fall_behind() -> None:
    cache = a_cache(events_max=8)
    watch = cache.watch(DEFAULT)
    calls: list[str] = []
    watch.when_more(lambda: calls.append("more"))
    for revision in range(2, 100):
        put(cache, "x", revision, namespace="other")
    await asyncio.sleep(0)
    assert calls == []
    put(cache, "mine", 100)
    put(cache, "mine", 101)
    await asyncio.sleep(0)
    assert calls == ["more"]

    assert [event.revision for _, event in watch.take().changes] == [100, 101]


async def test_loading_anew_ends_also_watches_that_had_read_everything() -> None:
    cache = a_cache()
    watch = cache.watch(ALL)
    calls: list[str] = []
    watch.when_more(lambda: calls.append("more"))
    cache.load([an_item("x", 5)], 9)
    await asyncio.sleep(0)
    assert calls == ["more"]

    with pytest.raises(FellBehind):
        watch.take()
    assert cache.floor == 9


def test_an_event_is_encoded_once_for_each_form() -> None:
    calls: list[Item] = []

    def show(item: Item) -> bytes:
        calls.append(item)
        return item.content

    event = Event(7, an_item("x", 3), None)
    lines = [event.line("DELETED", "json", show) for _ in range(5)]

    assert len(calls) == 1
    assert len(set(map(id, lines))) == 1
    assert b'"resourceVersion":"7"' in lines[0]
    event.line("DELETED", "table", show)
    assert len(calls) == 2


def test_closed_watches_are_forgotten() -> None:
    cache = a_cache()
    watches: Sequence[object] = [cache.watch(ALL) for _ in range(3)]
    for watch in watches:
        watch.close()  # type: ignore[attr-defined]

    assert not cache._audiences


def test_watches_of_one_selection_at_one_place_take_one_piece() -> None:
    cache = a_cache()
    first, second, other = cache.watch(ALL), cache.watch(ALL), cache.watch(DEFAULT)
    put(cache, "x", 2)
    piece = first.take()

    assert second.take() is piece
    assert other.take() is not piece
    put(cache, "x", 3)
    late = cache.watch(ALL, 1)
    assert [event.revision for _, event in first.take().changes] == [3]
    assert [event.revision for _, event in late.take().changes] == [2, 3]
    assert [event.revision for _, event in second.take().changes] == [3]


def test_a_watch_that_is_closed_twice_takes_nothing_from_one_that_came_after() -> None:
    cache = a_cache()
    first = cache.watch(ALL)
    first.close()
    second = cache.watch(ALL)
    first.close()
    put(cache, "x", 2)

    assert [event.revision for _, event in second.take().changes] == [2]
    second.close()
    assert not cache._audiences


async def test_a_closed_watch_is_called_no_more() -> None:
    cache = a_cache()
    gone, there = cache.watch(ALL), cache.watch(ALL)
    calls: list[str] = []
    gone.when_more(lambda: calls.append("gone"))
    there.when_more(lambda: calls.append("there"))
    gone.close()
    put(cache, "x", 2)
    await asyncio.sleep(0)

    assert calls == ["there"]
