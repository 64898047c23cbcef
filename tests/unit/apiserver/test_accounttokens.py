"""Tokens of service accounts: what is signed is known again, and nothing else is."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apiserver.auth.accounts import (
    Account,
    Bonds,
    Claims,
    Incarnation,
    claims_for,
    claims_refusal,
    is_account,
    token_in,
)
from apiserver.enrolment.accountkeys import AccountKeys
from apiserver.run import account_keys
from apiserver.settings import Settings
from apiserver.subresources.tokens import problems_of
from cubernetes.api.bodies.accounts import BoundObjectReference, TokenRequestSpec
from cubernetes.host.web.messages import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ISSUER = "https://kubernetes.default.svc.cluster.local"
BONDS = Bonds("shop", Incarnation("till", "u1"), pod=Incarnation("till-0", "u2"))
PEM = serialization.Encoding.PEM


def a_key(curve: ec.EllipticCurve | None = None) -> bytes:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    kind, nothing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(PEM, kind, nothing)


def claims(spec: TokenRequestSpec | None = None, *, most_s: int = 86_400) -> Claims:
    asked = spec or TokenRequestSpec()
    return claims_for(asked, BONDS, issuer=ISSUER, most_s=most_s, now=NOW, uid="j")


def refusal(one: Claims, *, after_s: int = 0, audience: str = ISSUER, issuer: str = ISSUER) -> str:
    now = NOW + timedelta(seconds=after_s)
    return claims_refusal(one, issuer=issuer, audiences=(audience,), now=now)


def test_what_a_key_has_signed_it_knows_again() -> None:
    keys = AccountKeys(a_key())
    token = keys.sign(b'{"sub": "x"}')

    assert keys.claims_in(token) == b'{"sub": "x"}'
    assert keys.claims_in(token) == b'{"sub": "x"}'


def test_a_token_of_an_older_key_is_good_and_one_of_another_cluster_is_not() -> None:
    old, new = a_key(), a_key()
    token = AccountKeys(old).sign(b"{}")

    assert AccountKeys(new, old).claims_in(token) == b"{}"
    assert AccountKeys(new).claims_in(token) is None


def public_of(pem: bytes) -> bytes:
    public = serialization.load_pem_private_key(pem, None).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form)


def test_tokens_of_a_retired_key_are_good_until_the_longest_lived_has_ended(
    tmp_path: Path,
) -> None:
    old, new, now_s = a_key(), a_key(), int(NOW.timestamp())
    (tmp_path / "now.key").write_bytes(new)
    retired = tmp_path / "retired"
    retired.mkdir()
    (retired / f"{now_s - 100}.pub").write_bytes(public_of(old))
    settings = Settings(
        account_key=str(tmp_path / "now.key"),
        account_keys_retired=str(retired),
        account_token_s_max=3600,
    )
    token = AccountKeys(old).sign(b"{}")

    keys = account_keys(settings, NOW)
    assert keys is not None
    assert keys.claims_in(token) == b"{}"
    assert AccountKeys(new).claims_in(keys.sign(b"1")) == b"1"

    later = account_keys(settings, NOW + timedelta(hours=1))
    assert later is not None
    assert later.claims_in(token) is None


@pytest.mark.parametrize("place", [0, 1, 2], ids=["head", "claims", "signature"])
def test_a_token_of_which_a_letter_is_another_is_no_token(place: int) -> None:
    keys = AccountKeys(a_key())
    parts = keys.sign(b'{"sub": "system:serviceaccount:a:b"}').split(".")
    middle = len(parts[place]) // 2
    other = "A" if parts[place][middle] != "A" else "B"
    parts[place] = parts[place][:middle] + other + parts[place][middle + 1 :]

    assert keys.claims_in(".".join(parts)) is None


def test_a_head_chooses_neither_the_algorithm_nor_none() -> None:
    keys = AccountKeys(a_key())
    head, said, signature = keys.sign(b"{}").split(".")
    name = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    for algorithm in ("none", "HS256", "ES384"):
        content = json.dumps({"alg": algorithm, "kid": name}).encode()
        forged = base64.urlsafe_b64encode(content).decode().rstrip("=")
        for end in (signature, ""):
            assert keys.claims_in(f"{forged}.{said}.{end}") is None


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b.c", "eyJ.eyJ.", "é.é.é"])
def test_what_is_no_token_is_none(text: str) -> None:
    assert AccountKeys(a_key()).claims_in(text) is None


def test_only_keys_of_one_kind_sign() -> None:
    with pytest.raises(ValueError, match="P-256"):
        AccountKeys(a_key(ec.SECP384R1()))
    with pytest.raises(ValueError, match="no key"):
        AccountKeys()


def test_a_token_lives_as_long_as_was_asked_and_no_longer_than_the_server_gives() -> None:
    def life_s(one: Claims) -> int:
        return one.exp - one.iat

    assert life_s(claims()) == 3600
    assert life_s(claims(TokenRequestSpec(expiration_seconds=600))) == 600
    assert life_s(claims(TokenRequestSpec(expiration_seconds=10**6))) == 86_400


def test_a_token_is_for_the_server_unless_others_are_named() -> None:
    assert claims().aud == (ISSUER,)
    assert claims(TokenRequestSpec(audiences=("vault",))).aud == ("vault",)


def test_a_good_token_has_nothing_against_it_and_each_fault_is_named() -> None:
    assert refusal(claims(), after_s=3599) == ""
    assert refusal(claims(), after_s=3600) == "the token has expired"
    assert refusal(claims(), after_s=-60) == "the token is not good yet"
    assert refusal(claims(), audience="vault") == "the token is for another audience"
    assert refusal(claims(), issuer="https://other") == "the token is of another issuer"


def test_a_token_whose_subject_is_another_than_its_account_contradicts_itself() -> None:
    one = claims()
    other = Claims(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "sub": "x"})

    assert refusal(other) == "the token contradicts itself"


def test_an_account_is_a_user_in_the_groups_of_all_accounts_and_of_its_namespace() -> None:
    identity = Account("shop", "till").identity

    assert identity.user == "system:serviceaccount:shop:till"
    assert identity.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "system:authenticated",
    )
    assert is_account(identity)
    assert not is_account(Identity("system:serviceaccount:shop:till"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer eyJh.eyJz.c2ln", "eyJh.eyJz.c2ln"),
        ("bearer  eyJh.eyJz.c2ln ", "eyJh.eyJz.c2ln"),
        ("Bearer abcdefgh.secret", ""),
        ("Basic eyJh.eyJz.c2ln", ""),
        ("Bearer eyJh.eyJz", ""),
        ("Bearer eyJ" + "x" * 20_000 + ".y.z", ""),
        ("", ""),
    ],
)
def test_a_header_has_a_token_of_an_account_or_it_has_none(header: str, expected: str) -> None:
    assert token_in(header) == expected


def test_what_is_wrong_with_a_request_is_told_by_its_field() -> None:
    bound = BoundObjectReference(kind="Node", api_version="v1")
    spec = TokenRequestSpec(expiration_seconds=599, audiences=("",), bound_object_ref=bound)

    assert [one.field for one in problems_of(spec)] == [
        "spec.expirationSeconds",
        "spec.audiences",
        "spec.boundObjectRef.kind",
        "spec.boundObjectRef.name",
    ]
    assert problems_of(TokenRequestSpec(expiration_seconds=600)) == []
