"""How a machine becomes a node: the CA to compare with its pin, tokens, and signed certificates."""

from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, IPv4Network

import msgspec

from apiserver.auth.authorize import BOOTSTRAP_PREFIX, MASTERS, node_of
from apiserver.auth.tokens import (
    ID_LETTERS,
    SECRET_LETTERS,
    Kept,
    hash_of,
    is_used_up,
    may_join,
)
from apiserver.backend import Backend, Signer
from apiserver.call import Call
from apiserver.items import Item
from apiserver.keys import TOKENS, key_of
from apiserver.settings import Settings
from apiserver.storage.store import Delete, Entry, Put
from apiserver.transact import Decision, Seen
from cubernetes.api import names
from cubernetes.api.codec import encode, read_model
from cubernetes.api.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Problem,
    ServiceUnavailable,
    Unauthorized,
)
from cubernetes.api.errors import invalid as invalid_object
from cubernetes.api.http import Response
from cubernetes.api.joining import (
    CERTIFICATES,
    JoinAnswer,
    JoinRequest,
    Token,
    TokenList,
    TokenWish,
)
from cubernetes.api.node import Node, is_address, is_ready
from cubernetes.api.words import Status

# What clients of the API, in pods and on its own machine, call it by.
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
USED = "the token is used up, over or revoked: make another with `cuberoot token create`"


async def cluster_info(backend: Backend, _: Call) -> Response:
    """Return the CA certificate: it is no secret, and a pin is compared with it."""
    ca = _signer(backend).ca_pem.encode()
    return Response(200, ca, content_type="application/x-pem-file")


async def join(backend: Backend, call: Call) -> Response:
    """Sign a node's certificates: for a token, or for the node itself, in the place of its own.

    A token for one use is used by that, in one transaction.
    """
    signer = _signer(backend)
    wish = read_model(JoinRequest, call.request.body, "JoinRequest")
    await backend.mirror.caught_up(backend.settings.limits.freshness_deadline_s)
    if problems := _problems(wish) or _borrowed(wish, backend.settings) or _held(backend, wish):
        raise invalid_object("JoinRequest", wish.node[:80], problems)
    if node := node_of(call.identity):
        _check_renewal(backend, wish, node)
    # Signed first: a request that is refused uses up no token.
    certificates = {
        use: signer.sign(wish.node, wish.addresses, use, request)
        for use, request in sorted(wish.requests.items())
    }
    if MASTERS not in call.identity.groups and not node_of(call.identity):
        await _use_token(backend, call, wish.node)
    settings = backend.settings
    answer = JoinAnswer(
        certificates=certificates,
        ca=signer.ca_pem,
        servers=tuple(
            f"https://{address}:{settings.listen_port}" for address in settings.advertise_addresses
        ),
        service_range=settings.service_range,
        pod_range=settings.pod_range,
    )
    return Response(200, encode(answer))


def _check_renewal(backend: Backend, wish: JoinRequest, name: str) -> None:
    """A node may have its own certificates again, for as long as it is a node.

    Raises: Forbidden.
    """
    there = backend.mirror.item(key_of(Node, "", name))
    node = there.object if there is not None else None
    why = ""
    if wish.node != name:
        why = f"a node renews its own certificates, not those of {wish.node[:80]!r}"
    elif not isinstance(node, Node):
        why = "it is no node of the cluster any more: let it join again"
    elif set(wish.addresses) != {node.address}:
        why = f"its address is {node.address}: with another one, let it join again"
    if why:
        raise Forbidden(f'node "{name}" cannot renew: {why}', kind="join")


async def list_tokens(backend: Backend, _: Call) -> Response:
    await backend.mirror.caught_up(backend.settings.limits.freshness_deadline_s)
    entries = sorted(backend.mirror.plain.items())
    tokens = tuple(_shown(_kept(entry)) for key, entry in entries if key.startswith(TOKENS))
    return Response(200, encode(TokenList(items=tokens)))


async def create_token(backend: Backend, call: Call) -> Response:
    body = call.request.body or b"{}"
    wish = read_model(TokenWish, body, "TokenWish")
    now = backend.env.clock.now()
    secret = backend.env.rng.letters(SECRET_LETTERS)
    kept = Kept(
        id=backend.env.rng.letters(ID_LETTERS),
        secret_hash=hash_of(secret),
        expires_at=now + timedelta(seconds=wish.ttl_seconds),
        once=wish.once,
    )
    key = TOKENS + kept.id

    def decide(seen: Seen) -> Decision[None]:
        if seen[key] is not None:
            raise Conflict("the token's id is taken: please try again")
        return Decision((Put(key, msgspec.json.encode(kept)), *_swept(backend, now)), None)

    await backend.transactions.run([key], decide)
    made = Token(id=kept.id, expires_at=kept.expires_at, once=kept.once, secret=secret)
    return Response(201, encode(made))


