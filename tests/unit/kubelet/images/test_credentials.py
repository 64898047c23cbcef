"""Which logins fit an image, by the table that Kubernetes documents for imagePullSecrets."""

import base64
import json

import pytest

from cubernetes.api.core.data.configdata import encoded
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta
from kubelet.images.credentials import LOGINS_MAX, logins_for
from kubelet.runtime.driver import Login

ANN = Login("ann", "word-1")


def a_secret(entries: object, *, is_old: bool = False) -> Secret:
    kind, key = ("dockercfg", ".dockercfg") if is_old else ("dockerconfigjson", ".dockerconfigjson")
    content = json.dumps(entries if is_old else {"auths": entries}).encode()
    meta = ObjectMeta(name="logins", namespace="shop")
    return Secret(metadata=meta, type=f"kubernetes.io/{kind}", data={key: encoded(content)})


def an_entry(login: Login = ANN) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}


@pytest.mark.parametrize(
    ("key", "image", "fits"),
    [
        ("registry.example", "registry.example/team/web:1", True),
        ("https://registry.example", "registry.example/team/web:1", True),
        ("http://registry.example/", "registry.example/web@sha256:" + "0" * 64, True),
        ("https://registry.example/v2/", "registry.example/web", True),
        ("registry.example/team", "registry.example/team/web", True),
        ("registry.example/team", "registry.example/other/web", False),
        ("registry.example", "registry.example:5000/web", False),
        ("registry.example:5000", "registry.example:5000/web:1", True),
        ("registry.example:5000", "registry.example/web", False),
        ("*.registry.example", "eu.registry.example/web", True),
        ("*.registry.example", "registry.example/web", False),
        ("*.registry.example", "a.eu.registry.example/web", False),
        ("*.example", "eu.example.com/web", False),
        ("eu.example.com", "eu.example/web", False),
        ("prefix.*.example", "prefix.eu.example/web", True),
        ("*-eu.example", "team-eu.example/web", True),
        ("*.example/team", "eu.example/team/web", True),
        ("registry.example", "evil.example/registry.example/web", False),
        ("localhost:5000", "localhost:5000/web", True),
        ("https://index.docker.io/v1/", "busybox:1", True),
        ("https://index.docker.io/v1/", "team/web", True),
        ("docker.io", "docker.io/team/web:1", True),
        ("docker.io", "busybox", True),
        ("https://index.docker.io/v1/", "registry.example/web", False),
    ],
)
def test_a_login_fits_the_images_of_its_registry_and_path(key: str, image: str, fits: bool) -> None:
    for secret in (a_secret({key: an_entry()}), a_secret({key: an_entry()}, is_old=True)):
        assert logins_for(image, [secret]) == ([ANN] if fits else [])


def test_of_several_logins_the_one_with_the_longest_path_comes_first() -> None:
    team, host = Login("team", "w"), Login("host", "w")
    secrets = [
        a_secret({"registry.example": an_entry(host)}),
        a_secret({"registry.example/team": an_entry(team), "other.example": an_entry()}),
    ]

    for order in (secrets, secrets[::-1]):
        assert logins_for("registry.example/team/web", order) == [team, host]


def test_auth_wins_over_user_name_and_password_which_do_alone() -> None:
    plain = {"username": "bob", "password": "w:2"}

    assert logins_for("r.example/web", [a_secret({"r.example": plain})]) == [Login("bob", "w:2")]
    assert logins_for("r.example/web", [a_secret({"r.example": plain | an_entry()})]) == [ANN]


@pytest.mark.parametrize(
    "entry",
    [None, 3, {}, {"auth": "%%"}, {"auth": base64.b64encode(b"no colon").decode()}, {"auth": 7}],
)
def test_what_cannot_be_read_is_no_login_and_no_failure(entry: object) -> None:
    assert logins_for("r.example/web", [a_secret({"r.example": entry})]) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"no json", b'{"auths": 1}', b"\xff"])
def test_a_configuration_of_another_shape_holds_none(content: bytes) -> None:
    one = Secret(
        metadata=ObjectMeta(name="a", namespace="b"),
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": encoded(content)},
    )
    assert logins_for("r.example/web", [one]) == []


def test_a_secret_of_another_type_is_no_login() -> None:
    one = a_secret({"r.example": an_entry()})
    other = Secret(metadata=one.metadata, type="Opaque", data=one.data)
    assert logins_for("r.example/web", [other]) == []


def test_one_login_is_tried_once_and_not_without_end() -> None:
    twice = [a_secret({"r.example": an_entry()}), a_secret({"r.example/web": an_entry()})]
    assert logins_for("r.example/web", twice) == [ANN]
    many = [a_secret({"r.example": an_entry(Login(f"u{index}", "w"))}) for index in range(40)]
    assert len(logins_for("r.example/web", many)) == LOGINS_MAX


def test_a_password_is_not_in_a_logins_text() -> None:
    assert "word-1" not in repr(ANN)
