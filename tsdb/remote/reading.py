"""Old samples of another engine: queries that reach back beyond the store's are answered there.

All engines of Prometheus' kind answer its query API, and not all its remote read protocol
(VictoriaMetrics does not): a query is handed on whole, as it came.
"""

import asyncio
from collections.abc import Sequence

import aiohttp

from tsdb.errors import LimitExceeded
from tsdb.outbound import authorization, tls_of
from tsdb.settings import RemoteRead

READ_BYTES = 2**16
SAID_BYTES_MAX = 200
# Answers that are held at a time, whole: others wait within their deadline.
ASKED_MAX = 4


class Unanswered(Exception):
    """The engine did not answer, or refused; says why."""


class RemoteReader:
    """Hands queries on to one engine, with a connection for each: they are rare."""

    def __init__(self, settings: RemoteRead) -> None:
        self.settings = settings
        self.answered = self.failed = 0
        self._places = asyncio.Semaphore(ASKED_MAX)

    async def ask(self, path: str, pairs: Sequence[tuple[str, str]], timeout_s: float) -> bytes:
        """Return the engine's answer to a query, which is JSON as ours.

        Raises: Unanswered: what can be told from here is told with a warning.
        """
        try:
            async with asyncio.timeout(min(timeout_s, self.settings.deadline_s)), self._places:
                body = await self._post(path, pairs)
        except Unanswered:
            self.failed += 1
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, LimitExceeded) as error:
            self.failed += 1
            raise Unanswered(str(error) or type(error).__name__) from error
        self.answered += 1
        return body

    async def _post(self, path: str, pairs: Sequence[tuple[str, str]]) -> bytes:
        url = self.settings.url.rstrip("/") + path
        headers = authorization(self.settings.bearer_token_file)
        connector = aiohttp.TCPConnector(ssl=tls_of(self.settings.tls))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(url, data=list(pairs), headers=headers, allow_redirects=False) as answer,
        ):
            body = bytearray()
            async for piece in answer.content.iter_chunked(READ_BYTES):
                body += piece
                if len(body) > self.settings.answer_bytes:
                    raise LimitExceeded("answer_bytes", self.settings.answer_bytes, len(body))
        if answer.status != 200:
            said = bytes(body[:SAID_BYTES_MAX]).decode(errors="replace")
            raise Unanswered(f"status {answer.status}: {said}")
        return bytes(body)
