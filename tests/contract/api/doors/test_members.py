"""Nodes that are cordoned, leave or are removed stay so: what their certificates get afterwards."""

from collections.abc import AsyncIterator

import pytest

from apiserver.storage.store import Put
from cubernetes.host.web.messages import Identity
from tests.contract.api.joiners import (
    JOIN,
    a_join,
    a_token,
    address_of,
    an_authority,
    asked_to_join,
    join,
    joined,
    kubelet_of,
    proxy_of,
)
from tests.contract.api.world import ADMIN, NODES, PODS, Answer, World, a_node, a_world, settled

MERGE = {"content-type": "application/merge-patch+json"}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
EVENTS = "/api/v1/namespaces/default/events"
TIER, ROLE = "node-restriction.kubernetes.io/tier", "node-role.kubernetes.io/worker"
CONTROLLERS = Identity("system:controllers")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(signer=an_authority()) as one:
        yield one


async def patched(world: World, path: str, body: object, identity: Identity = ADMIN) -> Answer:
    return await world.call("PATCH", path, body, headers=MERGE, identity=identity)


async def code_of(world: World, method: str, path: str, identity: Identity, body: object) -> int:
    return (await world.call(method, path, body, identity=identity)).code


async def decided(world: World, node: str) -> None:
    """Cordon a node, and give it what only an administrator may."""
    taints = [{"key": "gpu", "effect": "NoSchedule"}]
    body = {
        "metadata": {"labels": {TIER: "low", ROLE: ""}},
        "spec": {"unschedulable": True, "taints": taints},
    }
    assert (await patched(world, f"{NODES}/{node}", body)).code == 200


async def test_a_node_that_was_removed_gets_nothing_with_its_certificates(world: World) -> None:
    kubelet = await joined(world, "n1")
    told = (await world.call("POST", JOIN, a_join("n1"), identity=kubelet)).tree
    lease, event = {"metadata": {"name": "n1"}, "spec": {}}, {"metadata": {"name": "told"}}
    await world.call("POST", PODS, {**a_bound_pod("n1")})
    assert (await world.call("DELETE", f"{NODES}/n1")).code == 200

    own_pods = {"fieldSelector": "spec.nodeName=n1"}
    for identity in (kubelet, kubelet_of("n1", told), proxy_of("n1", told)):
        assert await code_of(world, "GET", NODES, identity, None) == 403
        assert await code_of(world, "GET", "/apis", identity, None) == 403
        assert await code_of(world, "POST", NODES, identity, a_node("n1")) == 403
        assert await code_of(world, "POST", LEASES, identity, lease) == 403
        assert await code_of(world, "POST", EVENTS, identity, event) == 403
        assert await code_of(world, "DELETE", f"{PODS}/web", identity, None) == 403
        answer = await world.call("GET", "/api/v1/pods", query=own_pods, identity=identity)
        assert answer.code == 403
        answer = await world.call("POST", JOIN, a_join("n1"), identity=identity)
        assert answer.code == 403
        assert "no node of the cluster" in answer.tree["message"]
    assert (await world.call("GET", f"{NODES}/n1")).code == 404


def a_bound_pod(node: str) -> dict[str, object]:
    return {
        "metadata": {"name": "web"},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "busybox:1"}]},
    }


@pytest.mark.parametrize("identity", [ADMIN, CONTROLLERS], ids=lambda one: one.user)
@pytest.mark.parametrize("way", ["one", "all", "foreground"])
async def test_who_removes_a_node_and_how_does_not_matter(
    world: World, identity: Identity, way: str
) -> None:
    kubelet = await joined(world, "n1")
    path = NODES if way == "all" else f"{NODES}/n1"
    query = {"propagationPolicy": "Foreground"} if way == "foreground" else {}
    assert (await world.call("DELETE", path, query=query, identity=identity)).code == 200
    assert await code_of(world, "GET", NODES, kubelet, None) == 403


async def test_a_removed_nodes_watches_end(world: World) -> None:
    kubelet = await joined(world, "n1")
    other = await joined(world, "n2")
    watch = await world.watch(NODES, identity=kubelet, resourceVersion="1")
    kept = await world.watch(NODES, identity=other, resourceVersion="1")
    await world.call("DELETE", f"{NODES}/n1")
    await settled()
    assert await watch.ended()
    while await kept.told() != ("DELETED", "n1"):
        pass
    await kept.close()


async def test_an_idle_watch_of_a_removed_node_ends_too(world: World) -> None:
    kubelet = await joined(world, "n1")
    fields = {"fieldSelector": "spec.nodeName=n1"}
    watch = await world.watch("/api/v1/pods", identity=kubelet, **fields, resourceVersion="1")
    await world.call("DELETE", f"{NODES}/n1")
    await settled()
    await world.clock.advance(1.0)
    assert await watch.ended()


async def test_a_dry_run_removes_nobody(world: World) -> None:
    kubelet = await joined(world, "n1")
    await world.call("DELETE", f"{NODES}/n1", query={"dryRun": "All"})
    assert await code_of(world, "GET", NODES, kubelet, None) == 200


