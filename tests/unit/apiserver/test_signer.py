"""What the authority signs, and the many things that it does not."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.enrolment.signer import Authority
from cubernetes.api.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEM = serialization.Encoding.PEM
CN, ORG, UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME
NODE = ((CN, "system:node:n1"), (ORG, "system:nodes"))
PROXY = ((CN, "system:proxy:n1"), (ORG, "system:proxies"))
KEY = ec.generate_private_key(ec.SECP256R1())

type Subject = tuple[tuple[x509.ObjectIdentifier, str], ...]
type AnyKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Now:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, span_s: float) -> None:
        raise AssertionError("nobody sleeps here")


def an_authority(key: ec.EllipticCurvePrivateKey = KEY) -> Authority:
    name = x509.Name([x509.NameAttribute(CN, "ca")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
        .sign(KEY, hashes.SHA256())
    )
    pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Authority(cert.public_bytes(PEM), pem, Now())


def a_request(
    subject: Subject, *names: x509.GeneralName, key: AnyKey | None = None, is_ca: bool = False
) -> str:
    own = key or ec.generate_private_key(ec.SECP256R1())
    parts = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    builder = x509.CertificateSigningRequestBuilder().subject_name(parts)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if is_ca:
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(own, hashes.SHA256()).public_bytes(PEM).decode()


def ip(text: str) -> x509.IPAddress:
    from ipaddress import ip_address

    return x509.IPAddress(ip_address(text))


def signed(use: str, request: str) -> x509.Certificate:
    made = an_authority().sign("n1", ("10.0.0.1",), use, request)
    cert = x509.load_pem_x509_certificate(made.pem.encode())
    assert made.serial == f"{cert.serial_number:X}"
    return cert


@pytest.mark.parametrize(
    ("use", "request_", "usage"),
    [
        ("kubelet", a_request(NODE), ExtendedKeyUsageOID.CLIENT_AUTH),
        ("kubelet", a_request(tuple(reversed(NODE))), ExtendedKeyUsageOID.CLIENT_AUTH),
        ("proxy", a_request(PROXY), ExtendedKeyUsageOID.CLIENT_AUTH),
        (
            "kubelet-serving",
            a_request(NODE, x509.DNSName("n1"), ip("10.0.0.1")),
            ExtendedKeyUsageOID.SERVER_AUTH,
        ),
    ],
)
def test_a_node_gets_what_its_name_allows(
    use: str, request_: str, usage: x509.ObjectIdentifier
) -> None:
    cert = signed(use, request_)

    cert.verify_directly_issued_by(x509.load_pem_x509_certificate(an_authority().ca_pem.encode()))
    assert list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert cert.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert cert.not_valid_after_utc == NOW + timedelta(days=365)


def test_of_a_request_only_the_key_and_the_names_are_taken_over() -> None:
    cert = signed("kubelet", a_request(NODE, is_ca=True))

    assert cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


# Made by openssl: what this library neither makes nor reads.
A_STRANGE_CURVE = """-----BEGIN CERTIFICATE REQUEST-----
MIHsMIGSAgEAMDAxFzAVBgNVBAMMDnN5c3RlbTpub2RlOm4xMRUwEwYDVQQKDAxz
eXN0ZW06bm9kZXMwWTATBgcqhkjOPQIBBggqgRzPVQGCLQNCAAQGhyzkVpkE8Fmw
4ieSCiceyJ9sXhoPbZ+pndBMQLDHwICTLUAS+cdhTHRZ/o0S6L2DGn4Z4a9q6aek
itzqlIzooAAwCgYIKoEcz1UBg3UDSQAwRgIhAPeWwJPvcxRmxi7diS9+9VM5VnL3
hD2Ra00uI2+F+pYXAiEAv8Agiis/36DKFTbdmb+9WKUqf1a4fHKcuT8Qmq9kNWg=
-----END CERTIFICATE REQUEST-----
"""
AN_X400_NAME = """-----BEGIN CERTIFICATE REQUEST-----
MIIBCzCBsgIBADAwMRcwFQYDVQQDDA5zeXN0ZW06bm9kZTpuMTEVMBMGA1UECgwM
c3lzdGVtOm5vZGVzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPrtwTMRh1wZq
/4jRfWy0SjkJxu1slFl0GFZ77ZK3JvFGyy1n3zrpY+vnyGhVxnmM7eXs78kMPI6v
HmEX7U7uk6AgMB4GCSqGSIb3DQEJDjERMA8wDQYDVR0RBAYwBKMCMAAwCgYIKoZI
zj0EAwIDSAAwRQIgJ68Go9hXO9AvKzPSCmw2q3r7SNMnGc9cWejvaGxmYpcCIQCk
eBJv/poTAEXlQRSdPT+KxEzKhOdCNgqJ0cyjDebEog==
-----END CERTIFICATE REQUEST-----
"""
BAD: dict[str, tuple[str, str]] = {
    "masters": ("kubelet", a_request(((CN, "system:node:n1"), (ORG, "system:masters")))),
    "masters too": ("kubelet", a_request((*NODE, (ORG, "system:masters")))),
    "another node": ("kubelet", a_request(((CN, "system:node:n2"), (ORG, "system:nodes")))),
    "a longer name": ("kubelet", a_request(((CN, "system:node:n1.evil"), (ORG, "system:nodes")))),
    "an admin": ("kubelet", a_request(((CN, "kubernetes-admin"), (ORG, "system:masters")))),
    "no group": ("kubelet", a_request((NODE[0],))),
    "no name": ("kubelet", a_request((NODE[1],))),
    "two names": ("kubelet", a_request((*NODE, (CN, "kubernetes-admin")))),
    "a unit": ("kubelet", a_request((*NODE, (UNIT, "x")))),
    "nobody": ("kubelet", a_request(())),
    "a proxy as kubelet": ("kubelet", a_request(PROXY)),
    "a kubelet as proxy": ("proxy", a_request(NODE)),
    "upper case": ("kubelet", a_request(((CN, "System:Node:n1"), (ORG, "system:nodes")))),
    "a client with names": ("kubelet", a_request(NODE, x509.DNSName("n1"))),
    "another host": ("kubelet-serving", a_request(NODE, x509.DNSName("n2"))),
    "a wildcard": ("kubelet-serving", a_request(NODE, x509.DNSName("*"))),
    "the API": ("kubelet-serving", a_request(NODE, x509.DNSName("kubernetes"))),
    "another address": ("kubelet-serving", a_request(NODE, ip("10.0.0.2"))),
    "loopback": ("kubelet-serving", a_request(NODE, ip("127.0.0.1"))),
    "IPv6": ("kubelet-serving", a_request(NODE, ip("::1"))),
    "a URI": ("kubelet-serving", a_request(NODE, x509.UniformResourceIdentifier("spiffe://x"))),
    "mail": ("kubelet-serving", a_request(NODE, x509.RFC822Name("a@b.c"))),
    "P-384": ("kubelet", a_request(NODE, key=ec.generate_private_key(ec.SECP384R1()))),
    "RSA": ("kubelet", a_request(NODE, key=rsa.generate_private_key(65537, 2048))),
    "a strange curve": ("kubelet", A_STRANGE_CURVE),
    "an X.400 name": ("kubelet-serving", AN_X400_NAME),
    "an unknown use": ("admin", a_request(NODE)),
    "no PEM": ("kubelet", "nonsense"),
    "empty": ("kubelet", ""),
    "too long": ("kubelet", "x" * 100_000),
    "a certificate": ("kubelet", an_authority().ca_pem),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_asks_for_more_is_refused(name: str) -> None:
    use, request = BAD[name]
    with pytest.raises(Invalid) as refused:
        an_authority().sign("n1", ("10.0.0.1",), use, request)
    assert refused.value.problems[0].field == f"requests[{use}]"


def test_a_request_signed_with_another_key_is_refused() -> None:
    text = a_request(NODE)
    lines = text.splitlines()
    # One letter of the signature changed.
    lines[-2] = ("B" if lines[-2][0] != "B" else "C") + lines[-2][1:]
    with pytest.raises(Invalid):
        an_authority().sign("n1", (), "kubelet", "\n".join(lines))


def test_a_key_that_is_not_the_authoritys_does_not_start() -> None:
    with pytest.raises(ValueError, match="not the one of its certificate"):
        an_authority(ec.generate_private_key(ec.SECP256R1()))
