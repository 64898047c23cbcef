"""Objects through the API: made, read, changed, and never by two at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cubernetes.host.web.messages import Identity
from tests.contract.api.world import PODS, SERVICES, SETS, World, a_pod, a_service, a_set, a_world

MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def test_what_is_created_is_read_back_with_the_servers_own_fields(world: World) -> None:
    made = await world.call("POST", PODS, a_pod())
    read = await world.call("GET", f"{PODS}/web")

    assert (made.code, read.code) == (201, 200)
    assert made.body == read.body
    metadata = made.tree["metadata"]
    assert metadata["namespace"] == "default"
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["generation"] == 1
    assert len(metadata["uid"]) == 36
    assert made.tree["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made.tree["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


async def test_a_slash_at_the_end_is_tolerated(world: World) -> None:
    assert (await world.call("GET", "/api/v1/namespaces/")).code == 200
    assert (await world.call("GET", "/api/v1/namespaces/default/")).code == 200


async def test_of_a_hundred_creates_of_one_name_exactly_one_succeeds(world: World) -> None:
    answers = await asyncio.gather(*(world.call("POST", PODS, a_pod()) for _ in range(100)))

    codes = sorted(answer.code for answer in answers)
    assert codes == [201] + [409] * 99
    refusal = next(answer for answer in answers if answer.code == 409)
    assert refusal.tree["reason"] == "AlreadyExists"
    assert refusal.tree["message"] == 'pods "web" already exists'


async def test_a_generated_name_is_a_new_one_each_time(world: World) -> None:
    pod = a_pod()
    pod["metadata"] = {"generateName": "job-"}
    names = {(await world.call("POST", PODS, pod)).tree["metadata"]["name"] for _ in range(20)}

    assert len(names) == 20
    assert all(name.startswith("job-") and len(name) == 9 for name in names)


async def test_an_old_write_is_refused_and_changes_nothing_w12(world: World) -> None:
    """W12: the forerunner wrote whole objects from stale caches over newer ones."""
    old = (await world.call("POST", SETS, a_set())).tree
    await world.call("PATCH", f"{SETS}/web", {"spec": {"replicas": 4}}, headers=MERGE)
    late = await world.call("PUT", f"{SETS}/web", old)

    assert (late.code, late.tree["reason"]) == (409, "Conflict")
    assert (await world.call("GET", f"{SETS}/web")).tree["spec"]["replicas"] == 4


async def test_a_write_that_states_no_revision_wins(world: World) -> None:
    await world.call("POST", SETS, a_set())
    answers = await asyncio.gather(
        *(world.call("PUT", f"{SETS}/web", a_set(replicas=count)) for count in range(20))
    )

    assert {answer.code for answer in answers} == {200}


async def test_patches_at_once_all_land(world: World) -> None:
    await world.call("POST", PODS, a_pod())
    changes = [{"metadata": {"labels": {f"l{count}": "x"}}} for count in range(60)]
    answers = await asyncio.gather(
        *(world.call("PATCH", f"{PODS}/web", one, headers=MERGE) for one in changes)
    )

    assert {answer.code for answer in answers} == {200}
    labels = (await world.call("GET", f"{PODS}/web")).tree["metadata"]["labels"]
    assert {f"l{count}" for count in range(60)} < labels.keys()


async def test_a_write_without_a_change_is_no_write_w49(world: World) -> None:
    """W49: applying the same file twice made duplicates; here it does not even make a revision."""
    made = await world.call("POST", SETS, a_set())
    revision = (await world.store.get("/"))[1]
    again = await world.call("PUT", f"{SETS}/web", a_set())
    patched = await world.call("PATCH", f"{SETS}/web", {"spec": {"replicas": 1}}, headers=MERGE)

    assert again.body == made.body == patched.body
    assert (await world.store.get("/"))[1] == revision


async def test_the_generation_counts_changes_of_the_spec_alone(world: World) -> None:
    await world.call("POST", SETS, a_set())

    async def generation(path: str, change: object) -> int:
        answer = await world.call("PATCH", path, change, headers=MERGE)
        assert answer.code == 200, answer.body
        return int(answer.tree["metadata"]["generation"])

    assert await generation(f"{SETS}/web", {"metadata": {"labels": {"a": "b"}}}) == 1
    assert await generation(f"{SETS}/web/status", {"status": {"replicas": 1}}) == 1
    assert await generation(f"{SETS}/web", {"spec": {"replicas": 2}}) == 2
    await world.call("PATCH", f"{SETS}/web/scale", {"spec": {"replicas": 3}}, headers=MERGE)
    assert (await world.call("GET", f"{SETS}/web")).tree["metadata"]["generation"] == 3


async def test_spec_and_status_are_written_apart_w12(world: World) -> None:
    """W12: a status write undid edits of the spec, and the other way round."""
    made = (await world.call("POST", SETS, a_set() | {"status": {"replicas": 9}})).tree
    assert made["status"]["replicas"] == 0
    through_main = made | {"status": {"replicas": 8}}
    assert (await world.call("PUT", f"{SETS}/web", through_main)).tree["status"]["replicas"] == 0
    through_status = made | {"status": {"replicas": 7}, "spec": a_set(replicas=5)["spec"]}
    written = (await world.call("PUT", f"{SETS}/web/status", through_status)).tree

    assert written["status"]["replicas"] == 7
    assert written["spec"]["replicas"] == 1


async def test_identity_cannot_be_changed_w50(world: World) -> None:
    """W50: a PUT could change an object's name and kind."""
    made = (await world.call("POST", PODS, a_pod())).tree
    for field, value, code, told in (
        ("name", "other", 400, "(other) does not match the name on the URL (web)"),
        ("namespace", "kube-system", 400, "namespace"),
        ("uid", "00000000-0000-0000-0000-000000000000", 409, "UID in precondition: 00000000"),
        ("creationTimestamp", "2020-01-01T00:00:00Z", 422, "metadata.creationTimestamp"),
    ):
        changed = made | {"metadata": made["metadata"] | {field: value}}
        answer = await world.call("PUT", f"{PODS}/web", changed)
        assert answer.code == code, (field, answer.body)
        assert told in answer.tree["message"]
    assert (await world.call("PUT", f"{PODS}/web", made | {"kind": "Node"})).code == 400
    assert (await world.call("GET", f"{PODS}/web")).tree == made


