"""Query parameters: each one that Kubernetes knows is obeyed or refused by name, on every route."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from apiserver.routes import table
from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Entry
from apiserver.subresources.registry import parameters_of, refused_of
from cubernetes.api.core.node import Node
from cubernetes.api.registry import KINDS
from cubernetes.host.web.messages import Request, Upgrade
from tests.contract.api.streams.test_api_logs import PaperKubelets
from tests.contract.api.streams.test_job_outputs import JOBS, PaperJobs, a_sent_job
from tests.contract.api.world import ADMIN, NODES, PODS, SETS, World, a_node, a_pod, a_set, a_world

ROUTES = tuple(table(KINDS))
# What makes no sense as a value; what takes any text has nothing to be wrong with.
NONSENSE: Mapping[str, str] = {
    "labelSelector": "=",
    "fieldSelector": "spec.nobody=knows",
    "resourceVersion": "junk",
    "continue": "junk",
    "fieldManager": "x" * 129,
    "container": "No Name",
    "command": "",
    "ports": "http",
    "sinceTime": "yesterday",
}
SAID_BY_KUBERNETES = {"fieldSelector": "field label not supported"}
TABLE_ACCEPT = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class Kubelets(PaperKubelets):
    """Remembers also which sessions it was asked for."""

    async def upgrade(
        self, node: Node, path: str, query: str, headers: Mapping[str, str]
    ) -> Upgrade:
        self.asked.append((node.metadata.name, path, query))
        return await super().upgrade(node, path, query, headers)


class SilentStore:
    """A memory store that answers no read any more once it is told so."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.is_silent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def get(self, key: str) -> tuple[Entry | None, int]:
        if self.is_silent:
            await asyncio.Event().wait()
        return await self.inner.get(key)


@pytest.fixture
def kubelets() -> Kubelets:
    return Kubelets()


@pytest.fixture
async def world(kubelets: Kubelets) -> AsyncIterator[World]:
    async with a_world(logs=kubelets, wrapped=SilentStore) as one:
        await one.call("POST", NODES, a_node())
        await one.call("POST", PODS, a_pod("web"))
        await one.call("POST", f"{PODS}/web/binding", {"target": {"name": "n1"}})
        yield one


async def test_nonsense_in_any_parameter_of_any_route_is_refused_by_name(world: World) -> None:
    # The query of what is handed on is its target's.
    for route in (one for one in ROUTES if not one.is_relayed):
        path = re.sub(r"\{\w+\}", "web", route.pattern.replace("{namespace}", "default"))
        assert {"pretty", "timeout"} <= route.checks.keys(), path
        for name in route.checks:
            query = {name: NONSENSE.get(name, "junk")}
            answer = await world.call(route.method, path, query=query)
            assert answer.code in (400, 422), (route.method, path, name)
            told = SAID_BY_KUBERNETES.get(name, name)
            assert told in answer.tree["message"], (route.method, path, name)


async def test_what_kubernetes_knows_nowhere_is_ignored(world: World) -> None:
    for path in (PODS, f"{PODS}/web", "/version", "/apis"):
        assert (await world.call("GET", path, query={"nonsense": "x", "export": "1"})).code == 200


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", f"{PODS}/web", {"resourceVersionMatch": "Exact"}),
        ("GET", PODS, {"sendInitialEvents": "true"}),
        ("GET", PODS, {"watch": "1", "sendInitialEvents": "true"}),
        ("GET", PODS, {"shardSelector": "x"}),
        ("GET", PODS, {"watch": "1", "limit": "5"}),
        ("GET", PODS, {"watch": "1", "resourceVersionMatch": "Exact"}),
        ("GET", PODS, {"resourceVersionMatch": "Exact"}),
        ("GET", PODS, {"resourceVersionMatch": "Exact", "resourceVersion": "0"}),
        ("PATCH", f"{PODS}/web", {"force": "true"}),
        ("DELETE", PODS, {"limit": "1"}),
        ("DELETE", PODS, {"resourceVersion": "1"}),
        ("DELETE", f"{PODS}/web", {"ignoreStoreReadErrorWithClusterBreakingPotential": "true"}),
        ("GET", f"{PODS}/web/log", {"stream": "Output"}),
        ("GET", f"{PODS}/web/log", {"insecureSkipTLSVerifyBackend": "true"}),
        ("POST", f"{PODS}/web/binding", {"fieldValidation": "Ignore"}),
        ("PUT", f"{SETS}/web/scale", {"fieldValidation": "Warn"}),
    ],
)
async def test_what_is_not_done_is_refused_by_name(
    world: World, method: str, path: str, query: dict[str, str]
) -> None:
    answer = await world.call(method, path, query=query)
    assert answer.code in (400, 422)
    assert any(name in answer.tree["message"] for name in query if name != "watch")
    assert (await world.call("GET", f"{PODS}/web")).code == 200


