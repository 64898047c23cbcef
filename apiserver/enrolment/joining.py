"""How a machine becomes a node: the CA to compare with its pin, tokens, and signed certificates."""

from datetime import datetime, timedelta
from functools import partial
from ipaddress import IPv4Network
from typing import NamedTuple

import msgspec

from apiserver.auth.authorize import BOOTSTRAP_PREFIX, MASTERS, node_of
from apiserver.auth.members import (
    AGAIN,
    is_nodes,
    is_taken,
    joined,
    member_in,
    refusal_of,
    renewed,
)
from apiserver.auth.tokens import (
    ID_CHARS,
    SECRET_CHARS,
    TokenRecord,
    hash_of,
    is_used_up,
    may_join,
)
from apiserver.backend import Backend, Signer
from apiserver.call import Call
from apiserver.enrolment.membership import member_of
from apiserver.state.items import Item, Seen
from apiserver.state.keys import TOKENS, key_of
from apiserver.state.transact import Decision
from apiserver.storage.store import Delete, Entry, Put
from apiserver.strategies.node import holders_of, member_key, put
from cubernetes.api import names
from cubernetes.api.bodies.envelopes import Status
from cubernetes.api.bodies.joining import (
    CERTIFICATES,
    JoinAnswer,
    JoinRequest,
    Token,
    TokenList,
    TokenWish,
)
from cubernetes.api.coding.codec import encode, read_model
from cubernetes.api.coding.refusals import invalid as invalid_object
from cubernetes.api.core.node import Node, is_address, is_network
from cubernetes.api.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Problem,
    ServiceUnavailable,
    Unauthorized,
)
from cubernetes.host.web.messages import Identity, Response

# What clients of the API, in pods and on its own machine, call it by.
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
# The one that a node's kubelet answers with; by the others a node asks.
SERVING = "kubelet-serving"
IN_PLACE = (
    "an administrator removes the node, or makes a token for it (`cuberoot token create --node {}`)"
)
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
    await backend.caught_up()
    if problems := _problems(wish) or _borrowed(backend, wish):
        raise invalid_object("JoinRequest", wish.node[:80], problems)
    if node := node_of(call.identity):
        _check_renewal(backend, wish, node)
    # Signed first: a request that is refused uses up no token.
    signed = {
        use: signer.sign(wish.node, wish.addresses, use, request)
        for use, request in sorted(wish.requests.items())
    }
    serials = tuple(serial for use, (_, serial) in signed.items() if use != SERVING)
    await _admit(backend, call, wish, serials)
    certificates = {use: pem for use, (pem, _) in signed.items()}
    settings = backend.settings
    answer = JoinAnswer(
        certificates=certificates,
        ca=signer.ca_pem,
        servers=tuple(
            f"https://{address}:{settings.listen_port}" for address in settings.advertise_addresses
        ),
        service_range=settings.service_range,
        pod_range=settings.pod_range,
        cluster_domain=settings.cluster_domain,
        network=settings.network,
        cni_config=settings.cni_config,
        weave_password=settings.weave_password,
    )
    return Response(200, encode(answer))


def _check_renewal(backend: Backend, wish: JoinRequest, name: str) -> None:
    """A node may have its own certificates again, for the addresses that it joined with.

    Raises: Forbidden.
    """
    member = member_of(backend, name)
    vouched = member.addresses if member is not None else ()
    why = ""
    if wish.node != name:
        why = f"a node renews its own certificates, not those of {wish.node[:80]!r}"
    elif backend.mirror.item(key_of(Node, "", name)) is None:
        why = f"it is no node of the cluster any more: {AGAIN}"
    elif not vouched:
        why = f"nobody has vouched for an address of it: {IN_PLACE.format(name)}"
    elif set(wish.addresses) != set(vouched):
        known = ", ".join(vouched)
        why = f"it joined with the address {known}. With another one: {IN_PLACE.format(name)}"
    if why:
        raise Forbidden(f'node "{name}" cannot renew: {why}', kind="join")


async def list_tokens(backend: Backend, _: Call) -> Response:
    await backend.caught_up()
    entries = sorted(backend.mirror.plain.items())
    tokens = tuple(_shown(_kept(entry)) for key, entry in entries if key.startswith(TOKENS))
    return Response(200, encode(TokenList(items=tokens)))


