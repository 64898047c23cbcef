"""Serving over TLS: with a client CA, only clients that it signed are served."""

import datetime
import ssl
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.tls import server_tls
from tsdb.faults import Faults
from tsdb.serve import answers
from tsdb.serve.app import server_of

# More than one part: a large answer takes another way out.
HELLO = b"hello" * 200_000
DAY = datetime.timedelta(days=1)


class Authority:
    """A CA of one test, and the files of what it signs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
        self.certificate = self._write("ca", self._name, self._key, is_ca=True)[0]

    def sign(self, name: str) -> tuple[str, str]:
        """Return the files of a certificate for loopback and of its key."""
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        return self._write(name, subject, ec.generate_private_key(ec.SECP256R1()), is_ca=False)

    def _write(
        self, name: str, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> tuple[str, str]:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(address, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
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
