"""Server-side apply, as Kubernetes documents it: owners of fields, conflicts, force, what goes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.api.world import PODS, SERVICES, Answer, World, a_pod, a_world, settled
from tests.definitions import CRONTABS, DEFINITIONS, GROUP, NAME, a_definition, a_version

APPLY = "application/apply-patch+yaml"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


def a_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


def a_deployment(**spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": "d"}},
        "spec": {"containers": [{"name": "c", "image": "web:1"}]},
    }
    given = {"selector": {"matchLabels": {"app": "d"}}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": given,
    }


async def apply(
    world: World, path: str, body: object, manager: str = "ann", **query: str
) -> Answer:
    asked = {"fieldManager": manager, **query}
    headers = {"content-type": APPLY}
    return await world.call("PATCH", path, body, query=asked, headers=headers)


def owners(answer: Answer) -> dict[str, str]:
    """Return who owns something, and how."""
    entries = answer.tree["metadata"].get("managedFields", [])
    return {entry["manager"]: entry["operation"] for entry in entries}


async def test_what_is_absent_is_created_and_applying_it_again_writes_nothing(
    world: World,
) -> None:
    made = await apply(world, f"{MAPS}/m", a_map(a="1"))
    again = await apply(world, f"{MAPS}/m", a_map(a="1"))

    assert (made.code, again.code) == (201, 200)
    assert made.body == again.body
    assert made.tree["metadata"]["managedFields"] == [
        {
            "manager": "ann",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]


async def test_yaml_is_applied_as_json_is(world: World) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1'}\n"
    assert (await apply(world, f"{MAPS}/m", text)).tree["data"] == {"a": "1"}


async def test_a_field_that_another_owns_is_refused_by_name_and_taken_by_force(
    world: World,
) -> None:
    await apply(world, f"{MAPS}/m", a_map(a="1", b="1"))
    refused = await apply(world, f"{MAPS}/m", a_map(a="2"), "ben")

    assert (refused.code, refused.tree["reason"]) == (409, "Conflict")
    told = 'Apply failed with 1 conflict: conflict with "ann" using v1: .data.a'
    assert refused.tree["message"] == told
    assert refused.tree["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "ann" using v1',
            "field": ".data.a",
        }
    ]
    two = await apply(world, f"{MAPS}/m", a_map(a="2", b="2"), "ben")
    assert two.tree["message"] == (
        'Apply failed with 2 conflicts: conflicts with "ann" using v1:\n- .data.a\n- .data.b'
    )
    forced = await apply(world, f"{MAPS}/m", a_map(a="2"), "ben", force="true")
    assert forced.tree["data"] == {"a": "2", "b": "1"}
    # What ben does not say any more goes; what is ann's stays.
    left = await apply(world, f"{MAPS}/m", a_map(), "ben")
    assert left.tree["data"] == {"b": "1"}


async def test_what_others_write_is_theirs_once_somebody_applies(world: World) -> None:
    await world.call("POST", MAPS, a_map(a="1"))
    merge = {"content-type": "application/merge-patch+json"}
    untouched = await world.call("GET", f"{MAPS}/m")
    assert owners(untouched) == {}

    await apply(world, f"{MAPS}/m", a_map(b="1"))
    patched = await world.call(
        "PATCH", f"{MAPS}/m", {"data": {"c": "1"}}, headers={**merge, "user-agent": "kubelet/1 x"}
    )
    assert owners(patched) == {"before-first-apply": "Update", "ann": "Apply", "kubelet": "Update"}
    for field, owner in (("a", "before-first-apply"), ("c", "kubelet")):
        refused = await apply(world, f"{MAPS}/m", a_map(**{"b": "1", field: "2"}))
        assert f'conflict with "{owner}" using v1: .data.{field}' in refused.tree["message"]


async def test_a_put_of_what_was_read_changes_no_owner(world: World) -> None:
    made = await apply(world, f"{MAPS}/m", a_map(a="1"))
    same = await world.call("PUT", f"{MAPS}/m", made.tree)
    assert same.body == made.body

    cleared = {**made.tree, "metadata": {**made.tree["metadata"], "managedFields": []}}
    cleared["data"] = {"a": "2"}
    taken = await world.call("PUT", f"{MAPS}/m", cleared, query={"fieldManager": "cat"})
    assert owners(taken) == {"cat": "Update"}


async def test_a_count_that_an_autoscaler_writes_is_not_taken_back(world: World) -> None:
    await apply(world, f"{DEPLOYMENTS}/d", a_deployment(replicas=1))
    scale = (await world.call("GET", f"{DEPLOYMENTS}/d/scale")).tree
    scale["spec"]["replicas"] = 5
    scaled = await world.call("PUT", f"{DEPLOYMENTS}/d/scale", scale, query={"fieldManager": "hpa"})
    assert scaled.code == 200

    refused = await apply(world, f"{DEPLOYMENTS}/d", a_deployment(replicas=2))
    told = 'conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas'
    assert told in refused.tree["message"]
    # Who gives up a field that is not his any more takes nothing away.
    left = await apply(world, f"{DEPLOYMENTS}/d", a_deployment())
    assert left.tree["spec"]["replicas"] == 5


async def test_what_kubectl_applied_by_itself_before_is_its_own(world: World) -> None:
    old = a_map(a="1", b="1")
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(old)}
    made = {
        **old,
        "metadata": {"name": "m", "annotations": note},
        "data": {**old["data"], "c": "1"},
    }
    await world.call("POST", MAPS, made)

    applied = await apply(world, f"{MAPS}/m", a_map(a="2"), "kubectl")
    assert applied.tree["data"] == {"a": "2", "c": "1"}
    said = applied.tree["metadata"]["annotations"]
    assert json.loads(said["kubectl.kubernetes.io/last-applied-configuration"]) == a_map(a="2")


async def test_what_an_autoscaler_wrote_since_is_not_kubectls(world: World) -> None:
    old = a_deployment(replicas=1)
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(old)}
    await world.call("POST", DEPLOYMENTS, {**old, "metadata": {"name": "d", "annotations": note}})
    scale = (await world.call("GET", f"{DEPLOYMENTS}/d/scale")).tree
    scale["spec"]["replicas"] = 5
    await world.call("PUT", f"{DEPLOYMENTS}/d/scale", scale)

    handed_over = await apply(world, f"{DEPLOYMENTS}/d", a_deployment(), "kubectl")
    assert handed_over.tree["spec"]["replicas"] == 5
    refused = await apply(world, f"{DEPLOYMENTS}/d", a_deployment(replicas=1), "kubectl")
    assert 'conflict with "before-first-apply"' in refused.tree["message"]


async def test_kubectl_may_apply_by_itself_in_between(world: World) -> None:
    await apply(world, f"{MAPS}/m", a_map(a="1"), "kubectl")
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(a_map(a="2"))}
    await world.call(
        "PATCH",
        f"{MAPS}/m",
        {"metadata": {"annotations": note}, "data": {"a": "2"}},
        query={"fieldManager": "kubectl-client-side-apply"},
        headers={"content-type": "application/merge-patch+json"},
    )
    again = await apply(world, f"{MAPS}/m", a_map(a="3"), "kubectl")
    assert (again.code, again.tree["data"]) == (200, {"a": "3"})


@pytest.mark.parametrize("note", ['{"spec":{"containers":[{}]}}', "{", "[]"])
async def test_an_annotation_that_cannot_be_read_is_nobodys(world: World, note: str) -> None:
    pod = a_pod()
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": note}
    await world.call("POST", PODS, pod)
    part = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a": "1"}}}
    assert (await apply(world, f"{PODS}/web", part, "kubectl")).code == 200


async def test_kubectls_note_does_not_grow_and_goes_where_it_would_be_too_long(
    world: World,
) -> None:
    note = "kubectl.kubernetes.io/last-applied-configuration"
    made = a_map(a="1")
    made["metadata"]["annotations"] = {note: "{}"}
    await world.call("POST", MAPS, made)
    sizes = set()
    for _ in range(4):
        read = (await world.call("GET", f"{MAPS}/m")).tree
        said = {key: read["metadata"][key] for key in ("name", "annotations")}
        body = {**a_map(a="1"), "metadata": said}
        applied = await apply(world, f"{MAPS}/m", body, "kubectl", force="true")
        sizes.add(len(applied.tree["metadata"]["annotations"][note]))
    assert len(sizes) == 1
    large = await apply(world, f"{MAPS}/m", a_map(a="x" * 300_000), "kubectl", force="true")
    assert large.code == 200
    assert note not in large.tree["metadata"].get("annotations", {})


async def test_what_the_server_guards_survives_the_last_label(world: World) -> None:
    labelled = {**a_map(a="1"), "metadata": {"name": "m", "labels": {"l": "1"}}}
    await apply(world, f"{MAPS}/m", labelled)
    stale = {**a_map(a="2"), "metadata": {"name": "m", "resourceVersion": "1"}}
    refused = await apply(world, f"{MAPS}/m", stale)
    assert (refused.code, refused.tree["reason"]) == (409, "Conflict")

    await world.call("POST", PODS, a_pod())
    for status in ({"message": "m"}, {}):
        body = {"apiVersion": "v1", "kind": "Pod", "status": status}
        answer = await apply(world, f"{PODS}/web/status", body)
    assert answer.tree["status"]["qosClass"] == "BestEffort"
    assert "message" not in answer.tree["status"]


async def test_through_a_status_nobody_takes_what_is_beside_it(world: World) -> None:
    labelled = a_pod()
    labelled["metadata"]["labels"] = {"app": "web"}
    await apply(world, f"{PODS}/web", labelled)
    body = {"apiVersion": "v1", "kind": "Pod", "status": {"message": "m"}}
    body["metadata"] = {"name": "web", "labels": {"app": "other", "n": "1"}}
    answer = await apply(world, f"{PODS}/web/status", body, "ben", force="true")
    fields = {one["manager"]: one["fieldsV1"] for one in answer.tree["metadata"]["managedFields"]}
    assert fields["ben"] == {"f:status": {"f:message": {}}}
    assert "f:labels" in fields["ann"]["f:metadata"]


async def test_an_object_of_very_many_fields_is_refused(world: World) -> None:
    many = a_map(**{f"k{number}": "" for number in range(20_000)})
    assert (await apply(world, f"{MAPS}/m", many)).code == 413
    await apply(world, f"{MAPS}/m", a_map(a="1"))
    assert (await world.call("PUT", f"{MAPS}/m", many)).code == 413


async def test_of_very_many_conflicts_some_are_told(world: World) -> None:
    keys = [f"k{number}" for number in range(500)]
    await apply(world, f"{MAPS}/m", a_map(**dict.fromkeys(keys, "1")))
    refused = await apply(world, f"{MAPS}/m", a_map(**dict.fromkeys(keys, "2")), "ben")
    assert refused.tree["message"].startswith("Apply failed with 500 conflicts: ")
    assert refused.tree["message"].endswith("... and 400 more")
    assert len(refused.tree["details"]["causes"]) == 100


async def test_yaml_in_its_flow_style_and_a_field_that_stands_twice_are_read(
    world: World,
) -> None:
    text = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '1'}}"
    assert (await apply(world, f"{MAPS}/m", text)).code == 201
    twice = b'{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"1"},"data":{"a":"2"}}'
    told = await apply(world, f"{MAPS}/m", twice)
    assert (told.code, told.tree["data"]) == (200, {"a": "2"})
    assert "data" in told.headers["Warning"]
    assert (await apply(world, f"{MAPS}/m", twice, fieldValidation="Strict")).code == 400


async def test_a_volume_becomes_one_of_another_type(world: World) -> None:
    one = a_deployment()
    pod = one["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "v", "configMap": {"name": "m"}}]
    await apply(world, f"{DEPLOYMENTS}/d", one)
    pod["volumes"] = [{"name": "v", "emptyDir": {}}]
    changed = await apply(world, f"{DEPLOYMENTS}/d", one)
    assert changed.code == 200, changed.tree
    assert changed.tree["spec"]["template"]["spec"]["volumes"] == pod["volumes"]


async def test_ports_of_two_protocols_are_entries_of_their_own(world: World) -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "dns"},
        "spec": {"ports": ports, "selector": {"app": "dns"}},
    }
    made = await apply(world, f"{SERVICES}/dns", service)
    assert made.code == 201, made.tree
    service["spec"] = {"ports": ports[1:], "selector": {"app": "dns"}}
    fewer = await apply(world, f"{SERVICES}/dns", service)
    assert [port["name"] for port in fewer.tree["spec"]["ports"]] == ["dns-tcp"]


async def test_a_status_is_applied_through_its_own_path_and_beside_the_rest(world: World) -> None:
    await world.call("POST", PODS, a_pod())
    ready = {"type": "example.com/warm", "status": "True", "lastTransitionTime": None}
    body = {"apiVersion": "v1", "kind": "Pod", "status": {"conditions": [ready]}}
    body["spec"] = {"nodeName": "elsewhere"}
    answer = await apply(world, f"{PODS}/web/status", body)
    assert answer.code == 200, answer.tree
    assert "example.com/warm" in {one["type"] for one in answer.tree["status"]["conditions"]}
    assert "nodeName" not in answer.tree["spec"]
    entry = next(one for one in answer.tree["metadata"]["managedFields"] if one["manager"] == "ann")
    assert entry["subresource"] == "status"
    assert list(entry["fieldsV1"]) == ["f:status"]


async def test_a_dry_run_writes_nothing(world: World) -> None:
    shown = await apply(world, f"{MAPS}/m", a_map(a="1"), dryRun="All")
    assert shown.code == 201
    assert (await world.call("GET", f"{MAPS}/m")).code == 404


@pytest.mark.parametrize(
    ("body", "query", "code", "words"),
    [
        (a_map(), {"fieldManager": ""}, 422, "fieldManager: Required value"),
        ({**a_map(), "kind": "Secret"}, {}, 400, "kind: expected 'ConfigMap'"),
        ({**a_map(), "metadata": {"name": "n"}}, {}, 400, "does not match the name on the URL"),
        (
            {**a_map(), "metadata": {"name": "m", "namespace": "other"}},
            {},
            400,
            "metadata.namespace",
        ),
        (
            {**a_map(), "metadata": {"managedFields": [{"manager": "x"}]}},
            {},
            400,
            "metadata.managedFields must be nil",
        ),
        ({**a_map(), "dta": {}}, {"fieldValidation": "Strict"}, 400, 'unknown field "dta"'),
        ({**a_map(), "data": {"a": 1}}, {}, 422, "data[a]"),
        (b"[]", {}, 400, ""),
        ({**a_map(), "metadata": {"name": "m", "uid": "other"}}, {}, 404, "not found"),
    ],
)
async def test_what_cannot_be_applied_is_refused_and_nothing_is_made(
    world: World, body: object, query: dict[str, str], code: int, words: str
) -> None:
    asked = {"fieldManager": "ann", **query}
    headers = {"content-type": APPLY}
    refused = await world.call("PATCH", f"{MAPS}/m", body, query=asked, headers=headers)
    assert refused.code == code, refused.tree
    assert words in refused.tree["message"]
    assert (await world.call("GET", f"{MAPS}/m")).code == 404


async def test_unknown_fields_are_told_of_and_nobodys(world: World) -> None:
    made = await apply(world, f"{MAPS}/m", {**a_map(a="1"), "dta": {}})
    assert made.code == 201
    assert 'unknown field \\"dta\\"' in made.headers["Warning"]
    assert made.tree["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {"f:a": {}}}


async def test_a_part_of_an_object_is_applied_without_the_rest(world: World) -> None:
    await apply(world, f"{DEPLOYMENTS}/d", a_deployment())
    part = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}
    answer = await apply(world, f"{DEPLOYMENTS}/d", part, "ben")
    assert (answer.code, answer.tree["spec"]["replicas"]) == (200, 3)


async def test_entries_that_cannot_be_told_apart_are_refused(world: World) -> None:
    one = a_deployment()
    one["spec"]["template"]["spec"]["containers"] *= 2
    refused = await apply(world, f"{DEPLOYMENTS}/d", one)
    assert refused.code == 400
    assert "two entries have the key" in refused.tree["message"]


async def test_only_an_apply_takes_fields_by_force(world: World) -> None:
    await world.call("POST", MAPS, a_map())
    merge = {"content-type": "application/merge-patch+json"}
    refused = await world.call(
        "PATCH", f"{MAPS}/m", {"data": {}}, query={"force": "true"}, headers=merge
    )
    assert refused.code == 422
    assert "may not be specified for non-apply patch" in refused.tree["message"]


TEXT = {"type": "string"}


def listed(**properties: object) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": properties}}


async def an_entry_kind(world: World) -> None:
    """Define a kind whose lists are called as those of pods and services, and are otherwise."""
    keyed = listed(name=TEXT, weight={"type": "integer"})
    keyed["items"]["required"] = ["name"]
    keyed |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    fields = {"ports": listed(number={"type": "integer"}, name=TEXT), "routes": keyed}
    shape = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": fields},
            "status": {"type": "object", "properties": {"addresses": listed(value=TEXT)}},
        },
    }
    version = a_version(schema={"openAPIV3Schema": shape}, subresources={"status": {}})
    assert (await world.call("POST", DEFINITIONS, a_definition(version))).code == 201
    await settled()


def an_entry(**spec: object) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "CronTab",
        "metadata": {"name": "e"},
        "spec": spec,
    }


async def test_lists_of_a_custom_object_are_called_as_ours_and_are_not_ours(world: World) -> None:
    await an_entry_kind(world)
    ports = [{"number": 80, "name": "http"}, {"number": 80, "name": "again"}]
    made = await apply(world, f"{CRONTABS}/e", an_entry(ports=ports))
    status = made.tree | {"status": {"addresses": [{"value": "10.0.0.1"}]}}
    told = await world.call("PUT", f"{CRONTABS}/e/status", status)
    again = await apply(world, f"{CRONTABS}/e", an_entry(ports=ports[:1]))

    assert (made.code, told.code, again.code) == (201, 200, 200)
    assert again.tree["spec"]["ports"] == ports[:1]
    assert again.tree["status"] == {"addresses": [{"value": "10.0.0.1"}]}


async def test_a_custom_list_is_taken_apart_where_its_schema_says_its_keys(world: World) -> None:
    await an_entry_kind(world)
    await apply(world, f"{CRONTABS}/e", an_entry(routes=[{"name": "a", "weight": 1}]))
    both = await apply(world, f"{CRONTABS}/e", an_entry(routes=[{"name": "b"}]), "ben")
    taken = await apply(
        world, f"{CRONTABS}/e", an_entry(routes=[{"name": "a", "weight": 2}]), "ben"
    )

    assert {one["name"] for one in both.tree["spec"]["routes"]} == {"a", "b"}
    assert (taken.code, '.spec.routes[name="a"].weight' in taken.tree["message"]) == (409, True)


async def test_an_entry_without_its_key_that_stood_before_is_no_failure_of_the_server(
    world: World,
) -> None:
    """A schema that says keys may come later than the object."""
    await an_entry_kind(world)
    await apply(world, f"{CRONTABS}/e", an_entry(ports=[{"name": "http"}]))
    definition = (await world.call("GET", f"{DEFINITIONS}/{NAME}")).tree
    shape = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    ports = shape["properties"]["spec"]["properties"]["ports"]
    ports |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"]}
    ports["items"]["required"] = ["number"]
    assert (await world.call("PUT", f"{DEFINITIONS}/{NAME}", definition)).code == 200
    await settled()
    one = (await world.call("GET", f"{CRONTABS}/e")).tree
    one["spec"]["ports"] = [{"number": 80}]

    assert (await world.call("PUT", f"{CRONTABS}/e", one)).code == 200
