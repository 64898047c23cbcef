"""The way to the kubelets, and through them to pods: over mutual TLS, as system:apiserver."""

import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp

from apiserver.http.asking import Refusal, Silence, answered, mutual_tls, pieces_of, session_over
from apiserver.http.exchanges import FAILED, Client, exchanged
from apiserver.proxying.exchange import Answer, Asked, Target, Unreached
from apiserver.proxying.heads import UNASKED_SWITCH, is_agreed
from apiserver.settings import Settings
from cubernetes.api.core.node import Node
from cubernetes.api.errors import ApiError, BadRequest, NotFound, ServiceUnavailable
from cubernetes.host.web.duplex import Broken
from cubernetes.host.web.messages import Upgrade
from cubernetes.host.web.upgrade import Through, upgraded_stream

TUNNEL_HEADERS = {"Connection": "Upgrade", "Upgrade": "tcp"}
SWITCHING_HEADERS = ("connection", "upgrade", "sec-websocket-accept", "sec-websocket-protocol",
                     "x-stream-protocol-version")  # fmt: skip


class HttpsKubelets:
    """Asks kubelets over HTTPS; made within the running loop, closed by its owner."""

    def __init__(self, settings: Settings) -> None:
        """Raises: OSError, ssl.SSLError: a certificate cannot be read."""
        self._session = session_over(mutual_tls(settings))
        # A pod is who its kubelet says; what it shows by itself nobody has signed.
        self._pods_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._pods_tls.check_hostname = False
        self._pods_tls.verify_mode = ssl.CERT_NONE

    async def open(self, node: Node, path: str, query: str) -> AsyncIterator[bytes]:
        """Ask a kubelet for a log; see backend.KubeletLogs.

        A node says itself where it is reached. What answers there must have the serving
        certificate of that node: with any other nothing is sent, and no log is believed.
        """
        return pieces_of(await self._answered(node, path, query, {}, 200), "the kubelet")

    async def upgrade(
        self, node: Node, path: str, query: str, headers: Mapping[str, str]
    ) -> Upgrade:
        """Ask a kubelet to switch protocols; see backend.KubeletLogs, and open."""
        answer = await self._answered(node, path, query, headers, 101)
        if not is_agreed(headers.items(), answer.headers.items()):
            answer.close()
            raise ServiceUnavailable(f"the kubelet of node {node.metadata.name}: {UNASKED_SWITCH}")
        told = {name: answer.headers[name] for name in SWITCHING_HEADERS if name in answer.headers}
        try:
            return Upgrade(told, upgraded_stream(answer))
        except Broken as error:
            message = f"the kubelet of node {node.metadata.name} broke off: {error}"
            raise ServiceUnavailable(message, retry_after_s=5) from error

    async def exchange(self, target: Target, asked: Asked) -> Answer:
        """Ask a port of a pod, or a kubelet itself; see backend.KubeletLogs."""
        node = target.node
        if not target.path:
            root, name = address_of(node), node.metadata.name
            # None of a kubelet's own sessions is reached so: those are switched.
            return await exchanged(Client(self._session), root, asked, server_hostname=name)
        try:
            answer = await self._answered(node, target.path, "", TUNNEL_HEADERS, 101)
            tunnel = Through(answer, self._pods_tls if target.is_tls else None)
        except (ApiError, Broken) as error:
            raise Unreached(f"{FAILED}{error}", retry_after_s=5) from error
        session = aiohttp.ClientSession(
            connector=tunnel, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return await exchanged(Client(session, tunnel), "http://pod", asked)

    async def _answered(
        self, node: Node, path: str, query: str, headers: Mapping[str, str], wanted: int
    ) -> aiohttp.ClientResponse:
        """Return an answer that has the wanted status.

        Raises: ApiError: any other status, or no answer.
        """
        name, url = node.metadata.name, f"{address_of(node)}{path}?{query}"
        try:
            return await answered(self._session, url, name, headers, wanted)
        except Refusal as refusal:
            raise refusal_of(refusal.status, name, refusal.told) from refusal
        except Silence as error:
            message = f"the kubelet of node {name} cannot be reached: {error}"
            raise ServiceUnavailable(message, retry_after_s=5) from error

    async def close(self) -> None:
        await self._session.close()


def address_of(node: Node) -> str:
    """Return where a node's kubelet listens.

    Raises: ServiceUnavailable: the node does not say.
    """
    if not node.address:
        message = f"node {node.metadata.name} has no InternalIP yet"
        raise ServiceUnavailable(message, retry_after_s=5)
    return f"https://{node.address}:{node.kubelet_port}"


def refusal_of(status: int, node: str, told: str) -> ApiError:
    """Return what the client is told of a kubelet's refusal."""
    match status:
        case 404:
            return NotFound(told or "the kubelet knows of no such container")
        case 400:
            return BadRequest(told or "the kubelet does not understand the request")
        case 502:
            # The kubelet is well, and tells why what is behind it did not answer.
            return ServiceUnavailable(told)
        case _:
            message = f"the kubelet of node {node} answers {status}: {told}"
            return ServiceUnavailable(message, retry_after_s=5)
