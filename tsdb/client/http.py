"""How questions travel to a store: HTTP by aiohttp."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from tsdb.client.query import NotSent

DEADLINE_S = 10.0
REFUSED = 400
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class HttpSender:
    """url without a path; the session is the caller's, and is not closed here."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, deadline_s: float = DEADLINE_S
    ) -> None:
        self._url, self._session, self._deadline_s = url, session, deadline_s

    async def post(self, path: str, form: Mapping[str, str]) -> bytes:
        try:
            async with asyncio.timeout(self._deadline_s):
                async with self._session.post(self._url + path, data=form) as answer:
                    return await _read(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotSent(str(error) or type(error).__name__) from error

    async def push(self, path: str, text: str) -> None:
        """Send a text to a path of the store.

        Raises:
            NotSent: there was no answer in time, or the store could not take it now.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                async with self._session.post(self._url + path, data=text.encode()) as answer:
                    said = await _read(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotSent(str(error) or type(error).__name__) from error
        if answer.status >= REFUSED:
            raise NotSent(f"status {answer.status}: {said[:200].decode(errors='replace')}")


@asynccontextmanager
async def http_sender(url: str, deadline_s: float = DEADLINE_S) -> AsyncIterator[HttpSender]:
    """Give a sender with connections of its own; they are closed with the block."""
    async with aiohttp.ClientSession() as session:
        yield HttpSender(url, session, deadline_s)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise NotSent(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)
