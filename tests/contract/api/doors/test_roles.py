"""Roles against the real API server: who may what, who may give what, and who may ask."""

from collections.abc import AsyncIterator

import pytest

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.maintenance import bootstrap
from apiserver.state.items import Item
from apiserver.verbs.write import ChangeTo, modified
from cubernetes.host.web.messages import Identity
from tests.contract.api.world import PODS, Answer, Tree, World, a_pod, a_world, settled
from tests.definitions import DEFINITIONS, GROUP, a_definition

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLACE = f"{RBAC}/namespaces/default"
REVIEWS = "/apis/authorization.k8s.io/v1"
JANE = Identity("jane")
CONTROLLERS = Identity("system:controllers")
GATEWAY = Identity("system:gateway:n1", ("system:gateways",))
KUBELET = Identity("system:node:n1", ("system:nodes",))
READS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
BINDS = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["*"]}
WRITES = {**BINDS, "verbs": ["create", "update", "patch"]}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        await one.call("POST", PODS, a_pod("web"))
        yield one


async def a_role(world: World, *rules: Tree, name: str = "reader") -> None:
    answer = await world.call(
        "POST", f"{PLACE}/roles", {"metadata": {"name": name}, "rules": rules}
    )
    assert answer.code == 201, answer.body


def binding(role: str, *, kind: str = "Role", user: str = "jane", name: str = "b") -> Tree:
    subjects = [{"kind": "User", "name": user}]
    return {
        "metadata": {"name": name},
        "roleRef": {"kind": kind, "name": role},
        "subjects": subjects,
    }


async def bound(world: World, role: str, **how: str) -> None:
    answer = await world.call("POST", f"{PLACE}/rolebindings", binding(role, **how))
    assert answer.code == 201, answer.body


async def by_jane(world: World, method: str, path: str, body: object = None) -> Answer:
    return await world.call(method, path, body, identity=JANE)


async def test_what_a_bound_role_says_is_allowed_at_once_and_ends_with_the_binding(
    world: World,
) -> None:
    assert (await by_jane(world, "GET", f"{PODS}/web")).code == 403
    await a_role(world, READS)
    await bound(world, "reader")

    assert (await by_jane(world, "GET", f"{PODS}/web")).code == 200
    assert (await by_jane(world, "DELETE", f"{PODS}/web")).code == 403
    assert (await by_jane(world, "GET", "/api/v1/pods")).code == 403
    await world.call("DELETE", f"{PLACE}/rolebindings/b")
    assert (await world.call("GET", f"{PLACE}/rolebindings/b")).code == 404
    assert (await by_jane(world, "GET", f"{PODS}/web")).code == 403


async def test_roles_and_bindings_have_names_with_colons(world: World) -> None:
    await a_role(world, READS, name="system:pod-Reader")
    await bound(world, "system:pod-Reader", name="metrics:system:reader")
    assert (await by_jane(world, "GET", f"{PODS}/web")).code == 200
    assert (await world.call("GET", f"{PLACE}/roles/system:pod-Reader")).code == 200
    gone = await world.call("DELETE", f"{PLACE}/rolebindings/metrics:system:reader")
    assert gone.code == 200
    for name in ("a/b", "..", ":a", "a b"):
        role = {"metadata": {"name": name}, "rules": [READS]}
        refused = await world.call("POST", f"{PLACE}/roles", role)
        assert refused.code == 422
        assert "metadata.name" in refused.tree["message"]


async def test_a_node_gets_nothing_by_roles(world: World) -> None:
    await a_role(world, READS)
    await bound(world, "reader", user="system:node:n1")

    assert (await world.call("GET", f"{PODS}/web", identity=KUBELET)).code == 403


