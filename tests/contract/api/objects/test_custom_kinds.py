"""Custom kinds: a definition is applied, and its objects are served as those of every kind."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cubernetes.host.web.messages import Identity
from tests.contract.api.world import (
    PODS,
    Tree,
    World,
    a_namespace,
    a_world,
    settled,
)
from tests.definitions import (
    CRONTABS,
    DEFINITIONS,
    GROUP,
    NAME,
    a_crontab,
    a_definition,
    a_version,
)

MERGE = {"content-type": "application/merge-patch+json"}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
NEWER = CRONTABS.replace("/v1/", "/v2/")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def define(world: World, definition: Tree | None = None) -> Tree:
    """Create a definition, and return it once the server has looked at it."""
    wanted = definition or a_definition()
    made = await world.call("POST", DEFINITIONS, wanted)
    assert made.code == 201, made.tree
    await settled()
    return (await world.call("GET", f"{DEFINITIONS}/{made.tree['metadata']['name']}")).tree


def conditions(definition: Tree) -> dict[str, str]:
    return {one["type"]: one["status"] for one in definition["status"]["conditions"]}


async def test_a_definition_makes_a_kind_that_is_served_as_others_are(world: World) -> None:
    assert (await world.call("GET", CRONTABS)).code == 404
    told = await define(world, a_definition(names={"categories": ["all"]}))

    assert conditions(told) == {"NamesAccepted": "True", "Established": "True"}
    assert told["status"]["acceptedNames"]["listKind"] == "CronTabList"
    groups = (await world.call("GET", "/apis")).tree["groups"]
    assert GROUP in {one["name"] for one in groups}
    (entry, *parts) = (await world.call("GET", f"/apis/{GROUP}/v1")).tree["resources"]
    assert (entry["name"], entry["singularName"], entry["kind"]) == (
        "crontabs", "crontab", "CronTab"
    )  # fmt: skip
    assert (entry["shortNames"], entry["categories"]) == (["ct"], ["all"])
    assert [one["name"] for one in parts] == ["crontabs/status", "crontabs/scale"]

    made = await world.call("POST", CRONTABS, a_crontab(cronSpec="* * * * *"))
    assert (made.code, made.tree["spec"]["cronSpec"], made.tree["spec"]["replicas"]) == (
        201, "* * * * *", 1
    )  # fmt: skip
    listed = await world.call("GET", CRONTABS)
    assert (listed.tree["kind"], listed.names) == ("CronTabList", ["nightly"])
    changed = await world.call(
        "PATCH", f"{CRONTABS}/nightly", {"spec": {"replicas": 3}}, headers=MERGE
    )
    assert changed.tree["spec"]["replicas"] == 3
    assert (await world.call("DELETE", f"{CRONTABS}/nightly")).code == 200
    assert (await world.call("GET", CRONTABS)).names == []


async def test_what_is_wrong_with_an_object_is_told_in_kubernetes_words(world: World) -> None:
    await define(world)
    wrong = a_crontab(cronSpec="daily", replicas=11, mode="idle", size=True)
    del wrong["spec"]["image"]
    refused = await world.call("POST", CRONTABS, wrong)

    causes = {one["field"]: one["message"] for one in refused.tree["details"]["causes"]}
    assert (refused.code, causes) == (
        422,
        {
            "spec.image": "Required value",
            "spec.cronSpec": 'Invalid value: "daily": spec.cronSpec in body should match '
            r"'^\S+( \S+){4}$'",
            "spec.replicas": "Invalid value: 11: spec.replicas in body should be less than or "
            "equal to 10",
            "spec.mode": 'Unsupported value: "idle": supported values: "fast", "slow"',
            "spec.size": "Invalid value: true: spec.size in body must be of type integer,string: "
            '"boolean"',
        },
    )


async def test_a_status_has_its_defaults_and_no_null_that_may_not_be(world: World) -> None:
    """A controller in Go sends the time that it does not know as null."""
    fields = {"at": {"type": "string", "format": "date-time"}}
    fields |= {"phase": {"type": "string", "default": "New"}}
    status = {"type": "object", "properties": fields}
    shape = {"type": "object", "properties": {"spec": {"type": "object"}, "status": status}}
    await define(world, a_definition(a_version(schema={"openAPIV3Schema": shape})))
    made = await world.call("POST", CRONTABS, a_crontab())
    sent = made.tree | {"status": {"at": None}}
    told = await world.call("PUT", f"{CRONTABS}/nightly/status", sent)

    assert (told.code, told.tree.get("status")) == (200, {"phase": "New"})


async def test_unknown_fields_are_pruned_told_of_or_refused(world: World) -> None:
    await define(world)
    one = a_crontab(cronspec="x", free={"any": {"thing": 1}})
    strict = await world.call("POST", CRONTABS, one, query={"fieldValidation": "Strict"})
    warned = await world.call("POST", CRONTABS, one)

    assert (strict.code, 'unknown field "spec.cronspec"' in strict.tree["message"]) == (400, True)
    assert 'unknown field \\"spec.cronspec\\"' in warned.headers["Warning"]
    assert "cronspec" not in warned.tree["spec"]
    assert warned.tree["spec"]["free"] == {"any": {"thing": 1}}


async def test_a_status_is_written_apart_and_the_generation_counts_the_rest(world: World) -> None:
    await define(world)
    path = f"{CRONTABS}/nightly"
    status = {"status": {"replicas": 2}}
    made = await world.call("POST", CRONTABS, a_crontab() | status)
    assert "status" not in made.tree
    told = await world.call("PATCH", f"{path}/status", status, headers=MERGE)
    assert (told.tree["status"], told.tree["metadata"]["generation"]) == ({"replicas": 2}, 1)
    both = {"spec": {"replicas": 4}, "status": {"replicas": 9}}
    wanted = await world.call("PATCH", path, both, headers=MERGE)
    assert (wanted.tree["spec"]["replicas"], wanted.tree["status"]["replicas"]) == (4, 2)
    assert wanted.tree["metadata"]["generation"] == 2
    wrong = await world.call(
        "PATCH", f"{path}/status", {"status": {"replicas": "x"}}, headers=MERGE
    )
    assert wrong.code == 422


async def test_without_a_status_apart_it_is_written_with_the_rest(world: World) -> None:
    await define(world, a_definition(a_version(subresources={})))
    made = await world.call("POST", CRONTABS, a_crontab() | {"status": {"replicas": 2}})

    assert made.tree["status"] == {"replicas": 2}
    assert (await world.call("GET", f"{CRONTABS}/nightly/status")).code == 404
    again = {"status": {"replicas": 3}}
    told = await world.call("PATCH", f"{CRONTABS}/nightly", again, headers=MERGE)
    assert (told.tree["status"], told.tree["metadata"]["generation"]) == ({"replicas": 3}, 2)


async def test_the_size_is_read_and_written_where_the_definition_says(world: World) -> None:
    await define(world)
    path = f"{CRONTABS}/nightly"
    await world.call("POST", CRONTABS, a_crontab(replicas=2))
    status = {"status": {"replicas": 1, "selector": "app=a"}}
    await world.call("PATCH", f"{path}/status", status, headers=MERGE)

    scale = (await world.call("GET", f"{path}/scale")).tree
    assert (scale["spec"], scale["status"]) == (
        {"replicas": 2}, {"replicas": 1, "selector": "app=a"}
    )  # fmt: skip
    scale["spec"]["replicas"] = 5
    assert (await world.call("PUT", f"{path}/scale", scale)).code == 200
    assert (await world.call("GET", path)).tree["spec"]["replicas"] == 5
    much = await world.call("PATCH", f"{path}/scale", {"spec": {"replicas": 50}}, headers=MERGE)
    assert much.code == 422


async def test_a_table_has_the_columns_of_the_definition(world: World) -> None:
    columns = [
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await define(world, a_definition(a_version(additionalPrinterColumns=columns)))
    await world.call("POST", CRONTABS, a_crontab(replicas=2))
    table = (await world.call("GET", CRONTABS, headers=TABLE)).tree

    heads = [(one["name"], one["priority"]) for one in table["columnDefinitions"]]
    assert heads == [("Name", 0), ("Replicas", 0), ("Image", 1), ("Since", 0)]
    assert table["rows"][0]["cells"] == ["nightly", 2, "busybox:1", "0s"]


async def test_a_field_selector_may_name_what_the_definition_says(world: World) -> None:
    selectable = [{"jsonPath": ".spec.mode"}]
    await define(world, a_definition(a_version(selectableFields=selectable)))
    for name, mode in (("one", "fast"), ("two", "slow")):
        await world.call("POST", CRONTABS, a_crontab(name, mode=mode))

    chosen = await world.call("GET", CRONTABS, query={"fieldSelector": "spec.mode=slow"})
    assert chosen.names == ["two"]
    other = await world.call("GET", CRONTABS, query={"fieldSelector": "spec.image=a"})
    assert other.code == 400


def two_versions(**newer: object) -> Tree:
    return a_definition(a_version("v1"), a_version("v2", **newer))


async def test_an_object_is_served_in_every_version_and_stored_in_one(world: World) -> None:
    told = await define(world, two_versions())
    watch = await world.watch(NEWER)
    made = await world.call("POST", NEWER, a_crontab(version="v2"))
    assert (made.code, made.tree["apiVersion"]) == (201, f"{GROUP}/v2")
    old = (await world.call("GET", f"{CRONTABS}/nightly")).tree
    assert (old["apiVersion"], old["spec"]) == (f"{GROUP}/v1", made.tree["spec"])
    stored = await world.store.get(f"/cubernetes/{NAME}/default/nightly")
    assert stored[0] is not None
    assert f'"{GROUP}/v1"'.encode() in stored[0].value
    event = await watch.next()
    assert event["object"]["apiVersion"] == f"{GROUP}/v2"

    changed = await world.call(
        "PATCH", f"{NEWER}/nightly", {"spec": {"replicas": 2}}, headers=MERGE
    )
    assert (changed.tree["apiVersion"], changed.tree["spec"]["replicas"]) == (f"{GROUP}/v2", 2)
    assert (await world.call("GET", NEWER)).tree["items"][0]["apiVersion"] == f"{GROUP}/v2"

    moved = two_versions()
    for one in moved["spec"]["versions"]:
        one["storage"] = one["name"] == "v2"
    told = (await world.call("PATCH", f"{DEFINITIONS}/{NAME}", moved, headers=MERGE)).tree
    assert told["status"]["storedVersions"] == ["v1", "v2"]
    await settled()
    assert (await world.call("GET", f"{CRONTABS}/nightly")).tree["apiVersion"] == f"{GROUP}/v1"
    gone = a_definition(a_version("v2", storage=True))
    refused = await world.call("PATCH", f"{DEFINITIONS}/{NAME}", gone, headers=MERGE)
    assert (refused.code, "status.storedVersions[0]" in refused.tree["message"]) == (422, True)
    assert (await world.call("DELETE", f"{NEWER}/nightly")).code == 200
    assert (await world.call("GET", CRONTABS)).names == []


async def test_a_version_that_is_not_served_is_not_found(world: World) -> None:
    await define(world, a_definition(a_version("v1", served=False), a_version("v2")))

    assert (await world.call("GET", CRONTABS)).code == 404
    assert (await world.call("POST", NEWER, a_crontab(version="v2"))).code == 201
    assert (await world.call("GET", f"{NEWER}/nightly")).tree["apiVersion"] == f"{GROUP}/v2"
    versions = (await world.call("GET", f"/apis/{GROUP}")).tree["versions"]
    assert [one["version"] for one in versions] == ["v2"]


async def test_clients_of_a_deprecated_version_are_told(world: World) -> None:
    told = "use v1"
    await define(world, two_versions(deprecated=True, deprecationWarning=told))

    assert "Warning" not in (await world.call("GET", CRONTABS)).headers
    assert (await world.call("GET", NEWER)).headers["Warning"] == f'299 - "{told}"'
    made = await world.call("POST", NEWER, a_crontab(version="v2", unknown=1))
    assert made.headers["Warning"] == (f'299 - "{told}", 299 - "unknown field \\"spec.unknown\\""')


async def test_a_kind_without_namespaces_is_found_without_one(world: World) -> None:
    await define(world, a_definition(scope="Cluster"))

    assert (await world.call("POST", f"/apis/{GROUP}/v1/crontabs", a_crontab())).code == 201
    assert (await world.call("GET", f"/apis/{GROUP}/v1/crontabs/nightly")).code == 200
    assert (await world.call("GET", CRONTABS)).code == 404


async def test_a_strategic_patch_of_a_custom_object_is_refused(world: World) -> None:
    await define(world)
    await world.call("POST", CRONTABS, a_crontab())
    media = {"content-type": "application/strategic-merge-patch+json"}
    refused = await world.call("PATCH", f"{CRONTABS}/nightly", {"spec": {}}, headers=media)

    assert (refused.code, "accepted media types include" in refused.tree["message"]) == (415, True)
    steps = [{"op": "replace", "path": "/spec/image", "value": "web:1"}]
    media = {"content-type": "application/json-patch+json"}
    changed = await world.call("PATCH", f"{CRONTABS}/nightly", steps, headers=media)
    assert changed.tree["spec"]["image"] == "web:1"


async def test_a_watch_of_custom_objects_goes_on_from_its_list(world: World) -> None:
    await define(world)
    revision = (await world.call("GET", CRONTABS)).revision
    watch = await world.watch(CRONTABS, resourceVersion=str(revision))
    await world.call("POST", CRONTABS, a_crontab())
    await world.call("DELETE", f"{CRONTABS}/nightly")

    assert await watch.told() == ("ADDED", "nightly")
    assert await watch.told() == ("DELETED", "nightly")


async def test_a_definition_that_goes_takes_its_objects_along(world: World) -> None:
    await define(world)
    kept = a_crontab("kept")
    kept["metadata"]["finalizers"] = ["example.com/wait"]
    for one in (a_crontab(), kept):
        await world.call("POST", CRONTABS, one)
    assert (await world.call("DELETE", f"{DEFINITIONS}/{NAME}")).code == 200
    await settled()

    assert (await world.call("GET", CRONTABS)).names == ["kept"]
    told = (await world.call("GET", f"{DEFINITIONS}/{NAME}")).tree
    assert conditions(told)["Terminating"] == "True"
    refused = await world.call("POST", CRONTABS, a_crontab("late"))
    assert (refused.code, "is terminating" in refused.tree["message"]) == (403, True)
    freed = {"metadata": {"finalizers": None}}
    await world.call("PATCH", f"{CRONTABS}/kept", freed, headers=MERGE)
    await settled()
    assert (await world.call("GET", f"{DEFINITIONS}/{NAME}")).code == 404
    assert (await world.call("GET", CRONTABS)).code == 404
    assert not [key for key in await world.keys() if "crontabs" in key]


async def test_other_watches_go_on_while_kinds_come_and_go(world: World) -> None:
    pods = await world.watch(PODS)
    events = await world.watch("/apis/events.k8s.io/v1/namespaces/default/events")
    await define(world)
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    await world.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", **pod})
    about = {"kind": "Pod", "name": "web", "namespace": "default"}
    event = {"metadata": {"name": "told"}, "involvedObject": about}
    await world.call("POST", "/api/v1/namespaces/default/events", event)

    assert await pods.told() == ("ADDED", "web")
    assert await events.told() == ("ADDED", "told")


async def test_roles_say_who_may_do_what_with_custom_objects(world: World) -> None:
    await define(world)
    reader = Identity("ann", ())
    assert (await world.call("GET", CRONTABS, identity=reader)).code == 403
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"verbs": ["get", "list"], "apiGroups": [GROUP], "resources": ["crontabs"]}]
    role = {"metadata": {"name": "r"}, "rules": rules}
    await world.call("POST", f"{rbac}/roles", role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}]
    binding: dict[str, Any] = {"metadata": {"name": "b"}, "roleRef": reference}
    await world.call("POST", f"{rbac}/rolebindings", binding | {"subjects": subjects})
    await settled()

    assert (await world.call("GET", CRONTABS, identity=reader)).code == 200
    assert (await world.call("POST", CRONTABS, a_crontab(), identity=reader)).code == 403


async def test_objects_are_in_a_namespace_that_takes_them(world: World) -> None:
    await define(world)
    elsewhere = CRONTABS.replace("default", "nowhere")
    assert (await world.call("POST", elsewhere, a_crontab())).code == 404
    await world.call("POST", "/api/v1/namespaces", a_namespace("nowhere"))
    assert (await world.call("POST", elsewhere, a_crontab())).code == 201


async def test_the_documents_tell_of_a_custom_kind(world: World) -> None:
    before = (await world.call("GET", "/openapi/v3")).tree["paths"]
    await define(world)
    paths = (await world.call("GET", "/openapi/v3")).tree["paths"]

    assert paths.keys() - before.keys() == {f"apis/{GROUP}/v1"}
    document = (await world.call("GET", f"/openapi/v3/apis/{GROUP}/v1")).tree
    path = CRONTABS.replace("default", "{namespace}") + "/{name}"
    # kubectl would send what is refused, were it named here.
    taken = document["paths"][path]["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" not in taken
    schema = document["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert schema["properties"]["spec"]["properties"]["replicas"]["maximum"] == 10
    assert schema["x-kubernetes-group-version-kind"] == [
        {"group": GROUP, "version": "v1", "kind": "CronTab"}
    ]
    older = (await world.call("GET", "/openapi/v2")).tree["definitions"]
    assert "spec" in older["com.example.stable.v1.CronTab"]["properties"]
    binary = {"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    assert (await world.call("GET", "/openapi/v2", headers=binary)).code == 200


async def test_what_is_not_enforced_is_told_at_once(world: World) -> None:
    rules = [{"rule": "self.replicas < 5"}]
    spec = {"type": "object", "x-kubernetes-validations": rules}
    shape = {"type": "object", "properties": {"spec": spec}}
    version = a_version(schema={"openAPIV3Schema": shape}, subresources={})
    made = await world.call("POST", DEFINITIONS, a_definition(version))

    assert made.code == 201
    assert "not enforced" in made.headers["Warning"]
    kept = made.tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert kept["properties"]["spec"]["x-kubernetes-validations"] == rules


async def test_another_schema_is_held_to_from_then_on(world: World) -> None:
    await define(world)
    await world.call("POST", CRONTABS, a_crontab())
    shape = {"type": "object", "properties": {"spec": {"type": "object", "properties": {}}}}
    changed = a_definition(a_version(schema={"openAPIV3Schema": shape}))
    await world.call("PATCH", f"{DEFINITIONS}/{NAME}", changed, headers=MERGE)
    await settled()

    # What was stored before is there; what is written anew is pruned by the new schema.
    assert (await world.call("GET", CRONTABS)).names == ["nightly"]
    made = await world.call("POST", CRONTABS, a_crontab("other"))
    assert made.tree["spec"] == {}