async def test_a_removed_node_comes_back_by_a_token_that_is_made_afterwards(world: World) -> None:
    many, unused = await a_token(world, once=False), await a_token(world)
    own = await a_token(world)
    told = (await asked_to_join(world, own, a_join("n1"))).tree
    kubelet = kubelet_of("n1", told)
    await world.call("POST", NODES, a_node("n1"), identity=kubelet)
    await decided(world, "n1")
    await world.call("DELETE", f"{NODES}/n1")
    # It may know these: it was removed with them.
    for token in (own, many, unused):
        assert await join(world, token, "n1") == 401
    assert await join(world, many, "n2") == 200

    again = await joined(world, "n1")

    assert await code_of(world, "GET", NODES, again, None) == 200
    assert await code_of(world, "GET", NODES, kubelet, None) == 403
    # Whoever removed it has decided about it anew.
    node = (await world.call("GET", f"{NODES}/n1")).tree
    assert "unschedulable" not in node.get("spec", {})
    assert TIER not in node["metadata"].get("labels", {})


async def test_a_token_from_before_the_removal_stays_useless_after_the_return(
    world: World,
) -> None:
    many = await a_token(world, once=False)
    await joined(world, "n1")
    await world.call("DELETE", f"{NODES}/n1")
    await joined(world, "n1")
    assert await join(world, many, "n1") in (401, 409)


async def test_an_administrator_who_makes_the_node_again_has_it_back(world: World) -> None:
    """So comes a control plane back, whose certificates are made without a join."""
    kubelet = await joined(world, "n1")
    stranger = Identity(kubelet.user, kubelet.groups, "AB")
    await world.call("DELETE", f"{NODES}/n1")
    await world.call("POST", NODES, a_node("n1"))
    assert await code_of(world, "GET", NODES, kubelet, None) == 200
    assert await code_of(world, "GET", NODES, stranger, None) == 403


async def test_a_node_that_leaves_ends_its_certificates_and_sheds_nothing(world: World) -> None:
    kubelet = await joined(world, "n1")
    await decided(world, "n1")
    assert await code_of(world, "DELETE", f"{NODES}/n1", kubelet, None) == 200
    made = {"metadata": {"name": "n1", "labels": {"gpu": "yes"}}}
    assert await code_of(world, "POST", NODES, kubelet, made) == 403

    # Any good token is good for the name: what was decided about it waits for it.
    answer = await asked_to_join(world, await a_token(world), a_join("n1"))
    again = kubelet_of("n1", answer.tree)
    labels = {"gpu": "yes", ROLE: "", "node-role.kubernetes.io/master": ""}
    made = {"metadata": {"name": "n1", "labels": labels}}
    assert await code_of(world, "POST", NODES, again, made) == 201

    node = (await world.call("GET", f"{NODES}/n1")).tree
    assert node["spec"]["unschedulable"] is True
    assert [one["key"] for one in node["spec"]["taints"]] == ["gpu"]
    assert node["metadata"]["labels"] == {"gpu": "yes", TIER: "low", ROLE: ""}


async def test_a_node_that_leaves_after_its_removal_stays_removed(world: World) -> None:
    many = await a_token(world, once=False)
    kubelet = await joined(world, "n1")
    body = {"metadata": {"finalizers": ["example.com/wait"]}}
    await patched(world, f"{NODES}/n1", body)
    await world.call("DELETE", f"{NODES}/n1")
    assert await code_of(world, "DELETE", f"{NODES}/n1", kubelet, None) == 403
    assert await join(world, many, "n1") == 401


async def test_what_an_administrator_took_back_is_not_put_on_again(world: World) -> None:
    kubelet = await joined(world, "n1")
    await decided(world, "n1")
    await world.call("DELETE", f"{NODES}/n1", identity=kubelet)
    again = await joined(world, "n1")
    await patched(world, f"{NODES}/n1", {"spec": {"unschedulable": None, "taints": None}})
    await world.call("DELETE", f"{NODES}/n1", identity=again)
    await joined(world, "n1")
    spec = (await world.call("GET", f"{NODES}/n1")).tree.get("spec", {})
    assert "unschedulable" not in spec
    assert not spec.get("taints")


async def test_a_node_that_joined_with_a_network_states_other_addresses_of_it(
    world: World,
) -> None:
    wish = {**a_join("n1"), "addressNetwork": "10.0.0.0/24"}
    answer = await asked_to_join(world, await a_token(world), wish)
    kubelet = kubelet_of("n1", answer.tree)
    await world.call("POST", NODES, a_node("n1"), identity=kubelet)
    await joined(world, "n2")

    async def stated(address: str) -> int:
        return (await patched(world, f"{NODES}/n1/status", at(address), kubelet)).code

    assert await stated("10.0.0.99") == 200
    assert await stated("10.0.1.99") == 403
    # Another node's is none that it may have.
    assert await stated(address_of("n2")) == 403
    # Its certificates are renewed for the address that it joined with.
    assert (await world.call("POST", JOIN, a_join("n1"), identity=kubelet)).code == 200
    assert await stated("10.0.0.98") == 200