async def test_a_put_creates_what_is_absent_of_the_kinds_that_kubernetes_creates_so(
    world: World,
) -> None:
    service = a_service("web")
    made = await world.call("PUT", f"{SERVICES}/web", service)
    again = await world.call("PUT", f"{SERVICES}/web", service)

    assert (made.code, again.code) == (201, 200)
    assert made.tree["spec"]["clusterIP"] == again.tree["spec"]["clusterIP"] != ""
    assert (await world.call("PUT", f"{PODS}/none", a_pod("none"))).code == 404
    assert (await world.call("PUT", f"{SERVICES}/a.b", a_service("a.b"))).code == 422
    for stated in ({"resourceVersion": "1"}, {"uid": made.tree["metadata"]["uid"]}):
        gone = a_service("gone")
        gone["metadata"] |= stated
        assert (await world.call("PUT", f"{SERVICES}/gone", gone)).code == 404
    # Whoever may change services but not make them.
    collector = Identity("system:controllers")
    answer = await world.call("PUT", f"{SERVICES}/mine", a_service("mine"), identity=collector)
    assert answer.code == 403
    assert "cannot create" in answer.tree["message"]
    assert (await world.call("GET", f"{SERVICES}/mine")).code == 404


async def test_every_problem_is_named_with_its_field_w50(world: World) -> None:
    """W50: errors said only that the body could not be parsed."""
    pod = a_pod("UPPER", nodeName="Not A Node")
    pod["spec"]["containers"].append({"name": "main", "image": "::"})
    answer = await world.call("POST", PODS, pod)

    fields = {cause["field"] for cause in answer.tree["details"]["causes"]}
    assert answer.code == 422
    assert fields >= {"metadata.name", "spec.nodeName", "spec.containers"}


