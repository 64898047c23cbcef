"""Service accounts against the real API server: tokens, who shows them, and what nodes may ask."""

from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apiserver.enrolment.accountkeys import AccountKeys
from cubernetes.host.web.messages import ANONYMOUS, Identity
from tests.contract.api.world import ADMIN, NODES, PODS, Answer, Tree, World, a_node, a_pod, a_world

PLACE = "/api/v1/namespaces/default/serviceaccounts"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
KUBELET = Identity("system:node:n1", ("system:nodes",))
ISSUER = "https://kubernetes.default.svc.cluster.local"


def account_keys() -> AccountKeys:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return AccountKeys(pem)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(settings={"account_key": "given"}, accounts=account_keys()) as one:
        await one.call("POST", PLACE, an_account("till"))
        yield one


def an_account(name: str, **fields: object) -> Tree:
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, **fields}


async def a_token(world: World, name: str = "till", **spec: object) -> str:
    answer = await asked(world, name, spec)
    assert answer.code == 201, answer.body
    token: str = answer.tree["status"]["token"]
    return token


async def asked(world: World, name: str, spec: Tree, identity: Identity = ADMIN) -> Answer:
    return await world.call("POST", f"{PLACE}/{name}/token", {"spec": spec}, identity=identity)


async def shown(world: World, token: str, path: str = "/api") -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await world.call("GET", path, identity=ANONYMOUS, headers=headers)).code


async def reviewed(world: World, token: str, *audiences: str) -> Tree:
    spec = {"token": token, "audiences": list(audiences)}
    answer = await world.call("POST", REVIEWS, {"spec": spec})
    assert answer.code == 201, answer.body
    assert token not in answer.body.decode()
    status: Tree = answer.tree["status"]
    return status


async def a_placed_pod(world: World, name: str = "web", **spec: object) -> Tree:
    await world.call("POST", NODES, a_node("n1"))
    answer = await world.call("POST", PODS, a_pod(name, **spec))
    assert answer.code == 201, answer.body
    await world.call("POST", f"{PODS}/{name}/binding", {"target": {"name": "n1"}})
    return answer.tree


def bound(pod: Tree) -> Tree:
    meta = pod["metadata"]
    return {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}


async def test_who_shows_a_token_is_its_account_and_has_no_right_beyond_discovery(
    world: World,
) -> None:
    token = await a_token(world)

    assert await shown(world, token, "/apis") == 200
    assert await shown(world, token, PODS) == 403
    assert await shown(world, token[:-4] + "AAAA", "/apis") == 401


async def test_everybody_who_is_known_is_told_who_he_is(world: World) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    by_certificate = await world.call("POST", path, {}, identity=Identity("jane", ("staff",)))
    assert by_certificate.code == 201
    assert by_certificate.tree["status"]["userInfo"] == {
        "username": "jane",
        "groups": ["staff", "system:authenticated"],
    }
    assert (await world.call("POST", path, {}, identity=ANONYMOUS)).code == 401

    pod = await a_placed_pod(world, serviceAccountName="till")
    token = await a_token(world, boundObjectRef=bound(pod))
    headers = {"authorization": f"Bearer {token}"}
    answer = await world.call("POST", path, {}, identity=ANONYMOUS, headers=headers)
    assert answer.tree["status"]["userInfo"] == (await reviewed(world, token))["user"]
    # A certificate wins over a token beside it, which is not looked at.
    both = await world.call("POST", path, {}, identity=Identity("jane"), headers=headers)
    assert both.tree["status"]["userInfo"]["username"] == "jane"


async def test_a_token_names_its_account_to_who_asks_whose_it_is(world: World) -> None:
    pod = await a_placed_pod(world, serviceAccountName="till")
    status = await reviewed(world, await a_token(world, boundObjectRef=bound(pod)))

    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:default:till"
    assert status["user"]["groups"][0] == "system:serviceaccounts"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    assert status["audiences"] == [ISSUER]


async def test_a_token_for_others_is_good_there_and_nowhere_else(world: World) -> None:
    token = await a_token(world, audiences=["vault", "other"])

    assert await shown(world, token) == 401
    assert (await reviewed(world, token, "vault", "x"))["audiences"] == ["vault"]
    assert (await reviewed(world, token))["error"] == "the token is for another audience"
    assert "not one that this cluster" in (await reviewed(world, "nonsense"))["error"]


