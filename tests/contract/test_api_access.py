"""Who may what: nobody who is unknown, each program its own work, each node itself (W42)."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.auth.signer import Authority
from apiserver.call import Policy, Route
from apiserver.routes import table
from apiserver.settings import Limits
from cubernetes.api.http import ANONYMOUS, Identity
from cubernetes.api.registry import KINDS
from tests.contract.api_world import (
    ADMIN,
    NODES,
    PODS,
    SERVICES,
    SETS,
    StillClock,
    World,
    a_node,
    a_pod,
    a_service,
    a_set,
    a_world,
)

SCHEDULER = Identity("system:scheduler")
CONTROLLERS = Identity("system:controllers")
KUBELET = Identity("system:node:n1", ("system:nodes",))
PROXY = Identity("system:proxy:n1", ("system:proxies",))
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
TOKENS = "/apis/cubernetes.io/v1/tokens"
JOIN = "/apis/cubernetes.io/v1/join"
MERGE = {"content-type": "application/merge-patch+json"}
OPEN = {"/livez", "/healthz", "/readyz", "/version", "/cluster-info"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(signer=an_authority()) as one:
        for node in ("n1", "n2"):
            await one.call("POST", NODES, a_node(node))
            await one.call("POST", PODS, a_pod(f"on-{node}"))
            await one.call("POST", f"{PODS}/on-{node}/binding", {"target": {"name": node}})
        yield one


def an_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Authority(cert.public_bytes(serialization.Encoding.PEM), pem, StillClock())


def a_request(user: str, group: str, names: tuple[str, ...] = ()) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, user),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def a_join(node: str) -> dict[str, object]:
    return {
        "node": node,
        "addresses": ["10.0.0.9"],
        "requests": {
            "kubelet": a_request(f"system:node:{node}", "system:nodes"),
            "kubelet-serving": a_request(f"system:node:{node}", "system:nodes", (node,)),
            "proxy": a_request(f"system:proxy:{node}", "system:proxies"),
        },
    }


def _path(route: Route) -> str:
    return re.sub(r"\{\w+\}", "default", route.pattern)


async def test_w42_every_route_asks_who_is_there(world: World) -> None:
    """W42: nothing was authenticated anywhere."""
    for route in table(KINDS):
        answer = await world.call(route.method, _path(route), identity=ANONYMOUS)
        if route.pattern in OPEN:
            assert (route.policy, answer.code) == (Policy.OPEN, 200), route.pattern
        else:
            assert answer.code == 401, (route.method, route.pattern)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_w42_who_has_no_role_may_nothing_but_discover(world: World) -> None:
    """W42: and nothing was authorised either."""
    nobody = Identity("somebody", ("a-group",))
    for route in table(KINDS):
        if route.policy is Policy.ROLE:
            answer = await world.call(route.method, _path(route), identity=nobody)
            assert answer.code == 403, (route.method, route.pattern)
    assert (await world.call("GET", "/apis", identity=nobody)).code == 200


async def test_the_scheduler_binds_and_reports_and_no_more(world: World) -> None:
    await world.call("POST", PODS, a_pod("new"))

    async def code(method: str, path: str, body: object = None) -> int:
        return (await world.call(method, path, body, identity=SCHEDULER, headers=MERGE)).code

    assert (await world.call("GET", PODS, identity=SCHEDULER)).code == 200
    binding = {"target": {"name": "n1"}}
    bound = await world.call("POST", f"{PODS}/new/binding", binding, identity=SCHEDULER)
    assert bound.code == 201
    assert await code("PATCH", f"{PODS}/new/status", {"status": {"message": "x"}}) == 200
    assert await code("PATCH", f"{PODS}/new", {"metadata": {"labels": {"a": "b"}}}) == 403
    assert await code("DELETE", f"{PODS}/new") == 403
    assert await code("POST", SETS, a_set()) == 403


async def test_the_controllers_make_pods_but_no_services(world: World) -> None:
    made = await world.call("POST", PODS, a_pod("c"), identity=CONTROLLERS)
    assert made.code == 201
    assert (await world.call("DELETE", f"{PODS}/c", identity=CONTROLLERS)).code == 200
    refused = await world.call("POST", SERVICES, a_service(), identity=CONTROLLERS)
    assert refused.code == 403
    assert (await world.call("GET", TOKENS, identity=CONTROLLERS)).code == 403


async def test_a_proxy_reads_services_and_nothing_of_pods(world: World) -> None:
    assert (await world.call("GET", SERVICES, identity=PROXY)).code == 200
    slices = "/apis/discovery.k8s.io/v1/endpointslices"
    assert (await world.call("GET", slices, identity=PROXY)).code == 200
    assert (await world.call("GET", PODS, identity=PROXY)).code == 403


async def test_a_kubelet_sees_and_reports_only_its_own_pods(world: World) -> None:
    async def code(method: str, path: str, body: object = None, **query: str) -> int:
        headers = MERGE if method == "PATCH" else {}
        answer = await world.call(
            method, path, body, identity=KUBELET, query=query, headers=headers
        )
        return answer.code

    assert await code("GET", "/api/v1/pods") == 403
    assert await code("GET", "/api/v1/pods", fieldSelector="spec.nodeName=n2") == 403
    assert await code("GET", "/api/v1/pods", fieldSelector="spec.nodeName!=n1") == 403
    assert await code("GET", "/api/v1/pods", fieldSelector="spec.nodeName=n1") == 200
    assert await code("GET", f"{PODS}/on-n1") == 200
    assert await code("GET", f"{PODS}/on-n2") == 403
    status = {"status": {"phase": "Running"}}
    assert await code("PATCH", f"{PODS}/on-n1/status", status) == 200
    assert await code("PATCH", f"{PODS}/on-n2/status", status) == 403
    assert await code("PATCH", f"{PODS}/on-n1", {"metadata": {"labels": {"a": "b"}}}) == 403
    assert await code("DELETE", f"{PODS}/on-n2") == 403
    assert await code("DELETE", f"{PODS}/on-n1", {"gracePeriodSeconds": 0}) == 200
    assert await code("DELETE", f"{PODS}/on-n1", {"gracePeriodSeconds": 0}) == 404
    assert await code("GET", SERVICES) == 403
    watch = await world.watch("/api/v1/pods", identity=KUBELET, fieldSelector="spec.nodeName=n1")
    await watch.close()


async def test_a_kubelet_may_nothing_to_a_pod_whose_name_its_own_had_a_moment_ago(
    world: World,
) -> None:
    """Memory still shows the pod that is gone; what counts is what the store has."""
    await world.call("DELETE", f"{PODS}/on-n1", {"gracePeriodSeconds": 0})
    await world.call("POST", PODS, a_pod("on-n1", nodeName="n2"))
    status = {"status": {"phase": "Failed"}}

    told = await world.call(
        "PATCH", f"{PODS}/on-n1/status", status, identity=KUBELET, headers=MERGE
    )
    removed = await world.call("DELETE", f"{PODS}/on-n1", identity=KUBELET)

    assert (told.code, removed.code) == (403, 403)


async def test_a_kubelet_keeps_only_its_own_node_and_lease(world: World) -> None:
    def lease(name: str) -> dict[str, object]:
        return {"metadata": {"name": name}, "spec": {}}

    async def code(method: str, path: str, body: object = None) -> int:
        return (await world.call(method, path, body, identity=KUBELET, headers=MERGE)).code

    async def posted(path: str, body: object) -> int:
        return (await world.call("POST", path, body, identity=KUBELET)).code

    assert await posted(LEASES, lease("n1")) == 201
    assert await posted(LEASES, lease("n2")) == 403
    assert await posted(LEASES.replace("kube-node-lease", "default"), lease("n1")) == 403
    assert await posted(NODES, a_node("n3")) == 403
    assert await code("PATCH", f"{NODES}/n1/status", {"status": {"capacity": {"cpu": "1"}}}) == 200
    assert await code("PATCH", f"{NODES}/n2/status", {"status": {"capacity": {"cpu": "1"}}}) == 403
    assert await code("PATCH", f"{NODES}/n1", {"metadata": {"labels": {"gpu": "yes"}}}) == 200
    assert await code("PATCH", f"{NODES}/n1", {"spec": {"unschedulable": True}}) == 403
    tier = "node-restriction.kubernetes.io/tier"
    given = {"metadata": {"labels": {tier: "a"}}}
    assert (await world.call("PATCH", f"{NODES}/n1", given, headers=MERGE)).code == 200
    assert await code("PATCH", f"{NODES}/n1", {"metadata": {"labels": {tier: None}}}) == 403
    role = {"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}
    assert await code("PATCH", f"{NODES}/n1", role) == 403
    assert await code("DELETE", f"{NODES}/n2") == 403
    assert await code("DELETE", NODES) == 403
    assert await code("DELETE", f"{NODES}/n1") == 200  # a machine may leave its cluster


async def test_a_kubelet_reports_as_itself_and_leaves_the_reports_of_others(world: World) -> None:
    events = "/api/v1/namespaces/default/events"

    async def posted(host: str) -> int:
        event = {"metadata": {"name": f"by-{host}"}, "source": {"host": host}}
        return (await world.call("POST", events, event, identity=KUBELET)).code

    assert (await posted("n1"), await posted("n2")) == (201, 403)
    await world.call("POST", events, {"metadata": {"name": "theirs"}, "source": {"host": "n2"}})
    mine = {"source": {"host": "n1"}, "message": "all is well"}
    answer = await world.call("PATCH", f"{events}/theirs", mine, identity=KUBELET, headers=MERGE)
    assert answer.code == 403


async def test_a_leader_that_lost_its_lease_writes_nothing_more(world: World) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 10, "leaseTransitions": 3}
    lease = {"metadata": {"name": "controllers"}, "spec": spec}
    uid = (await world.call("POST", leases, lease)).tree["metadata"]["uid"]

    async def create(name: str, number: int) -> int:
        headers = {"cubernetes-fence": f"kube-system/controllers:{number}:{uid}"}
        return (await world.call("POST", PODS, a_pod(name), headers=headers)).code

    assert await create("a", 3) == 201
    renewed = {"spec": {"renewTime": "2026-01-01T00:00:01Z"}}
    await world.call("PATCH", f"{leases}/controllers", renewed, headers=MERGE)
    assert await create("b", 3) == 201
    taken = {"spec": {"holderIdentity": "b", "leaseTransitions": 4}}
    await world.call("PATCH", f"{leases}/controllers", taken, headers=MERGE)
    assert await create("c", 3) == 409
    deletion = await world.call(
        "DELETE", f"{PODS}/a", headers={"cubernetes-fence": f"kube-system/controllers:3:{uid}"}
    )
    assert deletion.code == 409
    assert await create("c", 4) == 201
    # Made again, the lease counts from the beginning, and may come to the same number.
    await world.call("DELETE", f"{leases}/controllers")
    spec["leaseTransitions"] = 4
    await world.call("POST", leases, lease)
    assert await create("d", 4) == 409


async def _token(world: World, **wish: object) -> str:
    made = (await world.call("POST", TOKENS, wish)).tree
    return f"{made['id']}.{made['secret']}"


async def _join(world: World, token: str, node: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await world.call("POST", JOIN, a_join(node), headers=headers, identity=ANONYMOUS)).code


async def test_a_machine_joins_with_a_token_and_gets_what_its_name_allows(world: World) -> None:
    token = await _token(world)
    headers = {"authorization": f"Bearer {token}"}
    answer = await world.call("POST", JOIN, a_join("n3"), headers=headers, identity=ANONYMOUS)
    assert answer.code == 200, answer.body
    told = answer.tree
    assert told["serviceRange"] == "10.96.0.0/16"
    assert told["servers"] == ["https://10.0.0.1:6443"]
    serving = x509.load_pem_x509_certificate(told["certificates"]["kubelet-serving"].encode())
    usage = serving.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    info = await world.call("GET", "/cluster-info", identity=ANONYMOUS)
    assert info.body.decode() == told["ca"]


async def test_a_token_for_one_use_serves_one_node(world: World) -> None:
    token = await _token(world)
    assert await _join(world, token, "n3") == 200
    assert await _join(world, token, "n4") == 401
    # The answer may have been lost: the same node may ask again, for a while.
    assert await _join(world, token, "n3") == 200
    await world.clock.advance(601)
    assert await _join(world, token, "n3") == 401
    many = await _token(world, once=False)
    assert [await _join(world, many, node) for node in ("n5", "n6")] == [200, 200]


async def test_a_token_ends_and_can_be_revoked_and_its_secret_is_never_shown_again(
    world: World,
) -> None:
    token = await _token(world, ttlSeconds=60)
    listed = await world.call("GET", TOKENS)
    assert token.partition(".")[2] not in listed.body.decode()
    stored = b"".join(entry.value for entry in (await world.store.list("/")).entries)
    assert token.partition(".")[2].encode() not in stored
    await world.clock.advance(61)
    assert await _join(world, token, "n3") == 401
    other = await _token(world)
    name = other.partition(".")[0]
    assert (await world.call("DELETE", f"{TOKENS}/{name}")).code == 200
    assert await _join(world, other, "n3") == 401
    assert (await world.call("DELETE", f"{TOKENS}/{name}")).code == 404


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("n3", "10.0.0.1"),  # the API server's own
        ("n3", "10.96.0.1"),
        ("n3", "127.0.0.1"),
        ("kubernetes.default.svc.cluster.local", "10.0.0.9"),
        ("localhost", "10.0.0.9"),
    ],
)
async def test_nobody_joins_as_the_api_server(world: World, node: str, address: str) -> None:
    """A certificate for its address, signed by the CA that all trust, would be a second one."""
    wish = {**a_join(node), "addresses": [address]}
    headers = {"authorization": f"Bearer {await _token(world)}"}
    answer = await world.call("POST", JOIN, wish, headers=headers, identity=ANONYMOUS)

    assert answer.code == 422, answer.body


async def test_a_token_is_for_joining_and_nothing_else(world: World) -> None:
    headers = {"authorization": f"Bearer {await _token(world)}"}
    for method, path in (("GET", PODS), ("GET", TOKENS), ("POST", NODES), ("DELETE", NODES)):
        answer = await world.call(method, path, headers=headers, identity=ANONYMOUS)
        assert answer.code == 403


async def _a_node_at(world: World, name: str, address: str) -> None:
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    body = {"status": status}
    answer = await world.call("PATCH", f"{NODES}/{name}/status", body, headers=MERGE)
    assert answer.code == 200, answer.body


async def test_a_node_renews_its_own_certificates(world: World) -> None:
    await _a_node_at(world, "n1", "10.0.0.9")
    answer = await world.call("POST", JOIN, a_join("n1"), identity=KUBELET)
    assert answer.code == 200, answer.body
    told = answer.tree["certificates"]
    assert set(told) == {"kubelet", "kubelet-serving", "proxy"}
    cert = x509.load_pem_x509_certificate(told["kubelet"].encode())
    assert [one.value for one in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        KUBELET.user
    ]


@pytest.mark.parametrize(
    "change",
    [
        a_join("n2"),
        a_join("n3"),
        {"addresses": ["10.0.0.8"]},
        {"addresses": ["10.0.0.9", "10.0.0.8"]},
        {"addresses": []},
    ],
    ids=["a neighbour's", "a stranger's", "another address", "one more address", "no address"],
)
async def test_a_node_renews_nothing_that_is_not_its_own(
    world: World, change: dict[str, object]
) -> None:
    await _a_node_at(world, "n1", "10.0.0.9")
    wish = {**a_join("n1"), **change}
    answer = await world.call("POST", JOIN, wish, identity=KUBELET)
    assert answer.code == 403, answer.body


async def test_a_node_that_was_removed_renews_nothing(world: World) -> None:
    await _a_node_at(world, "n1", "10.0.0.9")
    assert (await world.call("DELETE", f"{NODES}/n1")).code == 200
    answer = await world.call("POST", JOIN, a_join("n1"), identity=KUBELET)
    assert answer.code == 403, answer.body
    assert "no node of the cluster" in answer.tree["message"]


@pytest.mark.parametrize("identity", [PROXY, SCHEDULER, CONTROLLERS], ids=lambda one: one.user)
async def test_only_a_kubelet_renews(world: World, identity: Identity) -> None:
    await _a_node_at(world, "n1", "10.0.0.9")
    assert (await world.call("POST", JOIN, a_join("n1"), identity=identity)).code == 403


async def test_a_nodes_request_must_ask_for_what_is_the_nodes(world: World) -> None:
    """Its name and address in the wish are its own, and what it wants signed is another's."""
    await _a_node_at(world, "n1", "10.0.0.9")
    wish = {**a_join("n1"), "requests": a_join("n2")["requests"]}
    assert (await world.call("POST", JOIN, wish, identity=KUBELET)).code == 422


