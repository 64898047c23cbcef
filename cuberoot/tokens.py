"""Tokens by which machines may join: made, shown and revoked through the API."""

from cubernetes.api.bodies.envelopes import Status, error_of
from cubernetes.api.bodies.joining import TOKENS_PATH, Token, TokenList, TokenWish
from cubernetes.api.coding import codec
from cubernetes.api.names import is_label
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Response
from cuberoot import apply, layout, pki
from cuberoot.apply import NotInitialised, Say
from cuberoot.cluster import API_PORT, Cluster
from cuberoot.host import probe


def _cluster() -> Cluster:
    cluster = apply.known_cluster()
    if cluster is None or not cluster.is_control_plane:
        raise NotInitialised("tokens are made on the control plane")
    return cluster


async def create(env: Env, say: Say, *, hours: int, is_once: bool, for_node: str = "") -> None:
    """Make a token and say the command that joins with it."""
    cluster = _cluster()
    client = probe.admin_client(cluster, env)
    wish = TokenWish(ttl_seconds=hours * 3600, once=is_once, node=for_node)
    try:
        token = codec.decode(Token, await _ask(client, "POST", TOKENS_PATH, codec.encode(wish)))
    finally:
        await client.close()
    pin = pki.pin_of(layout.CLUSTER_CA.cert.read_bytes())
    times = "once" if is_once else "any number of times"
    machine = f"the machine that is to be {for_node}" if for_node else "another machine"
    say(f"\nJoin {machine} ({times}, until {token.expires_at:%Y-%m-%d %H:%M} UTC):\n")
    secret = f"{token.id}.{token.secret}"
    say(f"  cuberoot join {cluster.address}:{API_PORT} --token {secret} --ca-hash {pin}\n")


async def show(env: Env, say: Say) -> None:
    client = probe.admin_client(_cluster(), env)
    try:
        listed = codec.decode(TokenList, await _ask(client, "GET", TOKENS_PATH))
    finally:
        await client.close()
    say(f"{'ID':<12} {'ENDS':<18} {'USES':<5} NODE")
    for one in listed.items:
        uses = "one" if one.once else "many"
        say(f"{one.id:<12} {one.expires_at:%Y-%m-%d %H:%M}   {uses:<5} {one.node or 'any'}")


async def revoke(token_id: str, env: Env, say: Say) -> None:
    if not is_label(token_id):
        raise NotInitialised(f"{token_id[:40]!r} is no token id: cuberoot token list shows them")
    client = probe.admin_client(_cluster(), env)
    try:
        await _ask(client, "DELETE", f"{TOKENS_PATH}/{token_id}")
    finally:
        await client.close()
    say(f"token {token_id} revoked")


async def _ask(client: Client, method: str, path: str, body: bytes = b"") -> bytes:
    response: Response = await client.raw(method, path, body=body)
    content = response.body if isinstance(response.body, bytes) else b""
    if response.status >= 400:
        raise error_of(codec.decode(Status, content))
    return content
