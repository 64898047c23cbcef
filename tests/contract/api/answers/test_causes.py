"""Requests and the objects that they write: one id for each, in the audit, the answer and uids."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.api.world import (
    NODES,
    PODS,
    SETS,
    Tree,
    World,
    a_node,
    a_pod,
    a_set,
    a_world,
)

EVENTS = "/api/v1/namespaces/default/events"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


class Audit:
    """The lines of the audit since it was made."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="apiserver.audit")
        caplog.clear()
        self._caplog = caplog

    def facts(self) -> list[dict[str, Any]]:
        records = [one for one in self._caplog.records if one.name == "apiserver.audit"]
        return [one.cube_facts for one in records]  # type: ignore[attr-defined]

    def last(self) -> dict[str, Any]:
        return self.facts()[-1]


@pytest.fixture
def audit(world: World, caplog: pytest.LogCaptureFixture) -> Audit:
    assert world
    return Audit(caplog)


def owned(one: Tree, owner: Tree) -> Tree:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {**one, "metadata": {**one["metadata"], "ownerReferences": [reference]}}


def cause(one: Tree) -> str:
    return str(one["metadata"]["uid"][:13])


async def test_every_write_of_a_family_bears_its_cause(world: World, audit: Audit) -> None:
    await world.call("POST", NODES, a_node("n1"))
    whole = (await world.call("POST", SETS, a_set())).tree
    assert audit.last()["cause"] == cause(whole)
    pod = (await world.call("POST", PODS, owned(a_pod("web-0"), whole))).tree
    assert cause(pod) == cause(whole)
    assert pod["metadata"]["uid"] != whole["metadata"]["uid"]

    target = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web-0"},
              "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}}  # fmt: skip
    about = {"kind": "Pod", "namespace": "default", "name": "web-0", "uid": pod["metadata"]["uid"]}
    event = {"metadata": {"name": "web-0.1"}, "involvedObject": about, "reason": "Scheduled"}
    merge = {"content-type": "application/merge-patch+json"}
    label = {"metadata": {"labels": {"a": "b"}}}
    writes: tuple[tuple[str, str, Tree | None, dict[str, str]], ...] = (
        ("POST", f"{PODS}/web-0/binding", target, {}),
        ("PATCH", f"{PODS}/web-0/status", {"status": {"phase": "Running"}}, merge),
        ("PATCH", f"{PODS}/web-0", label, merge),
        ("POST", EVENTS, event, {}),
        ("PATCH", f"{SETS}/web/scale", {"spec": {"replicas": 2}}, merge),
        ("DELETE", f"{PODS}/web-0", None, {}),
        ("DELETE", f"{SETS}/web", None, {}),
    )
    for method, path, body, headers in writes:
        answer = await world.call(method, path, body, headers=headers)
        assert answer.code in (200, 201), (path, answer.tree)
        assert audit.last()["cause"] == cause(whole), (method, path)


async def test_objects_without_an_owner_are_families_of_their_own(world: World) -> None:
    made = [(await world.call("POST", PODS, a_pod(f"web-{number}"))).tree for number in range(20)]
    assert len({cause(one) for one in made}) == 20


async def test_an_author_chooses_no_uid_whatever_he_writes(world: World) -> None:
    pod = a_pod()
    pod["metadata"]["uid"] = "11111111-2222-4333-8444-555555555555"
    made = (await world.call("POST", PODS, pod)).tree
    assert cause(made) != "11111111-2222"
    stranger = owned(a_pod("other"), {**a_set(), "metadata": {"name": "x", "uid": "not-a-uid"}})
    assert not cause((await world.call("POST", PODS, stranger)).tree).startswith("not")


async def test_a_write_that_is_refused_bears_the_cause_of_what_stands_there(
    world: World, audit: Audit
) -> None:
    made = (await world.call("POST", PODS, a_pod())).tree
    stale = {**made, "metadata": {**made["metadata"], "resourceVersion": "1"}}
    assert (await world.call("PUT", f"{PODS}/web", stale)).code == 409
    assert audit.last()["cause"] == cause(made)
    assert (await world.call("DELETE", f"{PODS}/none")).code == 404
    assert "cause" not in audit.last()


async def test_every_write_has_an_id_in_its_answer_and_in_its_line(
    world: World, audit: Audit
) -> None:
    answers = [await world.call("POST", PODS, a_pod(name)) for name in ("a", "b", "a")]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert [answer.code for answer in answers] == [201, 201, 409]
    assert [fact["request_id"] for fact in audit.facts()] == ids
    assert len(set(ids)) == 3
    read = await world.call("GET", f"{PODS}/a")
    assert "X-Request-Id" not in read.headers
    assert "request_id" not in audit.last()


async def test_a_client_may_bring_an_id_of_a_safe_form(world: World, audit: Audit) -> None:
    for path in (PODS, f"{PODS}/web"):
        body = a_pod() if path == PODS else None
        method = "POST" if body else "GET"
        answer = await world.call(method, path, body, headers={"x-request-id": "build-4711"})
        assert answer.headers["X-Request-Id"] == "build-4711"
        assert audit.last()["request_id"] == "build-4711"
    hostile = {"x-request-id": "a\r\nSet-Cookie: b"}
    answer = await world.call("DELETE", f"{PODS}/web", headers=hostile)
    assert "Cookie" not in answer.headers["X-Request-Id"]
    assert audit.last()["request_id"] == answer.headers["X-Request-Id"]