async def create_token(backend: Backend, call: Call) -> Response:
    body = call.request.body or b"{}"
    wish = read_model(TokenWish, body, "TokenWish")
    if wish.node and not names.is_subdomain(wish.node):
        raise invalid_object("TokenWish", "", [Problem("node", names.SUBDOMAIN_RULE)])
    now = backend.env.clock.now()
    secret = backend.env.rng.chars(SECRET_CHARS)
    kept = TokenRecord(
        id=backend.env.rng.chars(ID_CHARS),
        secret_hash=hash_of(secret),
        expires_at=now + timedelta(seconds=wish.ttl_seconds),
        once=wish.once,
        for_node=wish.node,
    )
    key = TOKENS + kept.id

    def decide(seen: Seen) -> Decision[None]:
        if seen[key] is not None:
            raise Conflict("the token's id is taken: please try again")
        return Decision((Put(key, msgspec.json.encode(kept)), *_swept(backend, now)), None)

    await backend.transactions.run([key], decide)
    made = Token(
        id=kept.id, expires_at=kept.expires_at, once=kept.once, node=kept.for_node, secret=secret
    )
    return Response(201, encode(made))


async def revoke_token(backend: Backend, call: Call) -> Response:
    key = TOKENS + call.name

    def decide(seen: Seen) -> Decision[None]:
        if seen[key] is None:
            raise NotFound(f'tokens "{call.name}" not found', kind="tokens", name=call.name)
        return Decision((Delete(key),), None)

    await backend.transactions.run([key], decide)
    return Response(200, encode(Status(status="Success", code=200)))


async def _admit(backend: Backend, call: Call, wish: JoinRequest, serials: tuple[str, ...]) -> None:
    """Let a name belong to new certificates, in one transaction with the token's use.

    Raises: Unauthorized, Conflict, Forbidden.
    """
    key, node_key = member_key(wish.node), key_of(Node, "", wish.node)
    keys, identity = [key], call.identity
    decide = partial(_invited, key, wish, serials)
    if node_of(identity):
        decide = partial(_renewed, key, identity, serials)
    elif MASTERS not in identity.groups:
        token_key = TOKENS + identity.user.removeprefix(BOOTSTRAP_PREFIX)
        use = _Use(token_key, key, node_key, wish, serials, backend.env.clock.now())
        keys, decide = [token_key, key, node_key], partial(_Use.decided, use)
    done = await backend.transactions.run(keys, decide)
    backend.room.noted(identity, done.put_bytes, backend.env.clock.monotonic())
    # From now on this server goes by the member as it was written.
    await backend.mirror.reach(done.revision, backend.settings.limits.freshness_deadline_s)


def _invited(key: str, wish: JoinRequest, serials: tuple[str, ...], seen: Seen) -> Decision[None]:
    """An administrator needs no token."""
    after = joined(member_in(seen[key]), serials, wish.addresses, "", wish.address_network)
    return Decision((put(key, after),), None)


def _renewed(key: str, identity: Identity, serials: tuple[str, ...], seen: Seen) -> Decision[None]:
    member = member_in(seen[key])
    if member is None:
        raise Forbidden(AGAIN, kind="join")
    if why := refusal_of(identity, member):
        raise Forbidden(why, kind="join")
    return Decision((put(key, renewed(member, identity.serial, serials)),), None)


