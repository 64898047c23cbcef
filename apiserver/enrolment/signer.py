"""The cluster's certificate authority: signs what a joining node may have, and nothing beyond.

A request says who it wants to be; it gets that only where it is exactly what its node may be.
What is signed is built anew: of the request, only its key and its checked names are taken over.
"""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Address
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from apiserver.auth.authorize import (
    GATEWAY_PREFIX,
    GATEWAYS,
    NODE_PREFIX,
    NODES,
    PROXIES,
    PROXY_PREFIX,
    RESOLVER_PREFIX,
    RESOLVERS,
)
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.errors import Problem
from cubernetes.host.clock import Clock

LIFE = timedelta(days=365)
# Clocks of nodes may differ by this much.
BACKDATE = timedelta(minutes=5)
REQUEST_CHARS_MAX = 16 * 1024


# What the library raises of a request that it cannot, or will not, read.
UNREADABLE = (
    ValueError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Profile(NamedTuple):
    """What one use of a certificate allows: the CN's beginning, its O, and whether it serves."""

    prefix: str
    group: str
    is_server: bool = False


PROFILES: Mapping[str, Profile] = {
    "kubelet": Profile(NODE_PREFIX, NODES),
    "kubelet-serving": Profile(NODE_PREFIX, NODES, is_server=True),
    "proxy": Profile(PROXY_PREFIX, PROXIES),
    # Of a node that runs one: an optional program.
    "gateway": Profile(GATEWAY_PREFIX, GATEWAYS),
    "resolver": Profile(RESOLVER_PREFIX, RESOLVERS),
}


class Signed(NamedTuple):
    """A certificate, and its serial number in upper-case hexadecimal."""

    pem: str
    serial: str


class SigningRefused(Exception):
    """Why a request is not signed."""


class Authority:
    """Signs with the cluster's CA; the key stays in here."""

    def __init__(self, ca_pem: bytes, key_pem: bytes, clock: Clock) -> None:
        """Raises: ValueError: not a certificate and its EC key, both PEM."""
        self._ca = x509.load_pem_x509_certificate(ca_pem)
        key = serialization.load_pem_private_key(key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the CA's key must be an EC key")  # noqa: TRY004  a wrong file
        if key.public_key() != self._ca.public_key():
            raise ValueError("the CA's key is not the one of its certificate")
        self._key = key
        self._clock = clock

    @property
    def ca_pem(self) -> str:
        return self._ca.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, node: str, addresses: tuple[str, ...], use: str, request: str) -> Signed:
        """Return the certificate for one use of a node.

        Raises: Invalid: it asks for what this node may not have, or is no request at all.
        """
        field = f"requests[{use[:40]}]"
        try:
            profile = PROFILES[use]
            asked = _checked(profile, node, addresses, request)
        except KeyError as error:
            listed = ", ".join(PROFILES)
            problem = Problem(field, f"must be one of {listed}", "FieldValueNotSupported")
            raise invalid("JoinRequest", node, [problem]) from error
        except SigningRefused as why:
            raise invalid("JoinRequest", node, [Problem(field, str(why))]) from why
        signed = self._certificate(profile, asked)
        pem = signed.public_bytes(serialization.Encoding.PEM).decode()
        return Signed(pem, f"{signed.serial_number:X}")

    def _certificate(
        self, profile: Profile, asked: x509.CertificateSigningRequest
    ) -> x509.Certificate:
        now = self._clock.now()
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        if profile.is_server:
            usage = ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(asked.subject)
            .issuer_name(self._ca.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + LIFE, self._ca.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if profile.is_server:
            builder = builder.add_extension(_alternatives(asked), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _checked(
    profile: Profile, node: str, addresses: tuple[str, ...], text: str
) -> x509.CertificateSigningRequest:
    """Return the request, if it asks for no more than its profile gives this node.

    Raises: SigningRefused.
    """
    if len(text) > REQUEST_CHARS_MAX:
        raise SigningRefused("is too long for a certificate request")
    try:
        asked = x509.load_pem_x509_csr(text.encode())
        is_signed, key, subject = asked.is_signature_valid, asked.public_key(), asked.subject
    except UNREADABLE as error:
        raise SigningRefused("is not a certificate request (PEM) of a kind known here") from error
    if not is_signed:
        raise SigningRefused("is not signed with its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SigningRefused("must have an EC P-256 key")
    _check_subject(profile, node, subject)
    _check_names(profile, node, addresses, asked)
    return asked


def _check_subject(profile: Profile, node: str, subject: x509.Name) -> None:
    wanted: list[tuple[ObjectIdentifier, str]] = [
        (NameOID.COMMON_NAME, profile.prefix + node),
        (NameOID.ORGANIZATION_NAME, profile.group),
    ]
    found = [(attribute.oid, str(attribute.value)) for attribute in subject]
    if sorted(found, key=str) != sorted(wanted, key=str):
        raise SigningRefused(f"its subject must be CN={profile.prefix}{node}, O={profile.group}")


def _check_names(
    profile: Profile,
    node: str,
    addresses: tuple[str, ...],
    asked: x509.CertificateSigningRequest,
) -> None:
    alternatives = _alternatives(asked)
    if not profile.is_server and len(alternatives):
        raise SigningRefused("must have no subject alternative names")
    allowed: list[x509.GeneralName] = [x509.DNSName(node)]
    allowed += [x509.IPAddress(IPv4Address(address)) for address in addresses]
    for name in alternatives:
        if name not in allowed:
            raise SigningRefused(f"its alternative name {name.value!r} is not of this node")


def _alternatives(asked: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName:
    try:
        return asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
    except UNREADABLE as error:
        raise SigningRefused("its extensions cannot be read") from error


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
