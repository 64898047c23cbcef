"""A machine believes a cluster by its pin: by all of it, before anything secret leaves."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.host.env import Env
from cuberoot import pki
from cuberoot.join import JoinRefused, Place, joined
from tests.contract.store.certificates import Authority

SECRET = "abcdefgh.0123456789"


class Server:
    """Gives out a CA, refuses everything else, and remembers all that it was told."""

    def __init__(self, ca: bytes) -> None:
        self.ca, self.heard, self.port = ca, b"", 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heard += head
        is_info = head.startswith(b"GET /cluster-info ")
        line, body = (b"200 OK", self.ca) if is_info else (b"401 Unauthorized", b"")
        length = str(len(body)).encode()
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %b\r\n\r\n%b" % (line, length, body))
        await writer.drain()
        writer.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    authority = Authority()
    ca = authority.own.cert
    (tmp_path / "server.pem").write_bytes(b"".join(authority.sign("apiserver")))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    made = Server(ca)
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield made


async def told(server: Server, pin: str) -> str:
    """Join with a pin; return why it was refused."""
    node = Place("n2", ("192.0.2.2",))
    with pytest.raises(JoinRefused) as refused:
        await joined(f"127.0.0.1:{server.port}", SECRET, pin, node, Env())
    return str(refused.value)


async def test_with_the_whole_pin_the_token_is_shown(server: Server) -> None:
    pin = pki.pin_of(server.ca)
    for written in (pin, f" {pin.upper()}\n"):
        assert "answers 401" in await told(server, written)
    assert SECRET.encode() in server.heard


@pytest.mark.parametrize("length", [0, 1, 7, 8, 39, 70])
async def test_a_pin_that_is_cut_off_is_none_and_nobody_is_asked(
    server: Server, length: int
) -> None:
    assert "no whole pin" in await told(server, pki.pin_of(server.ca)[:length])
    assert server.heard == b""


@pytest.mark.parametrize("form", ["{}0", "{0}{0}", "x{}", "{}, {}", "sha512:{}"])
async def test_a_pin_with_more_than_a_pin_in_it_is_none(server: Server, form: str) -> None:
    pin = pki.pin_of(server.ca)
    text = form.replace("{0}", pin).replace("{}", pin)
    assert "no whole pin" in await told(server, text)
    assert "no whole pin" in await told(server, pin.removeprefix("sha256:"))
    assert server.heard == b""


@pytest.mark.parametrize("place", [7, 8, 40, 70])
async def test_a_pin_that_differs_in_one_digit_is_another_clusters(
    server: Server, place: int
) -> None:
    pin = pki.pin_of(server.ca)
    other = "0" if pin[place] != "0" else "1"
    assert "Nothing secret was sent" in await told(server, pin[:place] + other + pin[place + 1 :])
    assert SECRET.encode() not in server.heard
    assert b"POST" not in server.heard