async def test_nobody_writes_rules_or_gives_roles_beyond_what_he_has(world: World) -> None:
    await a_role(world, READS, WRITES)
    await bound(world, "reader")
    more = {**READS, "verbs": ["delete"]}

    async def makes(*rules: Tree, name: str) -> Answer:
        role = {"metadata": {"name": name}, "rules": rules}
        return await by_jane(world, "POST", f"{PLACE}/roles", role)

    async def gives(role: str, kind: str = "Role") -> int:
        made = binding(role, kind=kind, user="joe", name=f"{role}-{kind.lower()}")
        return (await by_jane(world, "POST", f"{PLACE}/rolebindings", made)).code

    assert (await makes(READS, name="same")).code == 201
    refused = await makes(more, name="more")
    assert refused.code == 403
    assert (
        "not currently held: {APIGroups:[''], Resources:['pods'], Verbs:['delete']}"
        in (refused.tree["message"])
    )
    change = {"rules": [more]}
    headers = {"content-type": "application/merge-patch+json"}
    patched = await world.call(
        "PATCH", f"{PLACE}/roles/same", change, identity=JANE, headers=headers
    )
    assert patched.code == 403
    for name in ("same", "new"):
        applied = await world.call(
            "PATCH",
            f"{PLACE}/roles/{name}",
            {"metadata": {"name": name}, **change},
            identity=JANE,
            query={"fieldManager": "jane", "force": "true"},
            headers={"content-type": "application/apply-patch+yaml"},
        )
        assert applied.code == 403
    assert await gives("same") == 201
    assert await gives("nobody") == 403
    assert await gives("edit", "ClusterRole") == 403


async def test_the_verbs_escalate_and_bind_let_somebody_give_more_than_he_has(
    world: World,
) -> None:
    await a_role(world, BINDS)
    await bound(world, "reader")
    role = {"metadata": {"name": "more"}, "rules": [READS]}

    assert (await by_jane(world, "POST", f"{PLACE}/roles", role)).code == 201
    given = binding("edit", kind="ClusterRole", user="joe", name="joe")
    assert (await by_jane(world, "POST", f"{PLACE}/rolebindings", given)).code == 201


async def test_every_cluster_has_its_roles_and_an_administrator_of_a_namespace_gives_them(
    world: World,
) -> None:
    roles = await world.call("GET", f"{RBAC}/clusterroles")
    assert [one for one in roles.names if not one.startswith("system:")] == [
        "admin",
        "cluster-admin",
        "edit",
        "view",
    ]
    await bound(world, "admin", kind="ClusterRole")

    given = binding("edit", kind="ClusterRole", user="joe", name="joe")
    assert (await by_jane(world, "POST", f"{PLACE}/rolebindings", given)).code == 201
    joe = Identity("joe")
    assert (await world.call("DELETE", f"{PODS}/web", identity=joe)).code == 200
    assert (await world.call("GET", f"{PLACE}/roles", identity=joe)).code == 403


async def test_what_charts_label_is_added_to_the_roles_that_gather_it(world: World) -> None:
    await bound(world, "view", kind="ClusterRole")
    asked = f"{RBAC}/namespaces/default/roles"
    assert (await by_jane(world, "GET", asked)).code == 403
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    reads = {**BINDS, "verbs": ["list"]}
    part = {"metadata": {"name": "more", "labels": label}, "rules": [reads]}
    assert (await world.call("POST", f"{RBAC}/clusterroles", part)).code == 201
    assert (await by_jane(world, "GET", asked)).code == 200


async def test_only_who_may_do_everything_makes_a_role_that_gathers(world: World) -> None:
    wide = {"metadata": {"name": "writer"}, "rules": [WRITES]}
    assert (await world.call("POST", f"{RBAC}/clusterroles", wide)).code == 201
    given = binding("writer", kind="ClusterRole")
    assert (await world.call("POST", f"{RBAC}/clusterrolebindings", given)).code == 201

    chosen = {"clusterRoleSelectors": [{"matchLabels": {"to": "nothing-yet"}}]}
    role = {"metadata": {"name": "all"}, "aggregationRule": chosen}
    refused = await by_jane(world, "POST", f"{RBAC}/clusterroles", role)
    assert refused.code == 403
    assert "attempting to grant RBAC permissions not currently held" in refused.tree["message"]
    path = f"{RBAC}/clusterroles/view"
    note = {"metadata": {"annotations": {"a": "b"}}}
    assert (await by_jane(world, "PATCH", path, {"aggregationRule": None})).code == 403
    assert (await by_jane(world, "PATCH", path, {"metadata": {"labels": {"a": "b"}}})).code == 403
    assert (await by_jane(world, "PATCH", path, note)).code == 200


