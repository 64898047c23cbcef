"""A request to a target over HTTP/1.1, and its answer as it comes: nothing of it is understood."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from apiserver.proxying.exchange import Answer, Asked
from apiserver.proxying.heads import UNASKED_SWITCH, is_agreed
from cubernetes.api.errors import ApiError, ServiceUnavailable, Timeout
from cubernetes.host.web.duplex import Broken, Duplex
from cubernetes.host.web.upgrade import Through, upgraded_stream

# A target may think for so long: from the last piece of the request until the head of its answer.
HEAD_DEADLINE_S = 300.0
# It may be silent for so long in the middle of an answer: events may be rare.
SILENCE_S = 4 * 3600.0
FAILED = "error trying to reach service: "
# Headers that aiohttp makes by itself where a client has sent none.
UNASKED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Client:
    """An HTTP client of a target: one that many requests share, or one for a single request."""

    def __init__(self, session: aiohttp.ClientSession, tunnel: Through | None = None) -> None:
        """tunnel: what leads to the target, for this request alone."""
        self.session, self._tunnel = session, tunnel

    def cut(self) -> None:
        """End the connection of a single request; repeatable."""
        if self._tunnel is not None:
            self.session.detach()
            self._tunnel.cut()

    async def close(self) -> None:
        if self._tunnel is not None:
            await self.session.close()


async def exchanged(client: Client, root: str, asked: Asked, **options: Any) -> Answer:
    """Ask, and return as soon as the head of the answer has come; its body closes the client.

    Raises: ServiceUnavailable, Timeout: there is no answer, and the client is closed.
    """
    limit = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    deadline = _Deadline()
    body = deadline.paced(asked.body) if asked.body is not None else None
    try:
        async with deadline:
            answer = await client.session.request(
                asked.method,
                URL(root + asked.line, encoded=True),
                headers=CIMultiDict(asked.fields),
                data=body,
                allow_redirects=False,
                skip_auto_headers=UNASKED,
                timeout=limit,
                **options,
            )
        far = _switched(answer, asked) if answer.status == 101 else None
    except BaseException as error:
        await client.close()
        trouble = _trouble(error)
        if trouble is None:
            raise
        raise trouble from error
    fields = tuple(answer.headers.items())
    body_of = _Body(answer, client)
    return Answer(answer.status, fields, body_of, _Far(far, body_of) if far is not None else None)


def _switched(answer: aiohttp.ClientResponse, asked: Asked) -> Duplex[bytes, bytes]:
    """Take over a connection that the target was asked to switch; see heads.is_agreed.

    Raises: ServiceUnavailable: it was not asked. Broken.
    """
    if not is_agreed(asked.fields, answer.headers.items()):
        answer.close()
        raise ServiceUnavailable(f"{FAILED}{UNASKED_SWITCH}")
    return upgraded_stream(answer)


def _trouble(error: BaseException) -> ApiError | None:
    """Return what a client is told; None where the error is none of the target's."""
    match error:
        case TimeoutError():
            return Timeout(f"{FAILED}no answer within {HEAD_DEADLINE_S:.0f} s")
        case aiohttp.ClientError() | OSError() | Broken() | ValueError():
            return ServiceUnavailable(f"{FAILED}{error or 'the connection was closed'}")
        case _:
            return None


class _Deadline:
    """A deadline for the head of an answer, which begins anew with each piece that is sent."""

    def __init__(self) -> None:
        self._limit = asyncio.timeout(HEAD_DEADLINE_S)
        # Once the head has come a body goes on for as long as it likes.
        self._is_running = False

    async def __aenter__(self) -> None:
        self._is_running = True
        await self._limit.__aenter__()

    async def __aexit__(self, *why: Any) -> None:
        self._is_running = False
        await self._limit.__aexit__(*why)

    async def paced(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield a body of which each piece puts the deadline off."""
        loop = asyncio.get_running_loop()
        async for piece in body:
            yield piece
            if self._is_running and not self._limit.expired():
                self._limit.reschedule(loop.time() + HEAD_DEADLINE_S)


class _Body:
    """What follows the head of an answer; see exchange.AnswerBody."""

    def __init__(self, answer: aiohttp.ClientResponse, client: Client) -> None:
        self._answer, self._client = answer, client

    async def __anext__(self) -> bytes:
        try:
            piece = await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnavailable(f"the target broke off: {error}") from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._answer.close()
        await self._client.close()

    def cut(self) -> None:
        self._answer.close()
        self._client.cut()


class _Far:
    """A switched connection to a target, which belongs to the answer that switched it."""

    def __init__(self, far: Duplex[bytes, bytes], body: _Body) -> None:
        self._far, self._body = far, body
        self.read, self.write, self.finish = far.read, far.write, far.finish

    def abort(self) -> None:
        self._far.abort()
        self._body.cut()
