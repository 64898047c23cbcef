"""One request over mutual TLS to a program of ours, whose answer is read as it comes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
from yarl import URL

from apiserver.settings import Settings
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.host.web.sockets import keep_alive

CONNECT_DEADLINE_S = 3.0
ANSWER_DEADLINE_S = 10.0
# A log that is not followed must go on coming; one that is followed may be silent for as long.
SILENCE_S = 4 * 3600.0
# Who has switched pings every five seconds: one that is silent for longer is gone.
SWITCHED_SILENCE_S = 60.0
REFUSAL_BYTES_MAX = 2000


class Refusal(Exception):
    """The program answers, with another status than the wanted one."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status, self.told = status, told


class Silence(Exception):
    """There is no answer; the text says why."""


def mutual_tls(settings: Settings) -> ssl.SSLContext:
    """Return TLS by which we are system:apiserver. Raises: OSError, ssl.SSLError."""
    tls = ssl.create_default_context(cafile=settings.kubelet_ca)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(settings.kubelet_cert, settings.kubelet_key)
    return tls


def session_over(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return a session without a limit, which all users would share: each has its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def answered(
    session: aiohttp.ClientSession, url: str, name: str, headers: Mapping[str, str], wanted: int
) -> aiohttp.ClientResponse:
    """Return an answer that has the wanted status, of who has the certificate of that name.

    Raises: Refusal; Silence: there is no answer.
    """
    silence_s = SILENCE_S if wanted == 200 else SWITCHED_SILENCE_S
    limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE_S, sock_read=silence_s)
    try:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            answer = await session.get(
                URL(url, encoded=True),
                headers=headers,
                allow_redirects=False,
                server_hostname=name,
                timeout=limit,
            )
            if answer.status == wanted:
                if answer.connection is not None and answer.connection.transport is not None:
                    keep_alive(answer.connection.transport)
                return answer
            async with answer:
                told = (await answer.content.read(REFUSAL_BYTES_MAX)).decode(errors="replace")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Silence(str(error)) from error
    raise Refusal(answer.status, told)


async def pieces_of(answer: aiohttp.ClientResponse, who: str) -> AsyncIterator[bytes]:
    """Yield an answer as it comes. Raises: ServiceUnavailable: it broke off."""
    async with answer:
        try:
            async for piece in answer.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceUnavailable(f"{who} broke off: {error}") from error
