"""Certificates name who they should, and a pin names one key."""

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from cuberoot import pki
from cuberoot.pki import CERT_LIFE, Signed
from cuberoot.program import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# More than a handshake of TLS 1.3 takes, each side in its turn.
HANDSHAKE_TURNS = 4
NODE = Identity("system:node:n1", ("system:nodes",), ("n1",), ("192.168.78.11",), is_server=True)


def test_a_certificate_names_its_user_and_groups_and_is_trusted_through_its_ca() -> None:
    ca = pki.new_ca("cubernetes-ca", NOW)
    signed = pki.new_cert(NODE, ca, NOW)
    cert = x509.load_pem_x509_certificate(signed.cert)

    names = {one.oid: one.value for one in cert.subject}
    assert names == {
        NameOID.COMMON_NAME: "system:node:n1",
        NameOID.ORGANIZATION_NAME: "system:nodes",
    }
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.cert))


def test_a_certificate_of_another_ca_is_not_trusted() -> None:
    one, other = (pki.new_ca("cubernetes-ca", NOW) for _ in range(2))
    cert = x509.load_pem_x509_certificate(pki.new_cert(NODE, one, NOW).cert)

    with pytest.raises(InvalidSignature):
        cert.verify_directly_issued_by(x509.load_pem_x509_certificate(other.cert))
    assert pki.pin_of(one.cert) != pki.pin_of(other.cert)


def context_of(signed: Signed, ca: Signed, folder: Path, *, is_server: bool) -> ssl.SSLContext:
    """Return TLS that is strict, as Python 3.13's default is, whatever Python runs this."""
    files = folder / "ca.crt", folder / "own.crt", folder / "own.key"
    for file, content in zip(files, (ca.cert, signed.cert, signed.key), strict=True):
        file.write_bytes(content)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(files[0])
    tls.load_cert_chain(files[1], files[2])
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.verify_flags |= ssl.VERIFY_X509_STRICT
    return tls


def must_shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Let both verify each other, in memory. Raises: ssl.SSLCertVerificationError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(HANDSHAKE_TURNS):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    for side in sides:
        side.do_handshake()


def test_strict_clients_and_servers_accept_what_is_signed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = pki.new_ca("cubernetes-ca", now)
    user = Identity("kubernetes-admin", ("system:masters",))
    server = context_of(pki.new_cert(NODE, ca, now), ca, tmp_path, is_server=True)
    client = context_of(pki.new_cert(user, ca, now), ca, tmp_path, is_server=False)

    must_shake_hands(server, client, "192.168.78.11")


def without(kind: x509.ObjectIdentifier, signed: Signed, ca: Signed) -> Signed:
    """Return a certificate as an older version made it, which lacks an extension."""
    old = x509.load_pem_x509_certificate(signed.cert)
    key = serialization.load_pem_private_key(ca.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    builder = builder.not_valid_before(old.not_valid_before_utc)
    builder = builder.not_valid_after(old.not_valid_after_utc)
    for one in old.extensions:
        if one.oid != kind:
            builder = builder.add_extension(one.value, one.critical)
    made = builder.sign(key, hashes.SHA256())
    return Signed(made.public_bytes(serialization.Encoding.PEM), signed.key)


def test_a_certificate_that_strict_clients_refuse_is_made_anew(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = pki.new_ca("cubernetes-ca", now)
    new = pki.new_cert(NODE, ca, now)
    old = without(pki.SIGNER, new, ca)
    client = context_of(new, ca, tmp_path, is_server=False)

    with pytest.raises(ssl.SSLCertVerificationError, match="Authority Key Identifier"):
        must_shake_hands(context_of(old, ca, tmp_path, is_server=True), client, "192.168.78.11")
    assert pki.is_good(new, now)
    assert not pki.is_good(old, now)


def test_an_authority_that_strict_clients_refuse_is_completed_and_keeps_its_key(
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC)
    ca = pki.new_ca("cubernetes-ca", now)
    old = without(pki.OWN_KEY, ca, ca)
    signed = pki.new_cert(NODE, old, now)
    server = context_of(signed, old, tmp_path, is_server=True)

    with pytest.raises(ssl.SSLCertVerificationError, match="Subject Key Identifier"):
        must_shake_hands(
            server, context_of(signed, old, tmp_path, is_server=False), "192.168.78.11"
        )
    whole = pki.completed(old)
    server = context_of(signed, whole, tmp_path, is_server=True)
    must_shake_hands(server, context_of(signed, whole, tmp_path, is_server=False), "192.168.78.11")
    assert pki.pin_of(whole.cert) == pki.pin_of(old.cert)
    assert whole.key == old.key
    assert pki.completed(ca) == ca


def test_a_serving_certificate_serves_and_a_client_certificate_does_not() -> None:
    ca = pki.new_ca("cubernetes-ca", NOW)
    client = pki.new_cert(Identity("kubernetes-admin", ("system:masters",)), ca, NOW)
    found = x509.load_pem_x509_certificate(client.cert)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    trusted = Store([x509.load_pem_x509_certificate(ca.cert)])
    verifier = PolicyBuilder().store(trusted).time(NOW).build_client_verifier()
    assert verifier is not None


@pytest.mark.parametrize("ahead_s", [-290, -100, 0, 100])
def test_a_new_certificate_is_good_for_who_is_a_little_behind_or_ahead(ahead_s: int) -> None:
    ca = pki.new_ca("cubernetes-ca", NOW)
    signed = pki.new_cert(NODE, ca, NOW)
    there = NOW + timedelta(seconds=ahead_s)

    for pem in (ca.cert, signed.cert):
        cert = x509.load_pem_x509_certificate(pem)
        assert cert.not_valid_before_utc <= there < cert.not_valid_after_utc
    assert pki.is_good(signed, there)


def test_the_pin_is_of_the_key_and_survives_a_new_certificate_text() -> None:
    ca = pki.new_ca("cubernetes-ca", NOW)

    assert pki.pin_of(ca.cert) == pki.pin_of(b"# a comment\n" + ca.cert)
    assert pki.pin_of(ca.cert).startswith("sha256:")
    with pytest.raises(ValueError, match="PEM"):
        pki.pin_of(b"no certificate")


@pytest.mark.parametrize(
    ("age", "is_good"),
    [
        (timedelta(0), True),
        (CERT_LIFE / 2, True),
        (CERT_LIFE * 0.66, True),
        (CERT_LIFE * 0.67, False),
        (CERT_LIFE + timedelta(days=1), False),
    ],
)
def test_a_certificate_is_good_while_more_than_a_third_of_its_life_is_left(
    age: timedelta, is_good: bool
) -> None:
    signed = pki.new_cert(NODE, pki.new_ca("cubernetes-ca", NOW), NOW)

    assert pki.is_good(signed, NOW + age) == is_good


def test_a_certificate_with_the_key_of_another_or_that_is_none_is_not_good() -> None:
    ca = pki.new_ca("cubernetes-ca", NOW)
    one, other = (pki.new_cert(NODE, ca, NOW) for _ in range(2))

    assert pki.is_good(one, NOW)
    for signed in (
        Signed(one.cert, other.key),
        Signed(one.key, one.cert),
        Signed(one.cert, b""),
        Signed(b"", one.key),
        Signed(one.cert[: len(one.cert) // 2], one.key),
        Signed(one.cert, b"\xff no key"),
    ):
        assert not pki.is_good(signed, NOW)
