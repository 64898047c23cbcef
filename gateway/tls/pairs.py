"""A certificate and its key as nginx reads them: one PEM, looked at before nginx has it.

nginx reads a pair in the middle of a handshake, where a bad one would cut the client off: what is
not good never comes to its disk.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import NameOID

from cubernetes.api.core.data import configdata

CERTIFICATE_KEY, PRIVATE_KEY, AUTHORITY_KEY = "tls.crt", "tls.key", "ca.crt"
SELF_MADE_NAME = "Cubernetes gateway, self-made"
SELF_MADE_LIFE = timedelta(days=365)
# Another one is made when so much of it is left.
SELF_MADE_LEFT_MIN = timedelta(days=30)
CHAIN_MAX = 16
AUTHORITIES_MAX = 64
# What nginx's OpenSSL serves at its ordinary level, and loads in a moment.
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 4096
CURVES = ("secp256r1", "secp384r1", "secp521r1")
TROUBLES = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


class BadPair(Exception):
    """A certificate and a key that cannot be served; the text says why and holds no secret."""


def pair_in(data: Mapping[str, str]) -> bytes:
    """Return the certificates and the key of a Secret's data as one PEM. Raises: BadPair."""
    parts = {}
    for name in (CERTIFICATE_KEY, PRIVATE_KEY):
        parts[name] = configdata.decoded(data.get(name, "")) or b""
        if not parts[name]:
            raise BadPair(f"{name} is empty")
    try:
        chain = x509.load_pem_x509_certificates(parts[CERTIFICATE_KEY])
    except TROUBLES as error:
        raise BadPair(f"{CERTIFICATE_KEY} holds no certificates in PEM") from error
    if len(chain) > CHAIN_MAX:
        raise BadPair(f"{CERTIFICATE_KEY} holds more than {CHAIN_MAX} certificates")
    key = _key_of(parts[PRIVATE_KEY], chain[0])
    # Written anew, so that nothing but certificates and a key is on the disk.
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain) + _pem(key)


def authorities_in(data: Mapping[str, str]) -> bytes:
    """Return the authorities of a Secret's data, as PEM written anew. Raises: BadPair."""
    content = configdata.decoded(data.get(AUTHORITY_KEY, "")) or b""
    if not content:
        raise BadPair(f"{AUTHORITY_KEY} is empty")
    try:
        found = x509.load_pem_x509_certificates(content)
    except TROUBLES as error:
        raise BadPair(f"{AUTHORITY_KEY} holds no certificates in PEM") from error
    if len(found) > AUTHORITIES_MAX:
        raise BadPair(f"{AUTHORITY_KEY} holds more than {AUTHORITIES_MAX} certificates")
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found)


def ends_at(pair: bytes) -> datetime:
    """Return when the certificate of a pair ends. Raises: BadPair."""
    try:
        return x509.load_pem_x509_certificates(pair)[0].not_valid_after_utc
    except TROUBLES as error:
        raise BadPair("no certificate") from error


def self_made(now: datetime) -> bytes:
    """Return a pair that no client trusts: it is served where there is no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SELF_MADE_NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + SELF_MADE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + _pem(key)


def needs_another(pair: bytes | None, now: datetime) -> bool:
    """Whether the self-made pair on the disk is none, or ends soon."""
    if pair is None:
        return True
    try:
        return ends_at(pair) - now < SELF_MADE_LEFT_MIN
    except BadPair:
        return True


def _key_of(content: bytes, certificate: x509.Certificate) -> PrivateKeyTypes:
    """Return the key of a certificate. Raises: BadPair."""
    try:
        key = serialization.load_pem_private_key(content, None)
    except TROUBLES as error:
        raise BadPair(f"{PRIVATE_KEY} holds no key in PEM without a passphrase") from error
    if not _is_served(key):
        raise BadPair(
            f"{PRIVATE_KEY} must be RSA of {RSA_BITS_MIN} to {RSA_BITS_MAX} bits,"
            f" Ed25519, or of the curve {', '.join(CURVES)}"
        )
    try:
        is_pair = _public(key.public_key()) == _public(certificate.public_key())
    except TROUBLES as error:
        raise BadPair(f"{CERTIFICATE_KEY} has a key that cannot be read") from error
    if not is_pair:
        raise BadPair(f"{PRIVATE_KEY} is not the key of {CERTIFICATE_KEY}")
    return key


def _is_served(key: PrivateKeyTypes) -> bool:
    if isinstance(key, rsa.RSAPrivateKey):
        return RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.curve.name in CURVES
    return isinstance(key, ed25519.Ed25519PrivateKey)


def _public(key: PublicKeyTypes) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, form)


def _pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
