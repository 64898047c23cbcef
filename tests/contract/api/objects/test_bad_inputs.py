"""Bad inputs and the right answers: after each, the server lives and the store is as before."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest

from apiserver.wire.pages import Position, token_of
from cubernetes.host.web.messages import Identity
from tests.contract.api.world import (
    NODES,
    PODS,
    SERVICES,
    SETS,
    World,
    a_node,
    a_pod,
    a_service,
    a_set,
    a_world,
)

EVENTS = "/api/v1/namespaces/default/events"
YAML = {"content-type": "application/yaml"}
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
STEPS = {"content-type": "application/json-patch+json"}
# Each step doubles what is there.
DOUBLING = [{"op": "add", "path": "/spec/x", "value": ["x" * 100]}] + [
    {"op": "copy", "from": "/spec", "path": f"/spec/y{n}"} for n in range(20)
]
# Each step carries a megabyte.
TO_AND_FRO = [{"op": "add", "path": "/x", "value": ["x"] * 250_000}] + [
    {"op": "move", "from": source, "path": target}
    for _ in range(400)
    for source, target in (("/x", "/y"), ("/y", "/x"))
]
# Each pair of steps sinks what is there as deep again.
SINKING = [{"op": "add", "path": "/x", "value": {}}] + [
    step
    for _ in range(60)
    for step in (
        {"op": "copy", "from": "/x", "path": "/y"},
        {"op": "move", "from": "/y", "path": "/x/a"},
    )
]
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b]\n"


class Bad(NamedTuple):
    """row is its number in the table of bad inputs; told is part of the right message."""

    row: int
    method: str
    path: str
    body: Any
    code: int
    told: str = ""
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}


def changed(tree: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of tree with the value at a dotted path exchanged."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    at: Any = copy
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    at[int(last) if last.isdigit() else last] = value
    return copy


def container(**fields: object) -> dict[str, Any]:
    return a_pod(containers=[{"name": "main", "image": "busybox:1", **fields}])


def post(row: int, path: str, body: object, code: int, told: str = "", **more: Any) -> Bad:
    return Bad(row, "POST", path, body, code, told, **more)


def an_event(**fields: object) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "there", "namespace": "default"}
    return {"metadata": {"name": "e"}, "involvedObject": about, **fields}


def a_node_at_port(port: int) -> dict[str, Any]:
    return {**a_node(), "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}


def get(row: int, query: Mapping[str, str], code: int, told: str = "") -> Bad:
    return Bad(row, "GET", PODS, None, code, told, query=query)


DECODING = [
    post(1, PODS, b"[" * 25_000, 400, "nesting deeper than 64 at line 1", headers=YAML),
    post(2, PODS, BOMB, 400, "anchors and aliases are not accepted", headers=YAML),
    post(2, PODS, b"a: {b: c}\n<<: {d: e}\n", 400, "merge keys", headers=YAML),
    post(3, PODS, b"[" * 100_000, 400),
    post(3, PODS, b'{"a":' * 100_000, 400),
    post(4, PODS, b'{"a": ' + b"9" * 5000 + b"}", 400),
    post(4, PODS, b'{"a": 9223372036854775808}', 400, "number out of range"),
    post(5, PODS, b'{"a": 1e400}', 400, "number out of range"),
    post(5, PODS, b'{"a": NaN}', 400, "not valid JSON"),
    post(5, PODS, b'{"a": Infinity}', 400, "not valid JSON"),
    post(6, PODS, b'{"kind":"Pod","kind":"Pod"}', 400, 'duplicate field "kind"'),
    post(7, SETS, changed(a_set(), "spec.replica", 3), 400, 'unknown field "spec.replica"'),
    post(8, PODS, b" " * (3 * 1024 * 1024 + 1), 413),
    post(9, PODS, a_pod(), 415, "gzip", headers={"content-encoding": "gzip"}),
    post(10, PODS, b'{"a": "\xff"}', 400, "not UTF-8 at byte 7"),
    post(10, PODS, b'{"kind": "\\ud800"}', 400, "lone surrogate"),
    post(10, PODS, container(command=["a\x00b"]), 422, "NUL"),
    post(10, PODS, b"\xef\xbb\xbf{}", 400),
    post(11, PODS, a_pod(), 415, headers={"content-type": "text/html"}),
    post(11, PODS, a_pod(), 415, headers={"content-type": "application/json; charset=utf-16"}),
    post(12, PODS, b"", 400),
    post(12, PODS, b"null", 400, "expected a JSON object"),
    post(12, PODS, b"[]", 400, "expected a JSON object"),
    post(12, PODS, b'"x"', 400, "expected a JSON object"),
    post(12, PODS, b"42", 400, "expected a JSON object"),
    post(13, PODS, changed(a_pod(), "kind", "Node"), 400, "expected 'Pod'"),
    post(13, PODS, changed(a_pod(), "kind", "pod"), 400, "expected 'Pod'"),
    post(13, PODS, changed(a_pod(), "apiVersion", "apps/v1"), 400, "expected 'v1'"),
    post(
        14,
        PODS,
        changed(a_pod(), "metadata.labels", {f"k{n}": "v" for n in range(300_000 // 100)}),
        422,
        "too many",
    ),
    post(14, PODS, container(args=["x" * 1024] * 1100), 413, "at most 1048576"),
]
SEMANTICS = [
    *(
        post(15, PODS, changed(a_pod(), "metadata.name", name), 422, "metadata.name")
        for name in ("../../etc/passwd", "a/b", ".", "..", "%2e%2e", "A", "x" * 254, "-x", "")
    ),
    *(
        post(15, PODS, changed(a_pod(), "metadata.name", name), 422, "metadata.name")
        for name in ("x\n", "x\u202e")
    ),
    *(Bad(15, "GET", f"{PODS}/{name}", None, 404) for name in ("..", "%2e%2e", "a\nb", "A")),
    Bad(15, "GET", f"{PODS}/../../../secrets", None, 404),
    post(16, PODS, changed(a_pod(), "metadata.name", "w\u0435b"), 422),
    post(17, PODS, a_pod("there"), 409, "already exists"),
    *(
        Bad(19, "PUT", f"{PODS}/there", changed(a_pod("there"), "metadata", one), 400)
        for one in (
            {"name": "there", "resourceVersion": "abc"},
            {"name": "there", "resourceVersion": "-1"},
            {"name": "there", "resourceVersion": "99999999999999999999"},
        )
    ),
    get(19, {"resourceVersion": "abc"}, 400),
    get(19, {"resourceVersion": "-1"}, 400),
    get(19, {"resourceVersion": "99999999999999999999"}, 504, "Too large resource version"),
    *(
        post(22, SETS, a_set(replicas=value), 422, "spec.replicas")
        for value in (-1, 1.5, "3", True, 2**31)
    ),
    post(22, SETS, json.dumps(a_set()).replace('"replicas": 1', '"replicas": 1e3').encode(), 422),
    post(
        23,
        PODS,
        b"kind: Pod\nmetadata: {name: y}\nspec: {containers: [{name: c, image: b, env: "
        b"[{name: A, value: true}]}]}",
        422,
        "must be a string",
        headers=YAML,
    ),
    *(
        post(24, PODS, container(resources={"requests": {"memory": amount}}), 422, "resources")
        for amount in ("0.1.1", "1e", "-1Gi", "1KiB", "9999Ei")
    ),
    post(
        24,
        PODS,
        container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        422,
        "must be at most the limit",
    ),
    *(
        post(25, PODS, container(ports=[{"containerPort": port}]), 422, "containerPort")
        for port in (0, 65536, -1)
    ),
    post(25, PODS, container(ports=[{"containerPort": 80}, {"containerPort": 80}]), 422),
    post(
        26,
        SETS,
        changed(a_set(), "spec.selector", {"matchLabels": {"app": "other"}}),
        422,
        "`selector` does not match template `labels`",
    ),
    post(27, SETS, changed(a_set(), "spec.selector", {}), 422, "must not be empty"),
    post(33, "/api/v1/namespaces/absent/pods", a_pod(), 404, 'namespaces "absent" not found'),
    get(35, {"watch": "1", "timeoutSeconds": "-1"}, 400, "timeoutSeconds"),
    get(35, {"watch": "1", "timeoutSeconds": "1000000000000"}, 400, "timeoutSeconds"),
    get(35, {"watch": "1", "labelSelector": "a in ("}, 400, "labelSelector"),
    get(35, {"limit": "-5"}, 400, "limit"),
    get(35, {"continue": "forged"}, 400, "continue"),
    get(35, {"continue": token_of(Position(2**63, "/cubernetes/pods/default/x"))}, 400, "continue"),
    get(36, {"labelSelector": "a in ("}, 400),
    get(36, {"labelSelector": ",".join(f"k{n}=v" for n in range(10_000))}, 400, "at most 100"),
    get(36, {"fieldSelector": "spec.foo=x"}, 400, "field label not supported: spec.foo"),
    Bad(37, "PATCH", f"{PODS}/there", {"metadata": {"uid": "x"}}, 409, "UID", headers=MERGE),
    Bad(37, "PATCH", f"{PODS}/there", b'{"a":' * 70 + b"1" + b"}" * 70, 400, "", headers=MERGE),
    Bad(37, "PATCH", f"{PODS}/there", b"[1]", 400, "", headers=MERGE),
    Bad(37, "PATCH", f"{PODS}/there", {"$patch": "spin"}, 400, "$patch", headers=STRATEGIC),
    Bad(
        37,
        "PATCH",
        f"{PODS}/there",
        {"metadata": {"annotations": {"a": "x" * 1_100_000}}},
        422,
        "annotations",
        headers=MERGE,
    ),
    Bad(37, "PATCH", f"{PODS}/there", b"[]", 415, headers={"content-type": "application/x"}),
    *(
        Bad(37, "PATCH", f"{PODS}/there", steps, code, headers=STEPS)
        for steps, code in (
            ([{"op": "test", "path": "/metadata/name", "value": "x"}], 422),
            ([{"op": "remove", "path": "/metadata/nothing"}], 422),
            ([{"op": "replace", "path": "/metadata/uid", "value": "x"}], 409),
            ([{"op": "add", "path": "/metadata/labels/a", "value": "b"}] * 10_000, 413),
            (DOUBLING, 413),
            (SINKING, 400),
            (TO_AND_FRO, 413),
            ([{"op": "test", "path": "/metadata/generation", "value": True}], 422),
            ([{"op": "spin", "path": "/a"}], 400),
            ([{"op": "add", "path": "", "value": {}}], 400),
            ({"op": "add"}, 400),
            (b'[], "more": []', 400),
        )
    ),
    post(0, EVENTS, an_event(lastTimestamp="2026-01-01T00:00:00"), 422, "lastTimestamp"),
    Bad(0, "PUT", f"{NODES}/n1/status", a_node_at_port(65536), 422, "kubeletEndpoint"),
    post(0, PODS, a_pod(), 400, "Cubernetes-Fence", headers={"cubernetes-fence": "a/b:²:u"}),
    post(
        0,
        PODS,
        a_pod(),
        400,
        "Cubernetes-Fence",
        headers={"cubernetes-fence": "a\udcff/b:1:u"},
    ),
    Bad(42, "HEAD", PODS, None, 405),
    Bad(42, "TRACE", PODS, None, 405),
    Bad(42, "CONNECT", PODS, None, 405),
    Bad(42, "POST", f"{PODS}/there", None, 405, headers={"x-http-method-override": "DELETE"}),
    post(45, f"{PODS}/there/binding", {"target": {"name": "n9"}}, 404),
    post(45, f"{PODS}/there/binding", {"target": {"kind": "Pod", "name": "n1"}}, 422),
    post(45, f"{PODS}/there/binding", {"target": {}}, 422),
    post(46, SERVICES, a_service(clusterIP="10.96.0.1"), 422, "already allocated"),
    post(46, SERVICES, a_service(clusterIP="1.2.3.4"), 422, "not in the service range"),
    Bad(48, "GET", f"{PODS}/there/log", None, 400, "not assigned", query={"container": "main"}),
    Bad(48, "GET", f"{PODS}/there/log", None, 400, "not valid", query={"container": "absent"}),
    Bad(48, "POST", f"{PODS}/there/exec", None, 400, "command"),
    Bad(0, "GET", "/api/v2", None, 404),
    Bad(0, "GET", "/" + "a/" * 2000, None, 404),
    Bad(0, "GET", f"{PODS}//", None, 200),
    Bad(0, "DELETE", f"{PODS}/there", {"gracePeriodSeconds": -1}, 400),
    Bad(0, "DELETE", f"{PODS}/there", {"gracePeriod": 1}, 400, "unknown field"),
    post(38, PODS, a_pod(), 400, "dryRun", query={"dryRun": "Some"}),
]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        await one.call("POST", NODES, a_node())
        await one.call("POST", PODS, a_pod("there"))
        yield one


def _title(bad: Bad) -> str:
    return f"row{bad.row}-{bad.method}-{bad.code}"


@pytest.mark.parametrize("bad", [*DECODING, *SEMANTICS], ids=_title)
async def test_a_bad_input_is_refused_and_leaves_no_trace(world: World, bad: Bad) -> None:
    before = (await world.store.list("/")).entries
    # As kubectl asks; without it, unknown fields are told of and left out.
    query = bad.query if bad.method == "GET" else {"fieldValidation": "Strict", **bad.query}
    answer = await world.call(bad.method, bad.path, bad.body, headers=bad.headers, query=query)

    assert answer.code == bad.code, answer.body[:500]
    if bad.code != 200:
        status = answer.tree
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", bad.code)
        assert bad.told in status["message"], status["message"][:500]
        assert "Traceback" not in status["message"]
    assert (await world.store.list("/")).entries == before
    assert (await world.call("GET", f"{PODS}/there")).code == 200


async def test_row_29_owner_references_may_be_strange(world: World) -> None:
    for uid in ("absent", "other"):
        pod = a_pod(f"owned-{uid}")
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": uid, "controller": True}
        pod["metadata"]["ownerReferences"] = [owner]
        assert (await world.call("POST", PODS, pod)).code == 201


async def test_row_39_claims_of_identity_in_headers_are_not_looked_at(world: World) -> None:
    nobody = Identity("nobody")
    headers = {"x-remote-user": "kubernetes-admin", "x-remote-group": "system:masters"}
    answer = await world.call("GET", PODS, headers=headers, identity=nobody)

    assert answer.code == 403
    assert 'User "nobody"' in answer.tree["message"]
