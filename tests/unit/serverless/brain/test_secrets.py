"""Variables of functions from Secrets."""

import pytest

from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.serverless.function import SecretVariable
from serverless.brain.naming import digest_of
from serverless.brain.secrets import BYTES_MAX, Lacking, values_of
from tests.unit.serverless.functionworld import a_function

WANTED = SecretVariable(name="mail", key="password", env="PASSWORD")


def a_secret(**texts: str) -> Secret:
    return Secret(metadata=ObjectMeta(name="mail"), string_data=texts).defaulted()


def test_a_value_is_found_by_its_secret_and_key() -> None:
    user = SecretVariable(name="mail", key="user", env="USER")

    found = values_of((WANTED, user), {"mail": a_secret(user="ann", password="plain")})

    assert found == {"PASSWORD": "plain", "USER": "ann"}


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        (None, "there is no Secret mail"),
        (a_secret(other="x"), "Secret mail has no key password"),
        (replaced(a_secret(), data={"password": "c2VjcmV0/w=="}), "is no UTF-8 at key password"),
        (a_secret(password="sec\0ret"), "zero byte at key password"),
        (a_secret(password="x" * (BYTES_MAX + 1)), f"{BYTES_MAX + 1} bytes, at most {BYTES_MAX}"),
    ],
)
def test_what_is_lacking_is_told_without_its_value(secret: Secret | None, told: str) -> None:
    with pytest.raises(Lacking, match=told) as lacking:
        values_of((WANTED,), {"mail": secret})

    assert lacking.value.__cause__ is None
    assert "sec" not in str(lacking.value).replace("Secret", "").replace("spec.secrets", "")


def test_another_secret_is_another_revision_and_none_is_the_one_of_before() -> None:
    plain = digest_of(a_function().spec)
    one = digest_of(a_function(secrets=(WANTED,)).spec)
    other = digest_of(a_function(secrets=(replaced(WANTED, key="token"),)).spec)

    assert len({plain, one, other}) == 3
    # As it was before there were secrets: what runs is not loaded again.
    assert plain == "dcf3c558"
