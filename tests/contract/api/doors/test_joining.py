"""How machines join and renew: tokens, addresses, and certificates for exactly what is theirs."""

from collections.abc import AsyncIterator

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.auth.tokens import NAMES_MAX
from apiserver.settings import Limits
from cubernetes.host.web.messages import ANONYMOUS, Identity
from tests.contract.api.joiners import (
    JOIN,
    TOKENS,
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
from tests.contract.api.world import NODES, PODS, Answer, World, a_node, a_world, settled

MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(signer=an_authority()) as one:
        yield one


async def test_a_machine_joins_with_a_token_and_gets_what_its_name_allows(world: World) -> None:
    token = await a_token(world)
    answer = await asked_to_join(world, token, a_join("n3"))
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
    token = await a_token(world)
    assert await join(world, token, "n3") == 200
    assert await join(world, token, "n4") == 401
    # The answer may have been lost: the same node may ask again, for a while.
    assert await join(world, token, "n3") == 200
    await world.clock.advance(601)
    assert await join(world, token, "n3") == 401
    many = await a_token(world, once=False)
    assert [await join(world, many, node) for node in ("n5", "n6")] == [200, 200]


async def test_a_token_ends_and_can_be_revoked_and_its_secret_is_never_shown_again(
    world: World,
) -> None:
    token = await a_token(world, ttlSeconds=60)
    listed = await world.call("GET", TOKENS)
    assert token.partition(".")[2] not in listed.body.decode()
    stored = b"".join(entry.value for entry in (await world.store.list("/")).entries)
    assert token.partition(".")[2].encode() not in stored
    await world.clock.advance(61)
    assert await join(world, token, "n3") == 401
    other = await a_token(world)
    name = other.partition(".")[0]
    assert (await world.call("DELETE", f"{TOKENS}/{name}")).code == 200
    assert await join(world, other, "n3") == 401
    assert (await world.call("DELETE", f"{TOKENS}/{name}")).code == 404


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("n3", "10.0.0.1"),  # the API server's own
        ("n3", "10.96.0.1"),
        ("n3", "127.0.0.1"),
        ("n3", "169.254.1.1"),
        ("n3", "0.0.0.0"),
        ("n3", "224.0.0.1"),
        ("n3", "255.255.255.255"),
        ("n3", "10.244.0.7"),  # a pod's
        ("kubernetes.default.svc.cluster.local", "10.0.0.9"),
        ("localhost", "10.0.0.9"),
        ("10.0.0.1", "10.0.0.9"),
    ],
)
async def test_nobody_joins_as_the_api_server(world: World, node: str, address: str) -> None:
    """A certificate for its address, signed by the CA that all trust, would be a second one."""
    wish = {**a_join(node), "addresses": [address]}
    answer = await asked_to_join(world, await a_token(world), wish)

    assert answer.code == 422, answer.body


async def test_a_node_renews_its_own_certificates(world: World) -> None:
    kubelet = await joined(world, "n1")
    answer = await world.call("POST", JOIN, a_join("n1"), identity=kubelet)
    assert answer.code == 200, answer.body
    told = answer.tree["certificates"]
    assert set(told) == {"kubelet", "kubelet-serving", "proxy", "resolver"}
    cert = x509.load_pem_x509_certificate(told["kubelet"].encode())
    assert [one.value for one in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        kubelet.user
    ]


@pytest.mark.parametrize(
    "change",
    [
        a_join("n2"),
        a_join("n3"),
        {"addresses": ["10.0.0.8"]},
        {"addresses": [address_of("n1"), "10.0.0.8"]},
        {"addresses": []},
    ],
    ids=["a neighbour's", "a stranger's", "another address", "one more address", "no address"],
)
async def test_a_node_renews_nothing_that_is_not_its_own(
    world: World, change: dict[str, object]
) -> None:
    kubelet = await joined(world, "n1")
    wish = {**a_join("n1"), **change}
    answer = await world.call("POST", JOIN, wish, identity=kubelet)
    assert answer.code == 403, answer.body


