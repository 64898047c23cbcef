"""The cluster's key for tokens of service accounts: JSON Web Tokens of one algorithm, ES256.

Of a token's head only the algorithm and the key's name are looked at, and both must be ours: what
a token says of itself chooses nothing.
"""

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

ALGORITHM = "ES256"
NUMBER_BYTES = 32  # each of the two of a signature
# Tokens whose signatures are known to be good; a good one never turns bad.
KNOWN_MAX = 4096


class Head(msgspec.Struct, frozen=True):
    """What stands before a token's claims."""

    alg: str
    kid: str


class AccountKeys:
    """Signs with the newest key, and knows the signatures of all; the keys stay in here."""

    def __init__(self, *keys_pem: bytes, retired: Iterable[bytes] = ()) -> None:
        """retired: public keys of those that signed before.

        Raises: ValueError: one is no EC P-256 key in PEM, or there is none.
        """
        keys = [_key_in(one) for one in keys_pem]
        if not keys:
            raise ValueError("no key for tokens of service accounts")
        self._key = keys[0]
        publics = [*(one.public_key() for one in keys), *(_public_in(one) for one in retired)]
        self._publics = {_name_of(one): one for one in publics}
        self._head = _text(msgspec.json.encode(Head(ALGORITHM, _name_of(publics[0]))))
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def sign(self, claims: bytes) -> str:
        """Return the token that says this."""
        content = f"{self._head}.{_text(claims)}"
        r, s = decode_dss_signature(self._key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        numbers = r.to_bytes(NUMBER_BYTES, "big") + s.to_bytes(NUMBER_BYTES, "big")
        return f"{content}.{_text(numbers)}"

    def claims_in(self, token: str) -> bytes | None:
        """Return what a token says that one of the keys signed; None for every other."""
        if (found := self._known.get(token)) is not None:
            self._known.move_to_end(token)
            return found
        claims = self._read(token)
        if claims is not None:
            self._known[token] = claims
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return claims

    def _read(self, token: str) -> bytes | None:
        content, _, signature = token.rpartition(".")
        head, _, claims = content.partition(".")
        try:
            said = msgspec.json.decode(_bytes(head), type=Head)
            numbers = _bytes(signature)
            public = self._publics.get(said.kid)
            if said.alg != ALGORITHM or public is None or len(numbers) != 2 * NUMBER_BYTES:
                return None
            r, s = (int.from_bytes(one, "big") for one in (numbers[:32], numbers[32:]))
            signed = encode_dss_signature(r, s)
            public.verify(signed, content.encode("ascii"), ec.ECDSA(hashes.SHA256()))
            return _bytes(claims)
        except (ValueError, InvalidSignature, msgspec.MsgspecError):
            return None


def _key_in(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("a key for tokens must be an EC P-256 key")  # noqa: TRY004  a wrong file
    return key


def _public_in(pem: bytes) -> ec.EllipticCurvePublicKey:
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("a key for tokens must be an EC P-256 key")  # noqa: TRY004  a wrong file
    return key


def _name_of(key: ec.EllipticCurvePublicKey) -> str:
    spki = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _text(hashlib.sha256(spki).digest())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Raises: ValueError: it is not what `_text` makes."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if _text(content) != text:
        raise ValueError("not in its only form")
    return content
