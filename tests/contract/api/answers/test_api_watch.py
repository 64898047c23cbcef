"""Watches: nothing is lost, nothing comes twice, nobody who is slow or gone costs anything."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apiserver.settings import Limits
from cubernetes.host.web.messages import Request
from tests.contract.api.world import ADMIN, PODS, Lines, World, a_pod, a_world, settled

MERGE = {"content-type": "application/merge-patch+json"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def _label(world: World, name: str, value: str | None) -> None:
    change = {"metadata": {"labels": {"app": value}}}
    answer = await world.call("PATCH", f"{PODS}/{name}", change, headers=MERGE)
    assert answer.code == 200


async def _revision(world: World) -> str:
    return str((await world.call("GET", PODS)).revision)


async def test_a_watch_goes_on_exactly_where_a_list_ended_w11(world: World) -> None:
    """W11: a list and a watch without a common revision lost what happened in between."""
    await world.call("POST", PODS, a_pod("before"))
    revision = await _revision(world)
    await world.call("POST", PODS, a_pod("between"))
    watch = await world.watch(PODS, resourceVersion=revision)
    await world.call("POST", PODS, a_pod("after"))

    assert await watch.told() == ("ADDED", "between")
    assert await watch.told() == ("ADDED", "after")


async def test_a_watch_without_a_revision_begins_with_what_is_there_w10(world: World) -> None:
    """W10: initial lists were silent, so what existed was never reconciled."""
    await world.call("POST", PODS, a_pod("there"))
    for begin in ("", "0"):
        watch = await world.watch(PODS, resourceVersion=begin)
        assert await watch.told() == ("ADDED", "there")
        await watch.close()


async def test_what_a_watch_begins_with_is_not_kept_for_as_long_as_it_is_open(
    world: World,
) -> None:
    """It may be every object of a kind, and a user may have a thousand watches."""
    await world.call("POST", PODS, a_pod("there"))
    watch = await world.watch(PODS)
    pieces = [await anext(watch.stream)]
    assert json.loads(pieces[0])["object"]["metadata"]["name"] == "there"
    holders = sys.getrefcount(pieces[0])
    # The list, and the call itself.
    assert holders == 2


async def test_a_deletion_tells_the_last_object_with_its_own_revision_w13(world: World) -> None:
    """W13: a delete event had only a uid, so no service could be told by its selector."""
    made = await world.call("POST", PODS, a_pod())
    watch = await world.watch(PODS, resourceVersion=str(made.revision))
    await world.call("DELETE", f"{PODS}/web")
    event = await watch.next()

    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["labels"] == {"app": "web"}
    assert int(event["object"]["metadata"]["resourceVersion"]) > made.revision


async def test_who_enters_a_selection_is_added_and_who_leaves_it_deleted_w13(
    world: World,
) -> None:
    """W13: a label that moved away left the pod behind its service."""
    await world.call("POST", PODS, a_pod())
    watch = await world.watch(PODS, labelSelector="app=web", resourceVersion=await _revision(world))
    await _label(world, "web", "other")
    left = await watch.next()
    assert (left["type"], left["object"]["metadata"]["labels"]) == ("DELETED", {"app": "web"})
    await _label(world, "web", None)
    await _label(world, "web", "web")
    assert await watch.told() == ("ADDED", "web")
    await world.call("DELETE", f"{PODS}/web")
    assert await watch.told() == ("DELETED", "web")


async def test_a_field_selector_narrows_a_watch(world: World) -> None:
    watch = await world.watch(PODS, fieldSelector="metadata.name=b", resourceVersion="0")
    for name in ("a", "b"):
        await world.call("POST", PODS, a_pod(name))

    assert await watch.told() == ("ADDED", "b")


OPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("put", "relabel", "delete"))), max_size=25
)


@given(before=OPS, between=OPS, after=OPS, selector=st.sampled_from(("", "app=web")))
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_replaying_a_watch_gives_what_a_list_gives(
    before: list[tuple[str, str]],
    between: list[tuple[str, str]],
    after: list[tuple[str, str]],
    selector: str,
) -> None:
    asyncio.run(_replay(before, between, after, selector))


async def _replay(
    before: list[tuple[str, str]],
    between: list[tuple[str, str]],
    after: list[tuple[str, str]],
    selector: str,
) -> None:
    query = {"labelSelector": selector}
    async with a_world() as world:
        await _carry_out(world, before)
        listed = (await world.call("GET", PODS, query=query)).tree
        await _carry_out(world, between)
        begin = str(listed["metadata"]["resourceVersion"])
        watch = await world.watch(PODS, resourceVersion=begin, labelSelector=selector)
        await _carry_out(world, after)
        wanted = (await world.call("GET", PODS, query=query)).tree["items"]
        await world.server.stop()
        found = {one["metadata"]["name"]: one for one in listed["items"]}
        seen = int(begin)
        async for piece in watch.stream:
            for line in piece.splitlines():
                seen = _take(found, json.loads(line), seen)
        assert sorted(found.values(), key=lambda one: str(one["metadata"]["name"])) == wanted


def _take(found: dict[str, Any], event: dict[str, Any], seen: int) -> int:
    """Apply an event as an informer would; refuse what could not be."""
    metadata = event["object"]["metadata"]
    name, revision = metadata["name"], int(metadata["resourceVersion"])
    assert revision > seen, "in order, and none twice"
    assert (name in found) == (event["type"] != "ADDED")
    if event["type"] == "DELETED":
        del found[name]
    else:
        found[name] = event["object"]
    return revision


async def _carry_out(world: World, ops: list[tuple[str, str]]) -> None:
    for index, (name, op) in enumerate(ops):
        if op == "put":
            await world.call("POST", PODS, a_pod(name))
        elif op == "delete":
            await world.call("DELETE", f"{PODS}/{name}")
        else:
            change = {"metadata": {"labels": {"app": "web" if index % 2 else "x"}}}
            await world.call("PATCH", f"{PODS}/{name}", change, headers=MERGE)


async def test_a_revision_that_is_no_longer_kept_is_gone() -> None:
    async with a_world(limits=Limits(events_max=8)) as world:
        revision = await _revision(world)
        for number in range(20):
            await world.call("POST", PODS, a_pod(f"p{number}"))
        await settled()
        answer = await world.call("GET", PODS, query={"watch": "1", "resourceVersion": revision})

        assert (answer.code, answer.tree["reason"]) == (410, "Expired")


async def test_who_reads_too_slowly_is_cut_off_and_told_so() -> None:
    async with a_world(limits=Limits(events_max=8)) as world:
        slow = await world.watch(PODS, resourceVersion=await _revision(world))
        for number in range(20):
            await world.call("POST", PODS, a_pod(f"p{number}"))
        await settled()
        event = await slow.next()

        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert await slow.ended()
        assert world.server.watchers.count == 0


async def test_a_quiet_watch_hears_bookmarks_that_move_on(world: World) -> None:
    quiet = await world.watch(
        PODS, resourceVersion=await _revision(world), allowWatchBookmarks="true"
    )
    reading = asyncio.create_task(quiet.next())
    await settled()
    await world.call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await world.clock.advance(11)
    bookmark = await reading

    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "Pod"
    assert bookmark["object"]["metadata"] == {
        "resourceVersion": str((await world.call("GET", PODS)).revision)
    }


async def test_a_bookmark_never_overtakes_an_event(world: World) -> None:
    begin = await _revision(world)
    watch = await world.watch(PODS, resourceVersion=begin, allowWatchBookmarks="true")
    for number in range(200):
        await world.call("POST", PODS, a_pod(f"p{number}"))
    await settled()
    await world.clock.advance(11)
    types = [(await watch.next())["type"] for _ in range(201)]

    assert types == ["ADDED"] * 200 + ["BOOKMARK"]


async def test_a_watch_ends_at_its_timeout_after_a_last_bookmark(world: World) -> None:
    watch = await world.watch(
        PODS, resourceVersion="0", allowWatchBookmarks="1", timeoutSeconds="3"
    )
    reading = asyncio.create_task(watch.next())
    await settled()
    await world.clock.advance(4)

    types = [(await reading)["type"]]
    async for piece in watch.stream:
        types += [json.loads(line)["type"] for line in piece.splitlines()]
    assert set(types) == {"BOOKMARK"}


async def test_an_idle_watch_without_bookmarks_does_no_work_w6(world: World) -> None:
    """W6: a watch whose channel had closed was read in a busy loop."""
    watch = await world.watch(PODS, resourceVersion=await _revision(world))
    reading = asyncio.create_task(watch.next())
    await settled()
    woken_count = 0
    place = next(iter(world.server.watchers._open)).watch
    take = place.take

    def counted() -> object:
        nonlocal woken_count
        woken_count += 1
        return take()

    world_class = type(place)
    original = world_class.take
    try:
        world_class.take = lambda self: counted() if self is place else original(self)  # type: ignore[method-assign,assignment,return-value]
        await world.clock.advance(30)
        await world.call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
        await settled()
    finally:
        world_class.take = original  # type: ignore[method-assign]
    assert woken_count == 0
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_a_client_that_leaves_takes_its_watch_with_it(world: World) -> None:
    watches = [await world.watch(PODS) for _ in range(5)]
    assert world.server.watchers.count == 5
    for watch in watches:
        await watch.close()

    assert world.server.watchers.count == 0


async def test_a_user_may_have_only_so_many_watches() -> None:
    async with a_world(limits=Limits(watches_per_user_max=2)) as world:
        first = await world.watch(PODS)
        await world.watch(PODS)
        refused = await world.call("GET", PODS, query={"watch": "1"})
        assert (refused.code, refused.headers["Retry-After"]) == (429, "10")
        await first.close()
        await world.watch(PODS)


async def test_watches_that_are_asked_for_at_once_have_the_same_limit() -> None:
    async with a_world(limits=Limits(watches_per_user_max=2)) as world:
        request = Request("GET", PODS, (("watch", "1"),), identity=ADMIN)
        answers = await asyncio.gather(*(world.server.handle(request) for _ in range(5)))

        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429]
        assert world.server.watchers.count == 2


async def test_a_stopping_server_ends_its_watches(world: World) -> None:
    watch = await world.watch(PODS, resourceVersion="0")
    reading = asyncio.create_task(watch.ended())
    await settled()
    await world.server.stop()

    assert await reading


async def test_when_the_stores_history_is_lost_every_watch_is_told_to_list_again(
    world: World,
) -> None:
    watch = await world.watch(PODS, resourceVersion=await _revision(world))
    reading = asyncio.create_task(watch.next())
    await settled()
    mirror = world.server.backend.mirror
    await mirror._load()
    event = await reading

    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert (await world.call("GET", PODS)).code == 200


async def test_a_table_watch_sends_rows(world: World) -> None:
    watch = await world.watch(PODS, accept=TABLE, resourceVersion="0")
    await world.call("POST", PODS, a_pod())
    table = (await watch.next())["object"]

    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][:3] == ["web", "0/1", "Pending"]
    assert table["rows"][0]["object"]["metadata"]["name"] == "web"
    assert table["columnDefinitions"][0]["name"] == "Name"


async def test_an_event_is_encoded_once_however_many_watch(world: World) -> None:
    watches = [await world.watch(PODS, resourceVersion="0") for _ in range(50)]

    async def piece_of(watch: Lines) -> bytes:
        return await anext(watch.stream)

    reading = [asyncio.create_task(piece_of(watch)) for watch in watches]
    await settled()
    await world.call("POST", PODS, a_pod())
    pieces = await asyncio.gather(*reading)

    assert len({id(piece) for piece in pieces}) == 1


async def test_a_selector_that_is_wrong_is_refused_before_the_stream(world: World) -> None:
    for query in ({"labelSelector": "a in ("}, {"timeoutSeconds": "-1"}, {"watch": "maybe"}):
        fields = (("watch", "true"), *query.items())
        if "watch" in query:
            fields = tuple(query.items())
        response = await world.server.handle(Request("GET", PODS, fields, {}, b"", ADMIN))
        assert response.status == 400
