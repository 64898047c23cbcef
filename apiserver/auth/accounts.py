"""Tokens of service accounts: what they say, for how long they are good, whom they name. Pure.

A token is a JWT: what it says is signed by the cluster's key, and kept nowhere. It ends with its
time, with its account, and with the pod or secret that it is bound to.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from cubernetes.api.bodies.accounts import TokenRequestSpec
from cubernetes.api.core.podspec.volumes.volume import LIFE_S_DEFAULT
from cubernetes.host.web.messages import Identity

ACCOUNT_PREFIX = "system:serviceaccount:"
ACCOUNTS = "system:serviceaccounts"
AUTHENTICATED = "system:authenticated"
TOKEN_CHARS_MAX = 16 * 1024
# Clocks of servers may differ by this much.
BACKDATE_S = 10


class Account(NamedTuple):
    """A service account by its place."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        return f"{ACCOUNT_PREFIX}{self.namespace}:{self.name}"

    @property
    def identity(self) -> Identity:
        groups = (ACCOUNTS, f"{ACCOUNTS}:{self.namespace}", AUTHENTICATED)
        return Identity(self.user, groups)


def is_account(identity: Identity) -> bool:
    """Whether a service account asks."""
    return identity.user.startswith(ACCOUNT_PREFIX) and ACCOUNTS in identity.groups


class Incarnation(msgspec.Struct, frozen=True):
    """An object by its name, and which incarnation of the name."""

    name: str
    uid: str


class Bonds(msgspec.Struct, frozen=True, omit_defaults=True):
    """The account of a token, and the object with which the token ends."""

    namespace: str
    serviceaccount: Incarnation
    pod: Incarnation | None = None
    secret: Incarnation | None = None


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says, in the words of JWT and Kubernetes; times in seconds since 1970."""

    iss: str
    sub: str
    aud: tuple[str, ...]
    iat: int
    nbf: int
    exp: int
    jti: str
    bonds: Bonds = msgspec.field(name="kubernetes.io")

    @property
    def account(self) -> Account:
        return Account(self.bonds.namespace, self.bonds.serviceaccount.name)


def claims_for(
    spec: TokenRequestSpec, bonds: Bonds, *, issuer: str, most_s: int, now: datetime, uid: str
) -> Claims:
    """Return what a token says that is asked for now; it lives for most_s at most."""
    asked_s = LIFE_S_DEFAULT if spec.expiration_seconds is None else spec.expiration_seconds
    now_s = int(now.timestamp())
    return Claims(
        iss=issuer,
        sub=Account(bonds.namespace, bonds.serviceaccount.name).user,
        aud=spec.audiences or (issuer,),
        iat=now_s,
        nbf=now_s,
        exp=now_s + min(asked_s, most_s),
        jti=uid,
        bonds=bonds,
    )


def token_in(authorization: str) -> str:
    """Return the JWT of an Authorization header; empty where it has none."""
    scheme, _, text = authorization[: TOKEN_CHARS_MAX + 10].partition(" ")
    token = text.strip()
    is_jwt = token.count(".") == 2 and token.startswith("eyJ") and len(token) <= TOKEN_CHARS_MAX
    return token if scheme.lower() == "bearer" and is_jwt else ""


def claims_refusal(claims: Claims, *, issuer: str, audiences: Iterable[str], now: datetime) -> str:
    """Return why a token with a good signature is good for nothing here; empty where it is."""
    now_s = now.timestamp()
    if claims.iss != issuer:
        return "the token is of another issuer"
    if not set(audiences) & set(claims.aud):
        return "the token is for another audience"
    if now_s >= claims.exp:
        return "the token has expired"
    if now_s < claims.nbf - BACKDATE_S:
        return "the token is not good yet"
    return "" if claims.sub == claims.account.user else "the token contradicts itself"
