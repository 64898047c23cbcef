"""The door to HTTP: a request of aiohttp's becomes ours, and our answer bytes on a wire."""

import math
import ssl
from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import web

from cubernetes.host.web.httpserver import BodyBroken, BodyTooLarge, HttpServer, body_of, send_parts
from tsdb.errors import BadData, LimitExceeded
from tsdb.serve.exchange import Answer, Handler, Request, parts_of
from tsdb.wire.unpack import unpacked

# The header fields that anything in the store reads.
HEADERS = ("content-type", "content-encoding")
HEAD_DEADLINE_S = 30.0
BODY_DEADLINE_S = 60.0
PART_BYTES = 2**18


class Door:
    """Gives requests to a handler that never raises, and sends what it answers."""

    def __init__(
        self,
        handler: Handler,
        told: Callable[[Exception], Answer],
        *,
        body_bytes_max: int,
        send_deadline_s: float,
        body_deadline_s: float = BODY_DEADLINE_S,
        head_deadline_s: float = HEAD_DEADLINE_S,
    ) -> None:
        """told makes the answer of an error; send_deadline_s is for each part of a long answer."""
        self._handler, self._told = handler, told
        self._body_bytes_max, self._body_deadline_s = body_bytes_max, body_deadline_s
        self._send_deadline_s = send_deadline_s
        # A query whose client has gone is cancelled, and ends at its next turn.
        self._server = HttpServer(
            self._answer,
            self._refusal,
            head_deadline_s=head_deadline_s,
            take_deadline_s=send_deadline_s,
        )

    @property
    def port(self) -> int:
        return self._server.port

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises: OSError: the address is taken or none of ours."""
        await self._server.listen(host, port, tls)

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, let requests at work finish for so long, then cut off the rest."""
        await self._server.stop(grace_s)

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        try:
            request = await self._request(incoming)
        except Exception as error:  # noqa: BLE001  a request that cannot be read ends itself alone
            # The rest of it is not read either: nobody knows where the next one begins.
            outgoing = _whole(self._told(error))
            outgoing.force_close()
            incoming.protocol.close()
            return outgoing
        answer = await self._handler(request)
        size = sum(map(len, answer.pieces))
        if size <= PART_BYTES or incoming.method == "HEAD":
            return _whole(answer)
        long = web.StreamResponse(status=answer.status, headers=_headers(answer))
        long.content_length = size
        parts = parts_of(answer.pieces, PART_BYTES)
        return await send_parts(incoming, long, parts, self._send_deadline_s)

    async def _request(self, incoming: web.BaseRequest) -> Request:
        path, _, query = incoming.raw_path.partition("?")
        if not path.startswith("/"):
            # A proxy is sent the whole URL.
            path = incoming.rel_url.raw_path
        headers = {name: incoming.headers[name] for name in HEADERS if name in incoming.headers}
        body = await self._body(incoming, headers) if incoming.body_exists else b""
        return Request(incoming.method, _decoded(path), query.partition("#")[0], headers, body)

    async def _body(self, incoming: web.BaseRequest, headers: dict[str, str]) -> bytes:
        most = self._body_bytes_max
        try:
            body = await body_of(incoming, most, self._body_deadline_s)
        except BodyTooLarge as error:
            found = incoming.content_length or math.inf
            raise LimitExceeded("request_bytes", most, found) from error
        except BodyBroken as error:
            raise BadData(str(error)) from error
        return unpacked(body, headers.get("content-encoding", ""), most)

    def _refusal(self, said: str) -> web.Response:
        return _whole(self._told(BadData(said)))


def _whole(answer: Answer) -> web.Response:
    body = b"".join(answer.pieces)
    return web.Response(status=answer.status, body=body, headers=_headers(answer))


def _headers(answer: Answer) -> dict[str, str]:
    kind = {} if answer.status == web.HTTPNoContent.status_code else {"Content-Type": answer.kind}
    return {**kind, **answer.headers}


def _decoded(path: str) -> str:
    if "%" not in path:
        return path
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise BadData("the path is not text") from error