async def test_who_labels_a_cluster_role_holds_its_rules(world: World) -> None:
    for name, rules in (("writer", [WRITES]), ("same", [WRITES]), ("watched", [READS])):
        role = {"metadata": {"name": name}, "rules": rules}
        assert (await world.call("POST", f"{RBAC}/clusterroles", role)).code == 201
    given = binding("writer", kind="ClusterRole")
    assert (await world.call("POST", f"{RBAC}/clusterrolebindings", given)).code == 201
    await bound(world, "view", kind="ClusterRole")

    async def labels(role: str, identity: Identity = JANE) -> Answer:
        label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
        change = {"metadata": {"labels": label}}
        return await world.call("PATCH", f"{RBAC}/clusterroles/{role}", change, identity=identity)

    refused = await labels("cluster-admin")
    assert refused.code == 403
    assert "attempting to grant RBAC permissions not currently held" in refused.tree["message"]
    assert (await by_jane(world, "DELETE", f"{PODS}/web")).code == 403
    assert (await labels("watched")).code == 403
    assert (await labels("same")).code == 200
    assert (await labels("watched", CONTROLLERS)).code == 200


async def test_roles_of_an_older_server_are_renewed_when_a_server_starts(world: World) -> None:
    path = f"{RBAC}/clusterroles/system:heapster"
    theirs = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}
    kept = f"{RBAC}/clusterroles/system:monitoring"
    note = {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
    assert (await world.call("PATCH", path, {"rules": [theirs]})).code == 200
    assert (await world.call("PATCH", kept, {"rules": [], "metadata": note})).code == 200
    await world.server.backend.caught_up()
    await bootstrap.ensure(world.server.backend)

    rules = (await world.call("GET", path)).tree["rules"]
    assert rules[0] == theirs
    assert [one["resources"] for one in rules[1:]] == [
        ["events", "namespaces", "nodes", "pods"],
        ["deployments"],
    ]
    assert (await world.call("GET", kept)).tree["rules"] == []


async def test_what_goes_while_a_server_renews_it_is_made_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"{RBAC}/clusterroles/system:heapster"
    addresses = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    paths = {"system:heapster": role, "kubernetes": addresses}
    assert (await world.call("PATCH", role, {"rules": []})).code == 200
    await world.server.backend.caught_up()

    async def late(backend: Backend, call: Call, to: ChangeTo) -> Item:
        assert (await world.call("DELETE", paths.pop(call.name))).code == 200
        return await modified(backend, call, to)

    monkeypatch.setattr(bootstrap, "modified", late)
    await bootstrap.ensure(world.server.backend)

    assert not paths
    assert len((await world.call("GET", role)).tree["rules"]) == 2
    assert (await world.call("GET", addresses)).tree["endpoints"][0]["addresses"] == ["10.0.0.1"]


async def test_the_role_of_a_binding_never_changes(world: World) -> None:
    await a_role(world, READS)
    await bound(world, "reader")
    body = binding("other")

    answer = await world.call("PUT", f"{PLACE}/rolebindings/b", body)
    assert answer.code == 422
    assert "roleRef" in answer.tree["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rules": [{"verbs": [], "apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs"),
        ({"rules": [{"verbs": ["get"], "resources": ["pods"]}]}, "rules[0].apiGroups"),
        ({"rules": [{"verbs": ["get"], "apiGroups": [""]}]}, "rules[0].resources"),
        ({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}, "rules[0].nonResourceURLs"),
    ],
)
async def test_a_rule_that_says_nothing_is_refused_by_its_field(
    world: World, body: Tree, field: str
) -> None:
    answer = await world.call("POST", f"{PLACE}/roles", {"metadata": {"name": "r"}, **body})

    assert answer.code == 422
    assert field in [one["field"] for one in answer.tree["details"]["causes"]]


@pytest.mark.parametrize(
    ("subject", "field"),
    [
        ({"kind": "Robot", "name": "x"}, "subjects[0].kind"),
        ({"kind": "ServiceAccount", "name": "x"}, "subjects[0].namespace"),
        ({"kind": "User", "name": "x", "apiGroup": "y"}, "subjects[0].apiGroup"),
        ({"kind": "User", "name": ""}, "subjects[0].name"),
    ],
)
async def test_a_subject_that_nobody_can_be_is_refused_by_its_field(
    world: World, subject: Tree, field: str
) -> None:
    body = {**binding("reader"), "subjects": [subject]}
    answer = await world.call("POST", f"{PLACE}/rolebindings", body)

    assert answer.code == 422
    assert field in [one["field"] for one in answer.tree["details"]["causes"]]


@pytest.mark.parametrize(
    ("ref", "field"),
    [
        ({"kind": "Robot", "name": "x"}, "roleRef.kind"),
        ({"kind": "Role", "name": "x", "apiGroup": "apps"}, "roleRef.apiGroup"),
        ({"kind": "Role", "name": "A/b"}, "roleRef.name"),
    ],
)
async def test_a_role_that_no_binding_can_give_is_refused_by_its_field(
    world: World, ref: Tree, field: str
) -> None:
    body = {**binding("reader"), "roleRef": ref}
    answer = await world.call("POST", f"{PLACE}/rolebindings", body)

    assert answer.code == 422
    assert field in [one["field"] for one in answer.tree["details"]["causes"]]


async def asks(world: World, attributes: Tree, identity: Identity = JANE) -> Tree:
    body = {"spec": {"resourceAttributes": attributes}}
    path = f"{REVIEWS}/selfsubjectaccessreviews"
    answer = await world.call("POST", path, body, identity=identity)
    assert answer.code == 201, answer.body
    status: Tree = answer.tree["status"]
    return status


async def test_everybody_may_ask_what_he_may(world: World) -> None:
    wanted = {"verb": "get", "resource": "pods", "namespace": "default"}
    assert (await asks(world, wanted))["allowed"] is False
    await a_role(world, READS)
    await bound(world, "reader")

    assert (await asks(world, wanted))["allowed"] is True
    assert (await asks(world, {**wanted, "namespace": "kube-system"}))["allowed"] is False
    assert (await asks(world, wanted, Identity("x", ("system:masters",))))["allowed"] is True
    assert (await asks(world, wanted, Identity("system:scheduler")))["allowed"] is True
    listed = await by_jane(
        world, "POST", f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}
    )
    rules, paths = (listed.tree["status"][key] for key in ("resourceRules", "nonResourceRules"))
    # And what everybody may.
    assert READS | {"verbs": ["get", "list"]} in rules
    assert {one for rule in rules for one in rule["resources"]} == {
        "pods",
        "selfsubjectaccessreviews",
        "selfsubjectreviews",
        "selfsubjectrulesreviews",
    }
    assert "/version" in {one for rule in paths for one in rule["nonResourceURLs"]}