async def test_unknown_fields_are_refused_warned_of_or_ignored(world: World) -> None:
    pod = a_pod()
    pod["spec"]["imgae"] = "x"
    strict = await world.call("POST", PODS, pod, query={"fieldValidation": "Strict"})
    warned = await world.call("POST", PODS, pod, query={"fieldValidation": "Warn"})
    ignored = await world.call(
        "POST", PODS, a_pod("b") | {"extra": 1}, query={"fieldValidation": "Ignore"}
    )

    assert (strict.code, warned.code, ignored.code) == (400, 201, 201)
    assert 'unknown field "spec.imgae"' in strict.tree["message"]
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.imgae\\""'
    assert "Warning" not in ignored.headers


async def test_a_dry_run_checks_everything_and_writes_nothing(world: World) -> None:
    await world.call("POST", PODS, a_pod("there"))
    before = await world.keys()
    dry = {"dryRun": "All"}
    revision = (await world.store.get("/"))[1]

    assert (await world.call("POST", PODS, a_pod(), query=dry)).code == 201
    assert (await world.call("POST", PODS, a_pod("there"), query=dry)).code == 409
    assert (await world.call("POST", PODS, a_pod("BAD"), query=dry)).code == 422
    assert (await world.call("POST", SERVICES, a_service(), query=dry)).code == 201
    change = {"metadata": {"labels": {"a": "b"}}}
    shown = await world.call("PATCH", f"{PODS}/there", change, query=dry, headers=MERGE)
    assert shown.tree["metadata"]["labels"]["a"] == "b"
    assert (await world.call("DELETE", f"{PODS}/there", query=dry)).code == 200
    assert await world.keys() == before
    assert (await world.store.get("/"))[1] == revision


async def test_a_strategic_patch_merges_containers_by_name(world: World) -> None:
    await world.call("POST", SETS, a_set())
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "b:2"}]}}}}
    answer = await world.call("PATCH", f"{SETS}/web", change, headers=STRATEGIC)

    containers = answer.tree["spec"]["template"]["spec"]["containers"]
    assert [(one["name"], one["image"]) for one in containers] == [("main", "b:2")]


async def test_scale_is_an_object_of_its_own(world: World) -> None:
    await world.call("POST", SETS, a_set(replicas=2))
    scale = (await world.call("GET", f"{SETS}/web/scale")).tree
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 2)
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    put = await world.call("PUT", f"{SETS}/web/scale", scale | {"spec": {"replicas": 4}})
    assert put.tree["spec"]["replicas"] == 4
    late = await world.call("PUT", f"{SETS}/web/scale", scale | {"spec": {"replicas": 5}})
    assert late.code == 409
    assert (await world.call("GET", f"{SETS}/web")).tree["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"name": "other"}, 400),
        ({"namespace": "kube-system"}, 400),
        ({"uid": "00000000-0000-4000-8000-000000000000"}, 409),
        ({}, 200),
    ],
)
async def test_a_scale_of_another_object_is_refused(
    world: World, metadata: dict[str, str], code: int
) -> None:
    await world.call("POST", SETS, a_set(replicas=2))
    body = {"metadata": metadata, "spec": {"replicas": 7}}
    assert (await world.call("PUT", f"{SETS}/web/scale", body)).code == code
    wanted = 7 if code == 200 else 2
    assert (await world.call("GET", f"{SETS}/web")).tree["spec"]["replicas"] == wanted


async def test_yaml_is_taken_too(world: World) -> None:
    text = b"apiVersion: v1\nkind: Pod\nmetadata: {name: y}\nspec:\n  containers:\n" + (
        b"  - name: main\n    image: busybox:1\n    env:\n    - {name: A, value: 'no'}\n"
    )
    answer = await world.call("POST", PODS, text, headers={"content-type": "application/yaml"})

    assert answer.code == 201
    assert answer.tree["spec"]["containers"][0]["env"][0]["value"] == "no"


async def test_the_first_objects_are_there_and_a_second_start_changes_nothing(
    world: World,
) -> None:
    listed = await world.call("GET", "/api/v1/namespaces")
    assert listed.names == ["cube-road-lease", "default", "kube-node-lease", "kube-system"]
    service = (await world.call("GET", f"{SERVICES}/kubernetes")).tree
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    slice_ = (await world.call("GET", path)).tree
    assert slice_["endpoints"][0]["addresses"] == ["10.0.0.1"]
    revision = (await world.store.get("/"))[1]

    from apiserver.maintenance import bootstrap

    await bootstrap.ensure(world.server.backend)
    assert (await world.store.get("/"))[1] == revision