async def test_a_token_ends_with_its_time(world: World) -> None:
    answer = await asked(world, "till", {"expirationSeconds": 600})
    token = answer.tree["status"]["token"]

    assert answer.tree["status"]["expirationTimestamp"].startswith("2026-01-01T00:10:00")
    assert await shown(world, token) == 200
    await world.clock.advance(600)
    assert await shown(world, token) == 401


async def test_a_token_ends_with_its_account_also_where_one_of_its_name_comes_back(
    world: World,
) -> None:
    token = await a_token(world)

    await world.call("DELETE", f"{PLACE}/till")
    assert await shown(world, token) == 401
    await world.call("POST", PLACE, an_account("till"))
    assert await shown(world, token) == 401


async def test_a_token_ends_with_the_pod_or_the_secret_that_it_is_bound_to(world: World) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    pod = (await world.call("POST", PODS, a_pod("web"))).tree
    secret = await world.call("POST", secrets, {"metadata": {"name": "s"}})
    of_secret = {**bound(secret.tree), "kind": "Secret"}
    tokens = [await a_token(world, boundObjectRef=one) for one in (bound(pod), of_secret)]

    assert [await shown(world, one) for one in tokens] == [200, 200]
    await world.call("DELETE", f"{PODS}/web")
    await world.call("DELETE", f"{secrets}/s")
    # A read waits until memory is as new as the store.
    assert (await world.call("GET", f"{secrets}/s")).code == 404
    assert [await shown(world, one) for one in tokens] == [401, 401]


async def test_a_token_is_bound_to_what_is_there_and_to_no_namesake(world: World) -> None:
    pod = (await world.call("POST", PODS, a_pod("web"))).tree

    async def code(name: str = "till", **spec: object) -> int:
        return (await asked(world, name, spec)).code

    assert await code("nobody") == 404
    assert await code(boundObjectRef={**bound(pod), "name": "x"}) == 404
    assert await code(boundObjectRef={**bound(pod), "uid": "x"}) == 409
    assert await code(expirationSeconds=1) == 422


async def test_a_node_asks_for_tokens_of_its_own_pods_and_of_their_accounts_alone(
    world: World,
) -> None:
    mine = await a_placed_pod(world, serviceAccountName="till")
    other = (await world.call("POST", PODS, a_pod("other", serviceAccountName="till"))).tree
    default = await a_placed_pod(world, "plain")
    await world.call("POST", PLACE, an_account("spare"))

    async def code(name: str = "till", **spec: object) -> int:
        return (await asked(world, name, spec, KUBELET)).code

    assert await code(boundObjectRef=bound(mine)) == 201
    assert await code() == 403
    assert await code(boundObjectRef=bound(other)) == 403
    assert await code(boundObjectRef=bound(default)) == 403
    assert await code("spare", boundObjectRef=bound(mine)) == 403
    assert (await world.call("GET", f"{PLACE}/till", identity=KUBELET)).code == 403


async def test_a_new_pod_has_its_account_and_its_files(world: World) -> None:
    pod = (await world.call("POST", PODS, a_pod("web", serviceAccount="till"))).tree["spec"]
    without = a_pod("bare", automountServiceAccountToken=False)
    bare = (await world.call("POST", PODS, without)).tree["spec"]

    assert (pod["serviceAccountName"], pod["serviceAccount"]) == ("till", "till")
    assert pod["volumes"][0]["name"].startswith("kube-api-access-")
    assert bare["serviceAccountName"] == "default"
    assert "volumes" not in bare


async def test_a_pod_of_an_account_that_is_not_there_is_refused(world: World) -> None:
    answer = await world.call("POST", PODS, a_pod("web", serviceAccountName="nobody"))

    assert answer.code == 403
    assert 'serviceaccount "nobody" not found' in answer.tree["message"]


async def test_a_server_without_a_key_signs_nothing_and_gives_pods_no_files() -> None:
    async with a_world() as world:
        await world.call("POST", PLACE, an_account("till"))
        pod = (await world.call("POST", PODS, a_pod("web"))).tree

        assert (await asked(world, "till", {})).code == 503
        assert "volumes" not in pod["spec"]