async def test_an_address_that_a_node_has_left_may_be_anothers(world: World) -> None:
    kubelets = {}
    for name in ("n1", "n2"):
        wish = {**a_join(name), "addressNetwork": "10.0.0.0/24"}
        answer = await asked_to_join(world, await a_token(world), wish)
        kubelets[name] = kubelet_of(name, answer.tree)
        await world.call("POST", NODES, a_node(name), identity=kubelets[name])

    async def stated(name: str, address: str) -> int:
        answer = await patched(world, f"{NODES}/{name}/status", at(address), kubelets[name])
        # Whose an address is, is read from what the server has seen: a GET is never behind.
        await world.call("GET", f"{NODES}/{name}")
        return answer.code

    first = address_of("n1")
    assert await stated("n2", first) == 403
    assert await stated("n1", "10.0.0.99") == 200
    assert await stated("n2", first) == 200
    # It joined with it, and it is another's now.
    assert await stated("n1", first) == 403


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("10.0.0.0", "must be an IPv4 network"),
        ("10.244.0.0/15", "overlaps the cluster's addresses"),
    ],
)
async def test_a_network_that_is_no_nodes_is_refused(
    world: World, network: str, words: str
) -> None:
    wish = {**a_join("n1"), "addressNetwork": network}
    answer = await asked_to_join(world, await a_token(world), wish)
    assert answer.code == 422
    assert words in answer.tree["message"]


def at(*addresses: str) -> dict[str, object]:
    return {"status": {"addresses": [{"type": "InternalIP", "address": one} for one in addresses]}}


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",  # the API server's
        "10.0.0.22",  # another node's
        "127.0.0.1",
        "169.254.0.9",
        "10.96.0.1",
        "10.244.0.9",
        "10.0.0.77",  # nobody's, and not what it joined with
    ],
)
async def test_a_node_states_only_the_address_that_it_joined_with(
    world: World, address: str
) -> None:
    kubelet = await joined(world, "n1")
    await joined(world, "n2")
    status = f"{NODES}/n1/status"
    assert (await patched(world, status, at("10.0.0.21"), kubelet)).code == 200
    for wish in (at(address), at("10.0.0.21", address)):
        answer = await patched(world, status, wish, kubelet)
        assert answer.code == 403
        assert address in answer.tree["message"]
    # Nor when it makes its Node, or as an address of another type.
    await world.call("DELETE", f"{NODES}/n1", identity=kubelet)
    answer = await asked_to_join(world, await a_token(world), a_join("n1"))
    again = kubelet_of("n1", answer.tree)
    body = {**a_node("n1"), "status": {"addresses": [{"type": "ExternalIP", "address": address}]}}
    assert await code_of(world, "POST", NODES, again, body) == 403


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.22", "127.0.0.1", "169.254.0.9"])
async def test_a_node_that_did_not_join_states_no_address_of_others(
    world: World, address: str
) -> None:
    kubelet = Identity("system:node:n1", ("system:nodes",))
    await joined(world, "n2")
    await world.call("POST", NODES, a_node("n1"), identity=kubelet)
    status = f"{NODES}/n1/status"
    assert (await patched(world, status, at(address), kubelet)).code == 403
    assert (await patched(world, status, at("10.0.0.21"), kubelet)).code == 200


async def test_an_administrator_vouches_for_any_address(world: World) -> None:
    """The control plane's node has the API server's own."""
    kubelet = Identity("system:node:n1", ("system:nodes",))
    await world.call("POST", NODES, {**a_node("n1"), **at("10.0.0.1")})
    assert (await patched(world, f"{NODES}/n1/status", at("10.0.0.1"), kubelet)).code == 200
    assert (await patched(world, f"{NODES}/n1/status", at("10.0.0.2"), kubelet)).code == 403


async def test_a_status_is_written_also_of_a_node_whose_spec_breaks_a_newer_rule() -> None:
    """An older server kept podCIDRs beside another podCIDR: its node must not fall silent of it."""
    async with a_world() as world:
        await world.call("POST", NODES, a_node("n1"))
        key = next(key for key in await world.keys() if key.endswith("/nodes/n1"))
        entry, _ = await world.store.get(key)
        assert entry is not None
        ranges = b'"spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24","10.244.9.0/24"]}'
        assert b'"spec":{}' in entry.value
        await world.store.commit([], [Put(key, entry.value.replace(b'"spec":{}', ranges))])

        said = {"status": {"nodeInfo": {"machineID": "m"}}}
        assert (await patched(world, f"{NODES}/n1/status", said)).code == 200
        wrong = {"status": {"addresses": [{"type": "InternalIP", "address": "nowhere"}]}}
        assert (await patched(world, f"{NODES}/n1/status", wrong)).code == 422