async def test_a_server_that_is_shown_tokens_is_given_the_role_for_it(world: World) -> None:
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    question = {"spec": {"token": "x"}}
    assert (await by_jane(world, "POST", reviews, question)).code == 403

    body = binding("system:auth-delegator", kind="ClusterRole")
    await world.call("POST", f"{RBAC}/clusterrolebindings", body)
    assert (await by_jane(world, "POST", reviews, question)).code == 201
    wanted = {"user": "joe", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}}
    others = f"{REVIEWS}/subjectaccessreviews"
    assert (await by_jane(world, "POST", others, {"spec": wanted})).code == 201
    assert (await by_jane(world, "GET", "/metrics")).code == 403


async def test_the_roles_that_charts_bind_have_kubernetes_rules(world: World) -> None:
    async def rules_of(name: str) -> list[tuple[object, object]]:
        role = await world.call("GET", f"{RBAC}/clusterroles/system:{name}")
        return [(rule["apiGroups"], rule["resources"]) for rule in role.tree["rules"]]

    both = (["", "events.k8s.io"], ["events"])
    assert both in await rules_of("node-problem-detector")
    assert both in await rules_of("persistent-volume-provisioner")
    assert (["extensions"], ["deployments"]) in await rules_of("heapster")

    monitor = Identity("prometheus", ("system:monitoring",))
    question = {"spec": {"nonResourceAttributes": {"path": "/livez/etcd", "verb": "get"}}}
    for who, is_allowed in ((monitor, True), (JANE, False)):
        path = f"{REVIEWS}/selfsubjectaccessreviews"
        asked = await world.call("POST", path, question, identity=who)
        assert asked.tree["status"]["allowed"] is is_allowed