async def test_guesses_of_tokens_are_slowed_down() -> None:
    async with a_world(limits=Limits(token_failures_max=5)) as world:
        codes = []
        for number in range(8):
            headers = {"authorization": f"Bearer abc.{number}"}
            answer = await world.call("GET", PODS, headers=headers, identity=ANONYMOUS)
            codes.append(answer.code)
        assert codes == [401] * 5 + [429] * 3
        await world.clock.advance(60)
        again = await world.call("GET", PODS, headers=headers, identity=ANONYMOUS)
        assert again.code == 401


async def test_the_name_of_a_living_node_is_not_given_away(world: World) -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await world.call("PATCH", f"{NODES}/n1/status", ready, headers=MERGE)
    token = await _token(world)
    assert await _join(world, token, "n1") == 409
    assert await _join(world, token, "n2") == 200


async def test_the_address_of_a_living_node_is_not_given_away(world: World) -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
    }
    await world.call("PATCH", f"{NODES}/n1/status", {"status": status}, headers=MERGE)
    headers = {"authorization": f"Bearer {await _token(world)}"}
    wish = {**a_join("n2"), "addresses": ["10.0.0.7"]}
    answer = await world.call("POST", JOIN, wish, headers=headers, identity=ANONYMOUS)

    assert answer.code == 422
    assert "belongs to the node n1" in answer.tree["message"]


async def test_every_request_leaves_one_line_of_audit(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="apiserver.audit")
    caplog.clear()
    await world.call("GET", PODS, identity=ANONYMOUS)
    await world.call("GET", PODS, identity=PROXY)
    await world.call("GET", f"{PODS}/x\n{{forged", identity=ADMIN)
    watch = await world.watch(PODS)
    await watch.close()

    facts = [record.cube_facts for record in caplog.records]  # type: ignore[attr-defined]
    assert [(fact["user"], fact["code"]) for fact in facts] == [
        ("system:anonymous", 401),
        ("system:proxy:n1", 403),
        ("kubernetes-admin", 404),
        ("kubernetes-admin", 200),
    ]
    assert facts[3]["verb"] == "watch"
