"""Lists and gets: at which revision, which objects, how many at a time, and in which form."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from apiserver.verbs.read import OLD_PAGE_ENTRIES
from cubernetes.api.notation.yaml import tree_of
from tests.contract.api.world import PODS, World, a_pod, a_world, settled

MERGE = {"content-type": "application/merge-patch+json"}
KUBECTL = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        for name in ("a", "b", "c", "d", "e"):
            pod = a_pod(name)
            pod["metadata"]["labels"] = {"app": name, "tier": "x" if name < "c" else "y"}
            await one.call("POST", PODS, pod)
        yield one


async def _page(world: World, **query: str) -> tuple[list[str], str, str]:
    answer = await world.call("GET", PODS, query={"limit": "2", **query})
    assert answer.code == 200, answer.body
    meta = answer.tree["metadata"]
    return answer.names, meta.get("continue", ""), meta["resourceVersion"]


async def test_a_read_sees_every_write_that_was_acknowledged_before(world: World) -> None:
    for number in range(20):
        change = {"metadata": {"annotations": {"n": str(number)}}}
        patched = await world.call("PATCH", f"{PODS}/a", change, headers=MERGE)
        read = await world.call("GET", f"{PODS}/a")
        listed = await world.call("GET", PODS)
        assert read.body == patched.body
        assert listed.revision >= patched.revision


async def test_pages_are_of_one_revision_whatever_is_written_meanwhile(world: World) -> None:
    names, token, revision = await _page(world)
    assert names == ["a", "b"]
    await world.call("DELETE", f"{PODS}/d")
    await world.call("POST", PODS, a_pod("bb"))
    await world.call("PATCH", f"{PODS}/c", {"metadata": {"labels": {"app": "new"}}}, headers=MERGE)
    names, token, again = await _page(world, **{"continue": token})
    assert (names, again) == (["c", "d"], revision)
    names, token, again = await _page(world, **{"continue": token})
    assert (names, token, again) == (["e"], "", revision)


async def test_pages_from_memory_and_from_the_store_are_the_same(world: World) -> None:
    _, token, _ = await _page(world)
    unchanged = await world.call("GET", PODS, query={"limit": "2", "continue": token})
    await world.call("POST", PODS, a_pod("z"))
    changed = await world.call("GET", PODS, query={"limit": "2", "continue": token})
    one, other = unchanged.tree, changed.tree
    one["metadata"].pop("remainingItemCount", None)
    other["metadata"].pop("remainingItemCount", None)

    assert one == other


async def test_how_many_are_left_is_told_where_it_is_known() -> None:
    async with a_world() as world:
        count = OLD_PAGE_ENTRIES + 20
        for number in range(count):
            await world.call("POST", PODS, a_pod(f"p{number:04}"))
        first = (await world.call("GET", PODS, query={"limit": "10"})).tree["metadata"]
        proceed = {"limit": "10", "continue": first["continue"]}
        second = (await world.call("GET", PODS, query=proceed)).tree["metadata"]
        await world.call("POST", PODS, a_pod("zz"))
        await settled()
        old = (await world.call("GET", PODS, query=proceed)).tree["metadata"]

    assert first["remainingItemCount"] == count - 10
    assert second["remainingItemCount"] == count - 20
    assert old["continue"]
    assert "remainingItemCount" not in old


async def test_a_page_with_a_selector_is_full(world: World) -> None:
    names, token, _ = await _page(world, labelSelector="tier=y")
    assert names == ["c", "d"]
    await world.call("POST", PODS, a_pod("zz"))
    names, token, _ = await _page(world, labelSelector="tier=y", **{"continue": token})
    assert (names, token) == (["e"], "")


async def test_a_page_whose_revision_is_compacted_is_gone(world: World) -> None:
    _, token, _ = await _page(world)
    await world.call("POST", PODS, a_pod("z"))
    await world.store.compact((await world.call("GET", PODS)).revision)
    answer = await world.call("GET", PODS, query={"limit": "2", "continue": token})

    assert (answer.code, answer.tree["reason"]) == (410, "Expired")


async def test_a_token_that_is_not_ours_is_refused(world: World) -> None:
    _, token, _ = await _page(world)
    for forged in ("x", "!!", "eyJ9", token[:-4], "WzEsImEiXQ=="):
        answer = await world.call("GET", PODS, query={"continue": forged})
        assert answer.code == 400, forged
    other = "/api/v1/namespaces/kube-system/pods"
    assert (await world.call("GET", other, query={"continue": token})).code == 400


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("app=a", ["a"]),
        ("app in (a, b),tier=x", ["a", "b"]),
        ("tier!=x", ["c", "d", "e"]),
        ("!app", []),
        ("tier", ["a", "b", "c", "d", "e"]),
    ],
)
async def test_label_selectors(world: World, selector: str, wanted: list[str]) -> None:
    assert (await world.call("GET", PODS, query={"labelSelector": selector})).names == wanted


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("metadata.name=c", ["c"]),
        ("metadata.name!=c,status.phase=Pending", ["a", "b", "d", "e"]),
        ("spec.nodeName=", ["a", "b", "c", "d", "e"]),
        ("spec.nodeName=n1", []),
    ],
)
async def test_field_selectors(world: World, selector: str, wanted: list[str]) -> None:
    assert (await world.call("GET", PODS, query={"fieldSelector": selector})).names == wanted


async def test_all_namespaces_at_once(world: World) -> None:
    await world.call("POST", "/api/v1/namespaces/kube-system/pods", a_pod("sys"))

    assert (await world.call("GET", "/api/v1/pods")).names == ["a", "b", "c", "d", "e", "sys"]


async def test_exactly_an_old_revision(world: World) -> None:
    old = (await world.call("GET", PODS)).revision
    await world.call("DELETE", f"{PODS}/a")
    query = {"resourceVersion": str(old), "resourceVersionMatch": "Exact"}
    answer = await world.call("GET", PODS, query=query)

    assert (answer.names, answer.revision) == (["a", "b", "c", "d", "e"], old)


async def test_a_revision_of_the_future_is_waited_for_and_then_refused(world: World) -> None:
    now = (await world.store.get("/"))[1]
    soon = {"resourceVersion": str(now + 1)}
    waiting = asyncio.create_task(world.call("GET", PODS, query=soon))
    await settled()
    await world.call("POST", PODS, a_pod("z"))
    assert (await waiting).code == 200

    far = {"resourceVersion": str(now + 1000)}
    waiting = asyncio.create_task(world.call("GET", PODS, query=far))
    await settled()
    await world.clock.advance(5)
    refused = await waiting
    assert (refused.code, refused.headers["Retry-After"]) == (504, "1")
    assert refused.tree["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    huge = await world.call("GET", PODS, query={"resourceVersion": "9" * 20})
    assert huge.code == 504


async def test_kubectl_gets_a_table_with_wide_columns_marked(world: World) -> None:
    table = (await world.call("GET", PODS, headers={"accept": KUBECTL})).tree
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    titles = [(one["name"], one["priority"]) for one in table["columnDefinitions"]]
    assert titles[:3] == [("Name", 0), ("Ready", 0), ("Status", 0)]
    assert ("Node", 1) in titles
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b", "c", "d", "e"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = await world.call("GET", f"{PODS}/a", headers={"accept": KUBECTL})
    assert len(one.tree["rows"]) == 1


async def test_what_cannot_be_given_is_not_acceptable(world: World) -> None:
    only = {"accept": "application/vnd.kubernetes.protobuf"}
    assert (await world.call("GET", PODS, headers=only)).code == 406
    both = {"accept": "application/vnd.kubernetes.protobuf,application/json"}
    assert (await world.call("GET", PODS, headers=both)).tree["kind"] == "PodList"


async def test_metadata_alone_is_given_to_whoever_asks_for_it(world: World) -> None:
    as_list = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    whole = (await world.call("GET", PODS)).tree
    listed = (await world.call("GET", PODS, headers=as_list)).tree

    assert (listed["apiVersion"], listed["kind"]) == ("meta.k8s.io/v1", "PartialObjectMetadataList")
    assert listed["metadata"] == whole["metadata"]
    assert {frozenset(item) for item in listed["items"]} == {
        frozenset({"apiVersion", "kind", "metadata"})
    }
    assert [item["metadata"] for item in listed["items"]] == [
        item["metadata"] for item in whole["items"]
    ]
    one = {"accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    got = (await world.call("GET", f"{PODS}/a", headers=one)).tree
    assert (got["kind"], got["metadata"]["name"]) == ("PartialObjectMetadata", "a")
    assert got.keys() == {"apiVersion", "kind", "metadata"}


async def test_yaml_is_given_to_whoever_asks_for_it(world: World) -> None:
    """Answers and errors alike; a long list stays in JSON's notation, which YAML contains."""
    asks = {"accept": "application/yaml"}
    got = await world.call("GET", f"{PODS}/a", headers=asks)
    lost = await world.call("GET", f"{PODS}/zz", headers=asks)
    made = await world.call("POST", PODS, a_pod("f"), headers=asks)

    assert got.body.startswith(b"apiVersion: v1\nkind: Pod\n")
    assert tree_of(got.body) == (await world.call("GET", f"{PODS}/a")).tree
    assert (lost.code, tree_of(lost.body)["reason"]) == (404, "NotFound")
    assert tree_of(made.body)["metadata"]["name"] == "f"
    assert {each.content_type for each in (got, lost, made)} == {"application/yaml"}
    for number in range(150):
        await world.call("POST", PODS, a_pod(f"many-{number}"))
    many = await world.call("GET", PODS, headers=asks)
    assert many.body.startswith(b"{")
    assert many.content_type == "application/yaml"
    assert tree_of(many.body) == (await world.call("GET", PODS)).tree


async def test_a_watch_is_not_to_be_had_in_yaml(world: World) -> None:
    answer = await world.call(
        "GET", PODS, query={"watch": "1"}, headers={"accept": "application/yaml"}
    )
    assert (answer.code, tree_of(answer.body)["reason"]) == (406, "NotAcceptable")


async def test_only_one_question_about_the_revision_is_out_at_a_time(world: World) -> None:
    asked = 0
    get = world.store.get

    async def counted(key: str) -> object:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return await get(key)

    world.store.get = counted  # type: ignore[method-assign,assignment]
    answers = await asyncio.gather(*(world.call("GET", f"{PODS}/a") for _ in range(50)))

    assert {answer.code for answer in answers} == {200}
    assert asked <= 3