async def test_a_renewal_signs_no_address_that_the_node_wrote_into_its_status(
    world: World,
) -> None:
    """An administrator's hand may have left it there; the join vouched for another."""
    kubelet = await joined(world, "n1")
    body = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.8"}]}}
    await world.call("PATCH", f"{NODES}/n1/status", body, headers=MERGE)
    wish = {**a_join("n1"), "addresses": ["10.0.0.8"]}

    assert (await world.call("POST", JOIN, wish, identity=kubelet)).code == 403
    assert (await world.call("POST", JOIN, a_join("n1"), identity=kubelet)).code == 200


async def test_a_node_that_nobody_vouched_for_renews_nothing(world: World) -> None:
    """As one that joined before joins were written down."""
    kubelet = Identity("system:node:n1", ("system:nodes",), "AB")
    await world.call("POST", NODES, a_node("n1"), identity=kubelet)
    answer = await world.call("POST", JOIN, a_join("n1"), identity=kubelet)
    assert answer.code == 403
    assert "cuberoot token create --node n1" in answer.tree["message"]


async def test_a_renewal_whose_answer_is_lost_locks_nobody_out(world: World) -> None:
    kubelet = await joined(world, "n1")
    for _ in range(3):
        lost = await world.call("POST", JOIN, a_join("n1"), identity=kubelet)
        assert lost.code == 200
    taken = kubelet_of("n1", lost.tree)
    assert (await world.call("GET", NODES, identity=taken)).code == 200
    assert (await world.call("GET", NODES, identity=kubelet)).code == 200


async def test_certificates_of_two_renewals_ago_are_good_for_nothing(world: World) -> None:
    first = await joined(world, "n1")
    second = kubelet_of("n1", (await world.call("POST", JOIN, a_join("n1"), identity=first)).tree)
    told = (await world.call("POST", JOIN, a_join("n1"), identity=second)).tree
    assert (await world.call("GET", NODES, identity=first)).code == 403
    for good in (second, kubelet_of("n1", told), proxy_of("n1", told)):
        assert (await world.call("GET", NODES, identity=good)).code == 200


@pytest.mark.parametrize(
    "identity",
    [Identity("system:scheduler"), Identity("system:controllers")],
    ids=lambda one: one.user,
)
async def test_only_a_kubelet_renews(world: World, identity: Identity) -> None:
    told = (await asked_to_join(world, await a_token(world), a_join("n1"))).tree
    for one in (identity, proxy_of("n1", told)):
        assert (await world.call("POST", JOIN, a_join("n1"), identity=one)).code == 403


async def test_a_nodes_request_must_ask_for_what_is_the_nodes(world: World) -> None:
    """Its name and address in the wish are its own, and what it wants signed is another's."""
    kubelet = await joined(world, "n1")
    wish = {**a_join("n1"), "requests": a_join("n2")["requests"]}
    assert (await world.call("POST", JOIN, wish, identity=kubelet)).code == 422


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


async def guesses(world: World, count: int, *, peer: str, named: str = "") -> list[int]:
    """Show wrong tokens, each of another id unless one is named; return the codes."""
    codes = []
    for number in range(count):
        headers = {"authorization": f"Bearer {named or f'a{number}'}.wrong"}
        answer = await world.call("GET", PODS, headers=headers, identity=ANONYMOUS, peer=peer)
        codes.append(answer.code)
    return codes