async def test_a_refused_parameter_that_asks_for_nothing_is_taken(world: World) -> None:
    assert (await world.call("GET", PODS, query={"sendInitialEvents": "false"})).code == 200
    for query in ({"stream": "All"}, {"insecureSkipTLSVerifyBackend": "false"}):
        request = Request("GET", f"{PODS}/web/log", tuple(query.items()), identity=ADMIN)
        assert (await world.server.handle(request)).status == 200


async def test_a_truth_without_a_value_is_true_as_in_kubernetes(
    world: World, kubelets: Kubelets
) -> None:
    request = Request("GET", PODS, (("watch", ""),), identity=ADMIN)
    response = await world.server.handle(request)
    assert not isinstance(response.body, bytes)
    await response.body.aclose()  # type: ignore[attr-defined]  # a stream has it
    await logged(world, follow="")
    assert kubelets.asked[-1][2] == "follow=true"


async def logged(world: World, **query: str) -> None:
    request = Request("GET", f"{PODS}/web/log", tuple(query.items()), identity=ADMIN)
    response = await world.server.handle(request)
    assert response.status == 200
    assert not isinstance(response.body, bytes)
    assert [piece async for piece in response.body]


# One line for each parameter that is obeyed: what it changes.

type Effect = Callable[[World, Kubelets], Awaitable[None]]


async def _pretty(world: World, _: Kubelets) -> None:
    for path in (PODS, f"{PODS}/absent", "/version", "/apis"):
        plain = await world.call("GET", path)
        shown = await world.call("GET", path, query={"pretty": "true"})
        assert b"\n" not in plain.body
        assert b'\n  "kind"' in shown.body or b'\n  "major"' in shown.body
        assert shown.tree.keys() == plain.tree.keys()


async def _timeout(world: World, _: Kubelets) -> None:
    await _ends_by(world, "GET", {"timeout": "10ms"})


async def _timeout_seconds(world: World, _: Kubelets) -> None:
    lines = await world.watch(PODS, resourceVersion="1", timeoutSeconds="5")
    await world.clock.advance(6)
    while not await lines.ended():
        pass
    for method in ("GET", "DELETE"):
        await _ends_by(world, method, {"timeoutSeconds": "1"})


async def _ends_by(world: World, method: str, query: dict[str, str]) -> None:
    """Look that a call that cannot be answered ends by the deadline that it states."""
    assert isinstance(world.store, SilentStore)
    world.store.is_silent = True
    answer = await world.call(method, PODS, query=query)
    assert (answer.code, answer.tree["reason"]) == (504, "Timeout")
    world.store.is_silent = False


async def _dry_run(world: World, _: Kubelets) -> None:
    assert (await world.call("POST", PODS, a_pod("dry"), query={"dryRun": "All"})).code == 201
    assert (await world.call("DELETE", f"{PODS}/web", query={"dryRun": "All"})).code == 200
    assert (await world.call("GET", PODS)).names == ["web"]


async def _manager(world: World, _: Kubelets) -> None:
    for name, code in (("x" * 128, 201), ("x" * 129, 400), ("a\tb", 400)):
        answer = await world.call("POST", PODS, a_pod("one"), query={"fieldManager": name})
        assert answer.code == code


async def _validation(world: World, _: Kubelets) -> None:
    for asked, code, warned in (("Strict", 400, 0), ("Warn", 201, 1), ("Ignore", 201, 0)):
        wrong = a_pod(f"one-{asked.lower()}", nonsense=1)
        answer = await world.call("POST", PODS, wrong, query={"fieldValidation": asked})
        assert (answer.code, len(answer.headers.get("Warning", "")) > 0) == (code, bool(warned))


async def _revision(world: World, _: Kubelets) -> None:
    answer = await world.call("GET", f"{PODS}/web", query={"resourceVersion": "999999"})
    assert answer.code == 504


