"""Certificates name who they should, and a pin names one key."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from cuberoot import pki
from cuberoot.pki import CERT_LIFE, Signed
from cuberoot.program import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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