async def test_what_everybody_is_told_that_he_may_he_may(world: World) -> None:
    for path in ("/api", "/apis", "/openapi/v2", "/version", "/livez"):
        spec = {"nonResourceAttributes": {"path": path, "verb": "get"}}
        asked = await by_jane(world, "POST", f"{REVIEWS}/selfsubjectaccessreviews", {"spec": spec})
        assert asked.tree["status"]["allowed"] is True
        assert (await by_jane(world, "GET", path)).code == 200


async def test_who_may_may_ask_what_others_may(world: World) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    body = {"spec": {"user": "joe", "groups": ["x"], "resourceAttributes": attributes}}
    path = f"{REVIEWS}/subjectaccessreviews"
    local = f"{REVIEWS}/namespaces/default/localsubjectaccessreviews"

    assert (await by_jane(world, "POST", path, body)).code == 403
    assert (await world.call("POST", path, body)).tree["status"]["allowed"] is False
    await a_role(world, READS)
    await bound(world, "reader", user="joe")
    assert (await world.call("POST", path, body)).tree["status"]["allowed"] is True
    assert (await world.call("POST", local, body)).tree["status"]["allowed"] is True
    nobody = {"spec": {"resourceAttributes": attributes}}
    assert (await world.call("POST", path, nobody)).code == 422
    assert (await world.call("POST", path, {"spec": {"user": "joe"}})).code == 400


async def test_a_path_is_given_by_a_cluster_role_alone(world: World) -> None:
    rules = [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]
    assert (await by_jane(world, "GET", "/metrics")).code == 403
    await world.call("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "m"}, "rules": rules})
    body = binding("m", kind="ClusterRole")
    await world.call("POST", f"{RBAC}/clusterrolebindings", body)

    assert (await by_jane(world, "GET", "/metrics")).code == 200
    assert (await by_jane(world, "GET", "/metrics/targets")).code == 403


@pytest.mark.parametrize("plural", ["tokens", "join", "metrics", "services"])
async def test_a_custom_kind_of_a_name_that_rules_have_is_an_object_like_others(
    world: World, plural: str
) -> None:
    definition = a_definition(names={"plural": plural, "singular": f"a{plural}", "shortNames": []})
    definition["metadata"]["name"] = f"{plural}.{GROUP}"
    assert (await world.call("POST", DEFINITIONS, definition)).code == 201
    await settled()
    path = f"/apis/{GROUP}/v1/{plural}"
    assert (await world.call("GET", path, identity=CONTROLLERS)).code == 200
    assert (await world.call("GET", path, identity=GATEWAY)).code == 403
    assert (await world.call("GET", "/api/v1/services", identity=GATEWAY)).code == 200
    # Whose access is reviewed is asked by the same words.
    spec = {"resourceAttributes": {"group": GROUP, "resource": plural, "verb": "list"}}
    for who, allowed in ((CONTROLLERS, True), (GATEWAY, False)):
        review = {"spec": {**spec, "user": who.user, "groups": list(who.groups)}}
        told = await world.call("POST", f"{REVIEWS}/subjectaccessreviews", review)
        assert told.tree["status"]["allowed"] is allowed
