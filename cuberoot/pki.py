"""Keys and certificates: EC P-256 throughout, written so that only root can read a key."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import ExtensionOID, NameOID

from cuberoot.layout import Pair
from cuberoot.program import Identity

CA_LIFE = timedelta(days=3650)
CERT_LIFE = timedelta(days=365)
# When only this part of a certificate's life is left, it is time for another: a third.
RENEWED_AT = 3
# Clocks of the nodes may disagree by this much.
BACKDATE = timedelta(minutes=5)
PIN_PREFIX = "sha256:"
SIGNER, OWN_KEY = ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.SUBJECT_KEY_IDENTIFIER


class Signed(NamedTuple):
    """A certificate and its key, PEM."""

    cert: bytes
    key: bytes


def new_ca(name: str, now: datetime) -> Signed:
    """Return a certificate authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key(), now, CA_LIFE)
    return Signed(_as_authority(builder, key), _pem(key))


def completed(ca: Signed) -> Signed:
    """Return an authority whose certificate names its own key; one that does is returned as it is.

    An older version left that out, which strict clients, as those of Python 3.13, refuse. Key,
    pin and life stay, so that what it has signed stays good.
    """
    old = x509.load_pem_x509_certificate(ca.cert)
    if any(one.oid == OWN_KEY for one in old.extensions):
        return ca
    key = _key_of(ca)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    builder = builder.not_valid_before(old.not_valid_before_utc)
    builder = builder.not_valid_after(old.not_valid_after_utc)
    return Signed(_as_authority(builder, key), ca.key)


def _as_authority(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    cert = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(own, critical=False)
        .add_extension(_signer(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert.public_bytes(serialization.Encoding.PEM)


def public_key(key: bytes) -> bytes:
    """Return the public half of a private key, PEM."""
    public = serialization.load_pem_private_key(key, None).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form)


def new_cert(identity: Identity, ca: Signed, now: datetime) -> Signed:
    """Return a certificate for identity, signed by ca."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(ca.cert)
    signer = _key_of(ca)
    builder = _builder(_subject(identity), issuer.subject, key.public_key(), now, CERT_LIFE)
    usages = [Usage.SERVER_AUTH] if identity.is_server else []
    usages += [Usage.CLIENT_AUTH] if identity.is_client else []
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(_signer(signer.public_key()), critical=False)
    alternatives = _alternatives(identity)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    cert = builder.sign(signer, hashes.SHA256())
    return Signed(cert.public_bytes(serialization.Encoding.PEM), _pem(key))


def new_request(identity: Identity) -> Signed:
    """Return a certificate request (in `cert`) and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(identity))
    alternatives = _alternatives(identity)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    request = builder.sign(key, hashes.SHA256())
    return Signed(request.public_bytes(serialization.Encoding.PEM), _pem(key))


def pin_of(ca: bytes) -> str:
    """Return the pin of a CA certificate (PEM): the SHA-256 of its public key, as kubeadm's.

    Raises:
        ValueError: ca is not a certificate.
    """
    public = x509.load_pem_x509_certificate(ca).public_key()
    spki = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PIN_PREFIX + hashlib.sha256(spki).hexdigest()


def is_pin(text: str) -> bool:
    """Whether a text has the form of a pin, whole."""
    return re.fullmatch(PIN_PREFIX + "[0-9a-f]{64}", text) is not None


def expires_at(cert: bytes) -> datetime:
    return x509.load_pem_x509_certificate(cert).not_valid_after_utc


def is_good(signed: Signed, now: datetime) -> bool:
    """True for a certificate with its own key, and more than a third of its life left.

    One of an older version that does not name its signer's key is not good: strict clients, as
    those of Python 3.13, refuse it.
    """
    try:
        cert = x509.load_pem_x509_certificate(signed.cert)
        key = serialization.load_pem_private_key(signed.key, None)
    except ValueError:
        return False
    begin, end = cert.not_valid_before_utc, cert.not_valid_after_utc
    is_own = isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == cert.public_key()
    is_traced = any(one.oid == SIGNER for one in cert.extensions)
    return is_own and is_traced and now < end - (end - begin) / RENEWED_AT


def read(pair: Pair) -> Signed:
    return Signed(pair.cert.read_bytes(), pair.key.read_bytes())


def _key_of(ca: Signed) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(ca.key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key of a certificate authority of ours is an EC key")
    return key


def _subject(identity: Identity) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in identity.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])


def _alternatives(identity: Identity) -> Sequence[x509.GeneralName]:
    return [
        *(x509.DNSName(one) for one in identity.names),
        *(x509.IPAddress(IPv4Address(one)) for one in identity.addresses),
    ]


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _signer(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    """Return what names the signer's key: a strict client, as Python 3.13's, demands it."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
