"""Events written by events.k8s.io, as client-go's recorder and other clients do it."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.api.world import Tree, World, a_world

EVENTS = "/api/v1/namespaces/default/events"
NEWER = "/apis/events.k8s.io/v1/namespaces/default/events"
STRATEGIC = "application/strategic-merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


def an_event(name: str = "web.17", **fields: object) -> Tree:
    """Return an Event as k8s.io/client-go/tools/events makes it."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/sizer",
        "reportingInstance": "sizer-1",
        "action": "Scaling",
        "reason": "Scaled",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web", "apiVersion": "v1"},
        "related": {"kind": "Service", "namespace": "default", "name": "front"},
        "note": "scaled to 3",
        "type": "Normal",
        **fields,
    }


async def test_a_new_event_is_one_event_in_both_wordings(world: World) -> None:
    made = await world.call("POST", NEWER, an_event())
    assert made.code == 201
    assert (made.tree["apiVersion"], made.tree["kind"]) == ("events.k8s.io/v1", "Event")
    assert made.tree["related"]["name"] == "front"
    read = (await world.call("GET", f"{NEWER}/web.17")).tree
    assert read == made.tree
    core = (await world.call("GET", f"{EVENTS}/web.17")).tree
    assert (core["apiVersion"], core["message"]) == ("v1", "scaled to 3")
    assert core["involvedObject"]["name"] == "web"
    assert core["reportingComponent"] == "example.com/sizer"
    assert core["metadata"] == made.tree["metadata"]
    assert core["count"] == 0
    table = (await world.call("GET", EVENTS, headers={"accept": TABLE})).tree
    titles = [one["name"] for one in table["columnDefinitions"]]
    shown = dict(zip(titles, table["rows"][0]["cells"], strict=True))
    assert (shown["Count"], shown["Source"]) == (1, "example.com/sizer, sizer-1")


async def test_a_series_goes_on_by_a_patch_as_client_go_sends_it(world: World) -> None:
    await world.call("POST", NEWER, an_event())
    await world.clock.advance(90)
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}
    patched = await world.call(
        "PATCH", f"{NEWER}/web.17", {"series": series}, headers={"content-type": STRATEGIC}
    )
    assert patched.code == 200
    assert patched.tree["series"] == series
    assert patched.tree["reportingController"] == "example.com/sizer"
    core = (await world.call("GET", f"{EVENTS}/web.17")).tree
    assert core["series"] == series
    table = (await world.call("GET", NEWER, headers={"accept": TABLE})).tree
    titles = [one["name"] for one in table["columnDefinitions"]]
    shown = dict(zip(titles, table["rows"][0]["cells"], strict=True))
    assert (shown["Last Seen"], shown["Count"]) == ("30s", 2)


async def test_times_have_six_digits_as_gos_clients_read_them(world: World) -> None:
    """time.Parse with RFC3339Micro refuses a time without its fraction."""
    made = await world.call("POST", NEWER, an_event(eventTime="2026-01-01T00:00:00Z"))
    assert made.tree["eventTime"] == "2026-01-01T00:00:00.000000Z"
    core = (await world.call("GET", f"{EVENTS}/web.17")).tree
    assert core["eventTime"] == "2026-01-01T00:00:00.000000Z"
    await world.call("POST", EVENTS, {"metadata": {"name": "old"}, "reason": "Started"})
    shown = (await world.call("GET", f"{NEWER}/old")).tree
    assert shown["eventTime"].endswith(":00.000000Z")
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 5, "renewTime": "2026-01-01T00:00:00Z"}
    lease = await world.call("POST", leases, {"metadata": {"name": "a"}, "spec": spec})
    assert lease.tree["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"eventTime": None}, "eventTime"),
        ({"reportingController": ""}, "reportingController"),
        ({"reportingController": "a b"}, "reportingController"),
        ({"reportingInstance": "x" * 129}, "reportingInstance"),
        ({"action": ""}, "action"),
        ({"reason": ""}, "reason"),
        ({"note": "x" * 1025}, "note"),
        ({"deprecatedCount": 1}, "deprecatedCount"),
        ({"deprecatedFirstTimestamp": "2026-01-01T00:00:00Z"}, "deprecatedFirstTimestamp"),
        ({"deprecatedSource": {"component": "x"}}, "deprecatedSource"),
        ({"series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00Z"}}, "series.count"),
        ({"series": {"count": 2}}, "series.lastObservedTime"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_what_kubernetes_refuses_of_a_new_event_is_refused(
    world: World, change: Tree, field: str
) -> None:
    answer = await world.call("POST", NEWER, an_event(**change))
    assert answer.code == 422
    assert [one["field"] for one in answer.tree["details"]["causes"]] == [field]


async def test_nothing_but_the_series_of_an_event_changes(world: World) -> None:
    await world.call("POST", NEWER, an_event())
    answer = await world.call("PATCH", f"{NEWER}/web.17", {"note": "other"})
    assert (answer.code, answer.tree["details"]["causes"][0]["field"]) == (422, "note")
    one = (await world.call("GET", f"{NEWER}/web.17")).tree
    one["series"] = {"count": 5, "lastObservedTime": "2026-01-01T00:00:00.500000Z"}
    replaced = await world.call("PUT", f"{NEWER}/web.17", one)
    assert (replaced.code, replaced.tree["series"]["count"]) == (200, 5)
    stale = await world.call("PUT", f"{NEWER}/web.17", one)
    assert stale.code == 409


async def test_a_core_event_that_goes_on_in_the_newer_words_stays_what_it_was(
    world: World,
) -> None:
    about = {"kind": "Pod", "namespace": "default", "name": "web"}
    source = {"component": "kubelet", "host": "n1"}
    await world.call(
        "POST",
        EVENTS,
        {"metadata": {"name": "old"}, "reason": "A", "involvedObject": about, "source": source},
    )
    before = (await world.call("GET", f"{EVENTS}/old")).tree
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}
    assert (await world.call("PATCH", f"{NEWER}/old", {"series": series})).code == 200
    after = (await world.call("GET", f"{EVENTS}/old")).tree
    assert after.pop("series") == series
    for one in (before, after):
        one["metadata"].pop("resourceVersion")
    assert after == before


async def test_an_absent_event_is_created_by_its_put_and_events_are_deleted(world: World) -> None:
    assert (await world.call("PUT", f"{NEWER}/web.17", an_event())).code == 201
    assert (await world.call("POST", NEWER, an_event())).code == 409
    dry = await world.call("POST", NEWER, an_event("dry"), query={"dryRun": "All"})
    assert (dry.code, (await world.call("GET", f"{NEWER}/dry")).code) == (201, 404)
    assert (await world.call("DELETE", f"{NEWER}/web.17")).code == 200
    assert (await world.call("GET", f"{EVENTS}/web.17")).code == 404
    await world.call("POST", NEWER, an_event("more"))
    assert (await world.call("DELETE", NEWER)).code == 200
    assert (await world.call("GET", NEWER)).names == []