async def _labels(world: World, _: Kubelets) -> None:
    assert (await world.call("GET", PODS, query={"labelSelector": "app!=web"})).names == []


async def _fields(world: World, _: Kubelets) -> None:
    assert (await world.call("GET", PODS, query={"fieldSelector": "spec.nodeName=x"})).names == []


async def _included(world: World, _: Kubelets) -> None:
    for path in (PODS, f"{PODS}/web"):
        query = {"includeObject": "Object"}
        shown = await world.call("GET", path, query=query, headers=TABLE_ACCEPT)
        assert shown.tree["rows"][0]["object"]["kind"] == "Pod"
        shown = await world.call("GET", path, headers=TABLE_ACCEPT)
        assert shown.tree["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def _pages(world: World, _: Kubelets) -> None:
    await world.call("POST", PODS, a_pod("second"))
    first = await world.call("GET", PODS, query={"limit": "1"})
    token = first.tree["metadata"]["continue"]
    rest = await world.call("GET", PODS, query={"limit": "1", "continue": token})
    assert (first.names, rest.names) == (["second"], ["web"])


async def _match(world: World, _: Kubelets) -> None:
    at = (await world.call("GET", PODS)).revision
    await world.call("POST", PODS, a_pod("second"))
    query = {"resourceVersion": str(at)}
    exact = await world.call("GET", PODS, query={**query, "resourceVersionMatch": "Exact"})
    await world.call("GET", PODS)
    newer = await world.call("GET", PODS, query={**query, "resourceVersionMatch": "NotOlderThan"})
    assert (exact.names, newer.names) == (["web"], ["second", "web"])


async def _watch(world: World, _: Kubelets) -> None:
    lines = await world.watch(PODS)
    assert await lines.told() == ("ADDED", "web")


async def _bookmarks(world: World, _: Kubelets) -> None:
    lines = await world.watch(PODS, resourceVersion="1", allowWatchBookmarks="true")
    seen = [await lines.next()]
    while seen[-1]["type"] != "BOOKMARK":
        await world.clock.advance(3)
        seen.append(await lines.next())


async def _grace(world: World, _: Kubelets) -> None:
    await world.call("DELETE", f"{PODS}/web", query={"gracePeriodSeconds": "7"})
    metadata = (await world.call("GET", f"{PODS}/web")).tree["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 7


async def _policy(world: World, _: Kubelets) -> None:
    for query in ({"propagationPolicy": "Orphan"}, {"orphanDependents": "true"}):
        name = next(iter(query)).lower()
        await world.call("POST", SETS, a_set(name))
        await world.call("DELETE", f"{SETS}/{name}", query=query)
        metadata = (await world.call("GET", f"{SETS}/{name}")).tree["metadata"]
        assert metadata["finalizers"] == ["orphan"]


def _handed_on(name: str, value: str, told: str) -> Effect:
    async def effect(world: World, kubelets: Kubelets) -> None:
        await logged(world, **{name: value})
        assert kubelets.asked[-1][2] == told

    return effect


async def _deleted(world: World, kubelets: Kubelets) -> None:
    request = Request("GET", f"{PODS}/web/log", (("deleted", "true"),), identity=ADMIN)
    await world.server.handle(request)
    assert kubelets.asked[-1] == ("n1", "/keptLogs/default/web", "")


async def _post_mortem(world: World, kubelets: Kubelets) -> None:
    request = Request("GET", f"{PODS}/web/log", (("postMortem", "true"),), identity=ADMIN)
    await world.server.handle(request)
    assert kubelets.asked[-1] == ("n1", "/postMortems/default/web", "")


async def _container(world: World, kubelets: Kubelets) -> None:
    await logged(world, container="main")
    assert kubelets.asked[-1][1].endswith("/web/main")
    request = Request("GET", f"{PODS}/web/log", (("container", "other"),), identity=ADMIN)
    assert (await world.server.handle(request)).status == 400


async def _session(world: World, kubelets: Kubelets) -> None:
    query = (("command", "ls"), *((name, "true") for name in ("stdin", "stdout", "stderr", "tty")))
    await world.server.handle(Request("POST", f"{PODS}/web/exec", query, identity=ADMIN))
    assert kubelets.asked[-1][2] == "command=ls&stdin=true&stdout=true&stderr=true&tty=true"
    query = (("command", "ls"), ("stdout", "true"), ("stdin", "false"))
    await world.server.handle(Request("POST", f"{PODS}/web/exec", query, identity=ADMIN))
    assert kubelets.asked[-1][2] == "command=ls&stdout=true"


async def _ports(world: World, kubelets: Kubelets) -> None:
    query = (("ports", "80,443"), ("ports", "80"))
    await world.server.handle(Request("GET", f"{PODS}/web/portforward", query, identity=ADMIN))
    assert kubelets.asked[-1][2] == "ports=80%2C443%2C80"


async def _offset(_world: World, _kubelets: Kubelets) -> None:
    jobs = PaperJobs()
    async with a_world(jobs=jobs) as world:
        await a_sent_job(world)
        query = (("offset", "5"),)
        await world.server.handle(Request("GET", f"{JOBS}/add/output", query, identity=ADMIN))
        assert jobs.asked == [("/output/hpc/uid-1/out", "follow=false&offset=5")]


MOMENT = "2026-01-01T00:00:00Z"


async def _force(world: World, _: Kubelets) -> None:
    codes = []
    for manager, value, force in (("ann", "1", "false"), ("ben", "2", "0"), ("ben", "2", "true")):
        answer = await world.call(
            "PATCH",
            "/api/v1/namespaces/default/configmaps/m",
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}},
            query={"fieldManager": manager, "force": force},
            headers={"content-type": "application/apply-patch+yaml"},
        )
        codes.append(answer.code)
    assert codes == [201, 409, 200]


