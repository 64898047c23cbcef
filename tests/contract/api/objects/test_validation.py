"""What becomes of unknown fields: Warn is the default, as in Kubernetes; and of exports."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cubernetes.api.notation.yaml import text_of
from tests.contract.api.world import PODS, SETS, Answer, World, a_pod, a_set, a_world

WEB = f"{SETS}/web"
STEPS = "application/json-patch+json"
BODIES = {
    "POST JSON": ("POST", SETS, "application/json"),
    "POST YAML": ("POST", SETS, "application/yaml"),
    "PUT JSON": ("PUT", WEB, "application/json"),
    "PUT YAML": ("PUT", WEB, "application/yaml"),
    "merge patch": ("PATCH", WEB, "application/merge-patch+json"),
    "strategic patch": ("PATCH", WEB, "application/strategic-merge-patch+json"),
    "JSON patch": ("PATCH", WEB, STEPS),
}
UNKNOWN = 'unknown field "spec.replica"'
EXPORTED = {
    "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1"}],
    "selfLink": "/api/v1/namespaces/default/pods/web",
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def sent(world: World, body: str, validation: str) -> Answer:
    """Send a ReplicaSet with a field that nobody knows, in one of the ways of writing."""
    method, path, media = BODIES[body]
    if method != "POST":
        assert (await world.call("POST", SETS, a_set())).code == 201
    wrong: dict[str, Any] = a_set()
    wrong["spec"] = {**wrong["spec"], "replica": 3}
    if media == STEPS:
        content = json.dumps([{"op": "add", "path": "/spec/replica", "value": 3}]).encode()
    elif media == "application/yaml":
        content = text_of(wrong).encode()
    else:
        content = json.dumps(wrong if method != "PATCH" else {"spec": {"replica": 3}}).encode()
    query = {"fieldValidation": validation} if validation else {}
    return await world.call(method, path, content, query=query, headers={"content-type": media})


@pytest.mark.parametrize("validation", ["", "Warn"])
@pytest.mark.parametrize("body", BODIES)
async def test_unknown_fields_are_left_out_and_told_of(
    world: World, body: str, validation: str
) -> None:
    answer = await sent(world, body, validation)

    assert answer.code in (200, 201)
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.replica\\""'
    assert "replica" not in answer.tree["spec"]


@pytest.mark.parametrize("body", BODIES)
async def test_strict_refuses_them_by_name_and_ignore_says_nothing(world: World, body: str) -> None:
    refused = await sent(world, body, "Strict")
    assert refused.code == 400
    assert UNKNOWN in refused.tree["message"]

    if BODIES[body][0] != "POST":
        await world.call("DELETE", WEB)
    ignored = await sent(world, body, "Ignore")
    assert ignored.code in (200, 201)
    assert "Warning" not in ignored.headers


@pytest.mark.parametrize(
    ("method", "path", "media", "body"),
    [
        ("POST", SETS, "application/json", b'{"kind":"ReplicaSet","kind":"ReplicaSet",%b'),
        ("PATCH", WEB, "application/merge-patch+json", b'{"spec":{"replicas":2,"replicas":3}}'),
        ("PATCH", WEB, STEPS,
         b'[{"op":"add","op":"replace","path":"/spec/replicas","value":3}]'),
    ],
)  # fmt: skip
async def test_a_field_that_stands_twice_is_taken_last_and_told_of(
    world: World, method: str, path: str, media: str, body: bytes
) -> None:
    body = body.replace(b"%b", json.dumps({"spec": a_set()["spec"]}).encode()[1:])
    body = body.replace(b'"ReplicaSet","spec"', b'"ReplicaSet","metadata":{"name":"web"},"spec"')
    if method == "PATCH":
        assert (await world.call("POST", SETS, a_set())).code == 201
    headers = {"content-type": media}

    strict = await world.call(method, path, body, query={"fieldValidation": "Strict"},
                              headers=headers)  # fmt: skip
    assert strict.code == 400
    assert "duplicate field" in strict.tree["message"]
    answer = await world.call(method, path, body, headers=headers)
    assert answer.code in (200, 201)
    assert answer.headers["Warning"].startswith('299 - "duplicate field')
    assert method == "POST" or answer.tree["spec"]["replicas"] == 3


async def test_what_another_server_exported_is_accepted_as_strictly_as_kubectl_asks(
    world: World,
) -> None:
    """A manifest out of `kubectl get -o yaml`: Kubernetes knows all of it, and sets it itself."""
    pod = a_pod()
    pod["metadata"] |= EXPORTED
    pod["status"] = {"phase": "Running", "invention": [1], "qosClass": "Burstable"}
    strict = {"fieldValidation": "Strict"}

    made = await world.call("POST", PODS, pod, query=strict)
    assert (made.code, made.headers.get("Warning")) == (201, None)
    assert not EXPORTED.keys() & made.tree["metadata"].keys()
    assert "invention" not in made.tree["status"]
    put = await world.call("PUT", f"{PODS}/web", made.tree | {"metadata": made.tree["metadata"]
                           | EXPORTED}, query=strict)  # fmt: skip
    assert put.code == 200
    # Who writes the status itself is told of what nobody knows in it.
    status = made.tree | {"status": {"phaze": "Running"}}
    told = await world.call("PUT", f"{PODS}/web/status", status, query=strict)
    assert told.code == 400
    assert 'unknown field "status.phaze"' in told.tree["message"]


async def test_another_word_for_it_is_refused(world: World) -> None:
    answer = await world.call("POST", PODS, a_pod(), query={"fieldValidation": "strict"})
    assert answer.code == 400
    assert "fieldValidation: must be one of Strict, Warn, Ignore" in answer.tree["message"]


@pytest.mark.parametrize(
    ("method", "media"), [("PUT", "application/json"), ("PATCH", "application/merge-patch+json")]
)
async def test_a_size_that_stands_twice_is_no_size(world: World, method: str, media: str) -> None:
    assert (await world.call("POST", SETS, a_set())).code == 201
    twice = b'{"spec":{"replicas":5,"replicas":0}}'

    refused = await world.call(method, f"{WEB}/scale", twice, headers={"content-type": media})

    assert refused.code == 400
    assert (await world.call("GET", f"{WEB}/scale")).tree["spec"]["replicas"] == 1


async def test_warnings_fit_into_a_header_that_clients_read(world: World) -> None:
    wrong: dict[str, Any] = a_set()
    wrong["spec"] = {**wrong["spec"], **{f"field{n}{'x' * 250}": 1 for n in range(60)}}

    warned = await world.call("POST", SETS, wrong)

    assert warned.code == 201
    assert 0 < len(warned.headers["Warning"]) <= 4096


async def test_a_field_that_stands_twice_in_yaml_is_taken_last_and_told_of(world: World) -> None:
    body = b"metadata: {name: twice}\ndata:\n  a: '1'\n  a: '2'\n"
    path, headers = "/api/v1/namespaces/default/configmaps", {"content-type": "application/yaml"}

    strict = await world.call("POST", path, body, query={"fieldValidation": "Strict"},
                              headers=headers)  # fmt: skip
    assert strict.code == 400
    assert 'duplicate field "a" at line 4' in strict.tree["message"]
    answer = await world.call("POST", path, body, headers=headers)
    assert (answer.code, answer.tree["data"]) == (201, {"a": "2"})
    assert answer.headers["Warning"].startswith('299 - "duplicate field')
    ignored = {"fieldValidation": "Ignore", "dryRun": "All"}
    body = body.replace(b"twice", b"more")
    silent = await world.call("POST", path, body, query=ignored, headers=headers)
    assert (silent.code, "Warning" in silent.headers) == (201, False)