async def test_a_strangers_wrong_tokens_keep_no_good_token_out(world: World) -> None:
    """Neither from elsewhere, nor from the same address, nor under the same id."""
    token = await a_token(world)
    named = token.partition(".")[0]
    await settled()
    assert (await guesses(world, 40, peer="10.9.9.9"))[-1] == 429
    assert (await guesses(world, 40, peer="10.9.9.8", named=named))[-1] == 429

    headers = {"authorization": f"Bearer {token}"}
    for peer in ("10.0.0.23", "10.9.9.9"):
        answer = await world.call(
            "POST", JOIN, a_join("n3"), headers=headers, identity=ANONYMOUS, peer=peer
        )
        assert answer.code == 200, answer.body
    # Who guesses from elsewhere, and other ids, has a count of its own.
    assert await guesses(world, 1, peer="10.9.9.7") == [401]


async def test_a_crowd_of_strangers_fills_no_memory() -> None:
    async with a_world(limits=Limits(token_failures_max=5)) as world:
        for number in range(NAMES_MAX):
            await guesses(world, 1, peer=f"p{number}", named=f"i{number}")
        failures = world.server._authenticator._failures
        assert failures.name_count <= NAMES_MAX + 1


async def reported(world: World, node: str, status: str = "True") -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": status}]}}
    answer = await world.call("PATCH", f"{NODES}/{node}/status", ready, headers=MERGE)
    assert answer.code == 200


async def taken_over(world: World, name: str, **wish: object) -> Answer:
    return await asked_to_join(world, await a_token(world, **wish), a_join(name))


@pytest.mark.parametrize("status", ["True", "Unknown"], ids=["alive", "silent"])
async def test_the_name_of_a_node_is_not_given_away(world: World, status: str) -> None:
    kubelet = await joined(world, "n1")
    await reported(world, "n1", status)
    answer = await taken_over(world, "n1")
    assert answer.code == 409
    assert "cuberoot token create --node n1" in answer.tree["message"]
    assert (await world.call("GET", NODES, identity=kubelet)).code == 200


async def test_the_name_of_a_node_that_joined_another_way_is_not_given_away(world: World) -> None:
    """As the control plane's, whose certificates are made without a join."""
    await world.call("POST", NODES, a_node("n1"))
    await reported(world, "n1", "Unknown")
    assert (await taken_over(world, "n1")).code == 409


async def test_a_node_made_beforehand_waits_for_its_machine(world: World) -> None:
    await world.call("POST", NODES, a_node("n1"))
    await joined(world, "n1")
    assert (await taken_over(world, "n1")).code == 409


async def test_a_token_for_a_node_by_name_gives_its_name_to_another_machine(world: World) -> None:
    old = await joined(world, "n1")
    await reported(world, "n1")
    other = await taken_over(world, "n2", node="n1")
    assert other.code == 401
    answer = await taken_over(world, "n1", node="n1")
    assert answer.code == 200, answer.body
    new = kubelet_of("n1", answer.tree)
    assert (await world.call("GET", NODES, identity=new)).code == 200
    assert (await world.call("GET", NODES, identity=old)).code == 403


async def test_a_token_for_many_uses_is_repeated_only_until_the_node_is_there(
    world: World,
) -> None:
    many = await a_token(world, once=False)
    assert [await join(world, many, "n3") for _ in range(2)] == [200, 200]
    await world.call("POST", NODES, a_node("n3"))
    assert await join(world, many, "n3") == 409


async def test_a_token_names_a_node_by_a_name_or_is_not_made(world: World) -> None:
    answer = await world.call("POST", TOKENS, {"node": "../n1"})
    assert answer.code == 422
    assert answer.tree["details"]["causes"][0]["field"] == "node"


async def test_the_address_of_another_node_is_not_given_away(world: World) -> None:
    """Whether the other is alive, silent, or has not made its Node yet."""
    await joined(world, "n1")
    assert await join(world, await a_token(world), "n4") == 200
    for owner in ("n1", "n4"):
        wish = {**a_join("n2"), "addresses": [address_of(owner)]}
        answer = await asked_to_join(world, await a_token(world), wish)
        assert answer.code == 422
        assert f"belongs to the node {owner}" in answer.tree["message"]
