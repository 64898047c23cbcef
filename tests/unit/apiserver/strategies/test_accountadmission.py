"""A new pod runs as an account, and finds its files unless one of the two says no."""

import pytest

from apiserver.strategies.admission.accounts import (
    LETTERS,
    TOKEN_FOLDER,
    ending_of,
    with_account,
)
from cubernetes.api.core.parts.objectref import LocalObjectReference
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, VolumeMount
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, Volume
from cubernetes.api.core.serviceaccount import ServiceAccount
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import ObjectMeta, replaced

MAIN = Container(name="main", image="busybox:1")
OWN = VolumeMount(name="own", mount_path=TOKEN_FOLDER)


def a_pod(*containers: Container, **spec: object) -> Pod:
    made = PodSpec(containers=containers or (MAIN,), **spec)  # type: ignore[arg-type]
    return Pod(metadata=ObjectMeta(name="web", namespace="shop"), spec=made)


def an_account(*, automount: bool | None = None) -> ServiceAccount:
    meta = ObjectMeta(name="till", namespace="shop")
    return ServiceAccount(metadata=meta, automount_service_account_token=automount)


def test_a_pod_that_names_no_account_runs_as_the_default_one() -> None:
    spec = with_account(a_pod(), None, 0.5).spec

    assert (spec.service_account_name, spec.service_account) == ("default", "default")


def test_a_pod_of_an_account_that_is_not_there_is_refused_by_its_name() -> None:
    with pytest.raises(Forbidden, match='shop/till: serviceaccount "till" not found'):
        with_account(a_pod(service_account_name="till"), None, 0.5)


@pytest.mark.parametrize(
    ("own", "of_account", "expected"),
    [
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (False, True, False),
        (True, False, True),
    ],
)
def test_the_pods_own_word_about_its_token_wins_over_its_accounts(
    own: bool | None, of_account: bool | None, expected: bool
) -> None:
    pod = a_pod(automount_service_account_token=own)

    spec = with_account(pod, an_account(automount=of_account), 0.5).spec

    assert bool(spec.volumes) == expected
    assert bool(spec.containers[0].volume_mounts) == expected


def test_every_container_finds_a_token_the_authority_and_the_namespace() -> None:
    pod = a_pod(init_containers=(Container(name="first", image="busybox:1"),))

    spec = with_account(pod, an_account(), 0.5).spec

    (volume,) = spec.volumes
    assert volume.projected is not None
    token, authority, field = volume.projected.sources
    assert token.service_account_token is not None
    assert (token.service_account_token.path, token.service_account_token.audience) == ("token", "")
    assert authority.config_map is not None
    assert authority.config_map.name == "kube-root-ca.crt"
    assert field.downward_api is not None
    for one in (*spec.containers, *spec.init_containers):
        (mount,) = one.volume_mounts
        assert (mount.name, mount.mount_path, mount.read_only) == (volume.name, TOKEN_FOLDER, True)
    assert list(Pod(metadata=pod.metadata, spec=spec).problems()) == []


def test_what_a_container_mounts_there_itself_stays() -> None:
    own = Container(name="own", image="busybox:1", volume_mounts=(OWN,))
    volume = Volume(name="own", empty_dir=EmptyDir())

    both = with_account(a_pod(own, MAIN, volumes=(volume,)), None, 0.5).spec
    alone = with_account(a_pod(own, volumes=(volume,)), None, 0.5).spec

    assert both.containers[0].volume_mounts == (OWN,)
    assert both.containers[1].volume_mounts[0].name != "own"
    assert alone.volumes == (volume,)


def test_endings_are_letters_and_differ_with_the_number() -> None:
    numbers = [index / 1000 for index in range(1000)]
    endings = {ending_of(number) for number in numbers}

    assert len(endings) == len(numbers)
    assert all(len(one) == 5 and set(one) <= set(LETTERS) for one in endings)


def test_a_pod_that_names_no_pull_secrets_has_its_accounts() -> None:
    mine, theirs = LocalObjectReference(name="mine"), LocalObjectReference(name="theirs")
    account = replaced(an_account(), image_pull_secrets=(theirs,))

    assert with_account(a_pod(), account, 0.5).spec.image_pull_secrets == (theirs,)
    named = a_pod(image_pull_secrets=(mine,))
    assert with_account(named, account, 0.5).spec.image_pull_secrets == (mine,)
