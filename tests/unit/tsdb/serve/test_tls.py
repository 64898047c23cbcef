"""Serving over TLS: with a client CA, only clients that it signed are served."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.tls import server_tls
from cuberoot import pki
from cuberoot.program import Identity
from tsdb.faults import Faults
from tsdb.serve import answers
from tsdb.serve.app import server_of

# More than one part: a large answer takes another way out.
HELLO = b"hello" * 200_000


class Authority:
    """A CA of one test, and the files of what it signs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._now = folder, datetime.now(UTC)
        self._own = pki.new_ca("test CA", self._now)
        self.certificate = self._write("ca", self._own)[0]

    def sign(self, name: str) -> tuple[str, str]:
        """Return the files of a certificate for loopback and of its key."""
        identity = Identity(name, addresses=("127.0.0.1",), is_server=True, is_client=True)
        return self._write(name, pki.new_cert(identity, self._own, self._now))

    def _write(self, name: str, signed: pki.Signed) -> tuple[str, str]:
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        for file, content in zip(files, signed, strict=True):
            file.write_bytes(content)
        return str(files[0]), str(files[1])


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, Authority]]:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    tls = server_tls(certificate, key, authority.certificate)

    async def hello(_request: Request) -> Response:
        return answers.response_of([HELLO])

    server = server_of([("GET", "/", hello)], Faults(), Limits())
    await server.listen("127.0.0.1", 0, tls)
    yield f"https://127.0.0.1:{server.port}/", authority
    await server.stop(1)


async def asked(url: str, tls: ssl.SSLContext) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url, ssl=tls) as answer:
        return await answer.read()


async def test_a_client_of_the_right_authority_is_served(
    served: tuple[str, Authority],
) -> None:
    url, authority = served
    tls = ssl.create_default_context(cafile=authority.certificate)
    tls.load_cert_chain(*authority.sign("client"))

    assert await asked(url, tls) == HELLO


async def test_a_client_without_a_certificate_is_not(served: tuple[str, Authority]) -> None:
    url, authority = served
    tls = ssl.create_default_context(cafile=authority.certificate)

    with pytest.raises((aiohttp.ClientError, OSError)):
        await asked(url, tls)