EFFECTS: Mapping[str, Effect] = {
    "pretty": _pretty,
    "timeout": _timeout,
    "timeoutSeconds": _timeout_seconds,
    "dryRun": _dry_run,
    "fieldManager": _manager,
    "force": _force,
    "fieldValidation": _validation,
    "resourceVersion": _revision,
    "labelSelector": _labels,
    "fieldSelector": _fields,
    "includeObject": _included,
    "limit": _pages,
    "continue": _pages,
    "resourceVersionMatch": _match,
    "watch": _watch,
    "allowWatchBookmarks": _bookmarks,
    "gracePeriodSeconds": _grace,
    "propagationPolicy": _policy,
    "orphanDependents": _policy,
    "container": _container,
    "follow": _handed_on("follow", "true", "follow=true"),
    "previous": _handed_on("previous", "1", "previous=true"),
    "life": _handed_on("life", "2", "life=2"),
    "deleted": _deleted,
    "postMortem": _post_mortem,
    "timestamps": _handed_on("timestamps", "true", "timestamps=true"),
    "tailLines": _handed_on("tailLines", "5", "tailLines=5"),
    "stream": _handed_on("stream", "Stderr", "stream=Stderr"),
    "offset": _offset,
    "limitBytes": _handed_on("limitBytes", "5", "limitBytes=5"),
    "sinceSeconds": _handed_on("sinceSeconds", "5", "sinceSeconds=5"),
    "sinceTime": _handed_on("sinceTime", MOMENT, f"sinceTime={MOMENT.replace(':', '%3A')}"),
    "command": _session,
    "stdin": _session,
    "stdout": _session,
    "stderr": _session,
    "tty": _session,
    "ports": _ports,
}


def test_every_parameter_of_every_route_is_obeyed_or_refused() -> None:
    obeyed: set[str] = set()
    for route in ROUTES:
        if route.kind is None:
            continue
        told = {one.name for one in parameters_of(route.subresource, route.verb)}
        refused = refused_of(route.subresource, route.verb).keys()
        assert not told & refused, route.pattern
        assert route.checks.keys() == told | refused, route.pattern
        obeyed |= told
    assert obeyed == EFFECTS.keys()


@pytest.mark.parametrize("name", EFFECTS)
async def test_a_parameter_that_is_told_of_has_an_effect(
    name: str, world: World, kubelets: Kubelets
) -> None:
    ticking = asyncio.create_task(_ticking(world))
    try:
        await must_have_its_effect(name, world, kubelets)
    finally:
        ticking.cancel()


async def must_have_its_effect(name: str, world: World, kubelets: Kubelets) -> None:
    await EFFECTS[name](world, kubelets)


async def _ticking(world: World) -> None:
    """Let the clock go on where only deadlines are waited for."""
    while world.clock.now():
        await asyncio.sleep(0.05)
        await world.clock.advance(0.5)