class _Use(NamedTuple):
    """A machine joins with a token."""

    token_key: str
    member_key: str
    node_key: str
    wish: JoinRequest
    serials: tuple[str, ...]
    now: datetime

    def decided(self, seen: Seen) -> Decision[None]:
        """Note in the token which node uses it, and give that node the name.

        Raises: Unauthorized, Conflict.
        """
        entry, name = seen[self.token_key], self.wish.node
        if not isinstance(entry, Entry):
            raise Unauthorized(USED)
        kept = _kept(entry)
        if self.now >= kept.expires_at or is_used_up(kept, self.now) or not may_join(kept, name):
            raise Unauthorized(USED)
        self._check_name(kept, entry.revision, seen)
        known, wish = member_in(seen[self.member_key]), self.wish
        member = joined(known, self.serials, wish.addresses, kept.id, wish.address_network)
        ops: tuple[Put, ...] = (put(self.member_key, member),)
        if kept.once and not kept.node:
            used = msgspec.structs.replace(kept, node=name, used_at=self.now)
            ops = (Put(self.token_key, msgspec.json.encode(used)), *ops)
        return Decision(ops, None)

    def _check_name(self, kept: TokenRecord, made_at: int, seen: Seen) -> None:
        """Refuse a name that is another's, and one that was taken away after the token was made.

        Raises: Unauthorized, Conflict.
        """
        name, before, there = self.wish.node, seen[self.member_key], seen[self.node_key]
        member = member_in(before)
        node = there.object if isinstance(there, Item) else None
        if member is not None and before is not None and member.gone == "removed":
            # The machine may know tokens from before: it was removed with them.
            if made_at < before.revision:
                raise Unauthorized(f'node "{name}" was removed from the cluster: {AGAIN}')
            return
        # The answer of before may have been lost: the same machine asks again.
        is_same = member is not None and member.token == kept.id
        is_repeat = is_same and (kept.once or node is None)
        if is_taken(member, node) and not is_repeat and kept.for_node != name:
            message = f'the name "{name}" belongs to a node of the cluster: choose another name, '
            message += f"or, where this machine is to be that node: {IN_PLACE.format(name)}"
            raise Conflict(message, kind="nodes", name=name)


def _problems(wish: JoinRequest) -> list[Problem]:
    problems = []
    if not names.is_subdomain(wish.node):
        problems.append(Problem("node", names.SUBDOMAIN_RULE))
    problems += [
        Problem(f"addresses[{index}]", "must be an IPv4 address")
        for index, address in enumerate(wish.addresses)
        if not is_address(address)
    ]
    if wish.address_network and not is_network(wish.address_network):
        problems.append(Problem("addressNetwork", "must be an IPv4 network such as 192.0.2.0/24"))
    problems += [
        Problem(f"requests[{use}]", "is required", "FieldValueRequired")
        for use in CERTIFICATES
        if use not in wish.requests
    ]
    return problems


def _borrowed(backend: Backend, wish: JoinRequest) -> list[Problem]:
    """Refuse the names of others: a certificate for one would impersonate them."""
    problems, settings = [], backend.settings
    if wish.node in SERVER_NAMES or wish.node == f"{SERVER_NAMES[-1]}.{settings.cluster_domain}":
        problems.append(Problem("node", "is a name of the API server"))
    if is_address(wish.node):
        problems.append(Problem("node", "must be a name, not an address"))
    ranges = (settings.service_range, settings.pod_range)
    own = wish.address_network
    if own and any(IPv4Network(own).overlaps(IPv4Network(one)) for one in ranges):
        why = f"{own} overlaps the cluster's addresses of services or pods"
        problems.append(Problem("addressNetwork", why))
    holders = holders_of(backend, wish.node)
    for index, text in enumerate(wish.addresses):
        why = "" if is_nodes(text, ranges) else f"{text} is no address of a node"
        if text in holders:
            why = f"{text} belongs to {holders[text]}"
        if why:
            problems.append(Problem(f"addresses[{index}]", why))
    return problems


def _swept(backend: Backend, now: datetime) -> tuple[Delete, ...]:
    """Return what removes tokens that are over: a few with every token that is made."""
    entries = sorted(backend.mirror.plain.items())
    kept = ((key, _kept(entry)) for key, entry in entries if key.startswith(TOKENS))
    return tuple(Delete(key) for key, one in kept if now >= one.expires_at)[:50]


def _kept(entry: Entry) -> TokenRecord:
    return msgspec.json.decode(entry.value, type=TokenRecord)


def _shown(kept: TokenRecord) -> Token:
    return Token(id=kept.id, expires_at=kept.expires_at, once=kept.once, node=kept.for_node)


def _signer(backend: Backend) -> Signer:
    if backend.signer is None:
        raise ServiceUnavailable("this server signs no certificates")
    return backend.signer
