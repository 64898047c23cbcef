"""Pairs that take long to look at are looked at beside the gateway."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cubernetes.api.core.data.configdata import encoded
from cubernetes.host.command import Completed, SystemCommands
from cubernetes.host.env import Env
from cuberoot import pki
from cuberoot.program import Identity
from gateway.tls.checker import ARGV, checked
from tests.given import NOW


class Counted(SystemCommands):
    """The system's commands, counted."""

    def __init__(self) -> None:
        self.argvs: list[tuple[str, ...]] = []

    async def run(self, argv, *, stdin=b"", deadline_s=30.0) -> Completed:  # type: ignore[no-untyped-def]
        self.argvs.append(tuple(argv))
        return await super().run(argv, stdin=stdin, deadline_s=deadline_s)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_of(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def data(cert: bytes, key: bytes) -> dict[str, str]:
    return {"tls.crt": encoded(cert), "tls.key": encoded(key), "other": "x"}


async def test_a_key_that_takes_long_is_looked_at_in_another_process() -> None:
    """No other task had its turn for two seconds, at each change of such a Secret."""
    commands = Counted()
    env = Env(commands=commands)
    made = pki.new_cert(Identity("a", is_server=True), pki.new_ca("test", NOW), NOW)
    key = rsa.generate_private_key(65537, 2048)
    cert = certificate_of(key)

    assert await checked(data(made.cert, made.key), env) == made.cert + made.key
    none = "tls.key holds no key in PEM without a passphrase"
    assert await checked(data(made.cert, b"none"), env) == none
    assert commands.argvs == []
    assert await checked(data(cert, pem(key)), env) == cert + pem(key)
    assert await checked(data(made.cert, pem(key)), env) == "tls.key is not the key of tls.crt"
    assert commands.argvs == [ARGV, ARGV]