async def revoke_token(backend: Backend, call: Call) -> Response:
    key = TOKENS + call.name

    def decide(seen: Seen) -> Decision[None]:
        if seen[key] is None:
            raise NotFound(f'tokens "{call.name}" not found', kind="tokens", name=call.name)
        return Decision((Delete(key),), None)

    await backend.transactions.run([key], decide)
    return Response(200, encode(Status(status="Success", code=200)))


async def _use_token(backend: Backend, call: Call, node: str) -> None:
    """Note in the token who uses it; refuse a name that a living node has.

    Raises: Unauthorized, Conflict.
    """
    key = TOKENS + call.identity.user.removeprefix(BOOTSTRAP_PREFIX)
    node_key = key_of(Node, "", node)
    now = backend.env.clock.now()
    decide = partial(_used, key, node_key, node, now)
    await backend.transactions.run([key, node_key], decide)


def _used(key: str, node_key: str, node: str, now: datetime, seen: Seen) -> Decision[None]:
    entry, there = seen[key], seen[node_key]
    if not isinstance(entry, Entry):
        raise Unauthorized(USED)
    kept = _kept(entry)
    if now >= kept.expires_at or is_used_up(kept, now) or not may_join(kept, node):
        raise Unauthorized(USED)
    is_repeat = kept.node == node
    if isinstance(there, Item) and not is_repeat and _is_alive(there):
        message = f'a node named "{node}" is in the cluster and alive: choose another name, or '
        message += "`cuberoot stop` there first"
        raise Conflict(message, kind="nodes", name=node)
    if not kept.once or is_repeat:
        return Decision((), None)
    used = msgspec.structs.replace(kept, node=node, used_at=now)
    return Decision((Put(key, msgspec.json.encode(used)),), None)


def _is_alive(item: Item) -> bool:
    return isinstance(item.object, Node) and is_ready(item.object)


def _problems(wish: JoinRequest) -> list[Problem]:
    problems = []
    if not names.is_subdomain(wish.node):
        problems.append(Problem("node", names.SUBDOMAIN_RULE))
    problems += [
        Problem(f"addresses[{index}]", "must be an IPv4 address")
        for index, address in enumerate(wish.addresses)
        if not is_address(address)
    ]
    problems += [
        Problem(f"requests[{use}]", "is required", "FieldValueRequired")
        for use in CERTIFICATES
        if use not in wish.requests
    ]
    return problems


def _borrowed(wish: JoinRequest, settings: Settings) -> list[Problem]:
    """Refuse what the API server is called by: whoever has a certificate for it can play it."""
    problems = []
    if wish.node in SERVER_NAMES or wish.node == f"{SERVER_NAMES[-1]}.{settings.cluster_domain}":
        problems.append(Problem("node", "is a name of the API server"))
    services = IPv4Network(settings.service_range)
    for index, text in enumerate(wish.addresses):
        address = IPv4Address(text)
        is_own = text in settings.advertise_addresses or address in services
        if is_own or address.is_loopback or address.is_unspecified or address.is_multicast:
            problems.append(Problem(f"addresses[{index}]", f"{text} is no address of a node"))
    return problems


def _held(backend: Backend, wish: JoinRequest) -> list[Problem]:
    """Refuse addresses of other nodes that live: a certificate for one could play its kubelet."""
    nodes = (item.object for item in backend.mirror.kinds[Node].items.values())
    return [
        Problem("addresses", f"{node.address} belongs to the node {node.metadata.name}")
        for node in nodes
        if isinstance(node, Node) and node.metadata.name != wish.node and is_ready(node)
        if node.address in wish.addresses
    ]


def _swept(backend: Backend, now: datetime) -> tuple[Delete, ...]:
    """Return what removes tokens that are over: a few with every token that is made."""
    entries = sorted(backend.mirror.plain.items())
    kept = ((key, _kept(entry)) for key, entry in entries if key.startswith(TOKENS))
    return tuple(Delete(key) for key, one in kept if now >= one.expires_at)[:50]


def _kept(entry: Entry) -> Kept:
    return msgspec.json.decode(entry.value, type=Kept)


def _shown(kept: Kept) -> Token:
    return Token(id=kept.id, expires_at=kept.expires_at, once=kept.once)


def _signer(backend: Backend) -> Signer:
    if backend.signer is None:
        raise ServiceUnavailable("this server signs no certificates")
    return backend.signer
