"""As whom a container runs and what it may do, by its pod, its own words and its image."""

from typing import Any

import msgspec
import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.security.context import PodSecurityContext, SecurityContext
from cubernetes.api.meta import replaced
from kubelet.pod.decisions.security import (
    needs_image_user,
    seccomp_file_of,
    security_of,
    sysctls_of,
)
from kubelet.runtime.docker_words import container_body, sandbox_body
from kubelet.runtime.driver import ContainerSpec, RuntimeTrouble, SandboxSpec, Security
from tests.given import a_container, a_pod

WHO = '(pod: "web_default(u1)", container: main)'


def of(pod: dict[str, Any], container: dict[str, Any]) -> tuple[Pod, Container]:
    own = msgspec.convert(container, SecurityContext) if container else None
    wanted = replaced(a_container("main"), security_context=own)
    made = a_pod("web", containers=(wanted,))
    context = msgspec.convert(pod, PodSecurityContext)
    meta = replaced(made.metadata, uid="u1")
    return replaced(made, metadata=meta, spec=replaced(made.spec, security_context=context)), wanted


@pytest.mark.parametrize(
    ("pod", "container", "image", "user"),
    [
        ({}, {}, "", ""),
        ({}, {}, "1000", ""),
        ({"runAsUser": 5}, {}, "", "5"),
        ({"runAsUser": 5}, {"runAsUser": 0}, "", "0"),
        ({"runAsUser": 5, "runAsGroup": 6}, {}, "", "5:6"),
        ({"runAsUser": 5, "runAsGroup": 6}, {"runAsUser": 7, "runAsGroup": 0}, "", "7:0"),
        ({"runAsGroup": 6}, {}, "www:www", "www:6"),
        ({"runAsGroup": 6}, {}, "", "0:6"),
    ],
)
def test_a_containers_own_word_wins_over_its_pods(
    pod: dict[str, Any], container: dict[str, Any], image: str, user: str
) -> None:
    given = of(pod, container)
    assert security_of(*given, image).user == user
    assert needs_image_user(*given) == (bool(pod) and "runAsUser" not in pod)


@pytest.mark.parametrize(
    ("pod", "container", "image", "why"),
    [
        ({}, {}, "", ""),
        ({}, {}, "99", ""),
        ({}, {"runAsUser": 99}, "", ""),
        ({"runAsUser": 0}, {"runAsUser": 99}, "", ""),
        ({}, {"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({"runAsUser": 0}, {}, "99", "container's runAsUser breaks non-root policy"),
        ({}, {}, "root", "container has runAsNonRoot and image has non-numeric user (root), "),
        ({}, {}, "www:33", "container has runAsNonRoot and image has non-numeric user (www), "),
        ({}, {}, "0:33", "container has runAsNonRoot and image will run as root"),
        ({}, {}, "", "container has runAsNonRoot and image will run as root"),
    ],
)
def test_who_must_not_be_root_does_not_start_as_root_or_as_nobody_knows_whom(
    pod: dict[str, Any], container: dict[str, Any], image: str, why: str
) -> None:
    is_free = (pod, container, image, why) == ({}, {}, "", "")
    asked = {} if is_free else {"runAsNonRoot": True}
    for given in (of({**pod, **asked}, container), of(pod, {**container, **asked})):
        if not why:
            security_of(*given, image)
            continue
        with pytest.raises(RuntimeTrouble) as refused:
            security_of(*given, image)
        assert refused.value.reason == "CreateContainerConfigError"
        assert str(refused.value).startswith(why)
        assert str(refused.value).endswith(WHO)
    # A container may say for itself that its pod's rule is not for it.
    security_of(*of({**pod, "runAsNonRoot": True}, {**container, "runAsNonRoot": False}), image)


def told(security: Security) -> dict[str, Any]:
    """Return what Docker is told of a container's rights."""
    spec = ContainerSpec("u", "web", "default", "main", "image", security=security)
    body: Any = container_body(spec, "box", "/g")
    names = ("SecurityOpt", "CapAdd", "CapDrop", "GroupAdd", "ReadonlyRootfs", "Privileged")
    found = {name: body["HostConfig"][name] for name in names if name in body["HostConfig"]}
    return found | ({"User": body["User"]} if "User" in body else {})


DEFAULT = {"SecurityOpt": ["no-new-privileges"], "CapDrop": ["NET_RAW"]}


@pytest.mark.parametrize(
    ("pod", "container", "expected"),
    [
        ({}, {}, {}),
        (
            {"runAsUser": 1, "supplementalGroups": [7], "fsGroup": 8},
            {},
            {"User": "1", "GroupAdd": ["7", "8"]},
        ),
        ({"supplementalGroups": [8], "fsGroup": 8}, {}, {"GroupAdd": ["8"]}),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, {}, {}),
        (
            {"seccompProfile": {"type": "Unconfined"}},
            {},
            {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
        ),
        (
            {"seccompProfile": {"type": "Unconfined"}},
            {"seccompProfile": {"type": "RuntimeDefault"}},
            {},
        ),
        ({}, {"allowPrivilegeEscalation": True}, {"SecurityOpt": []}),
        ({}, {"allowPrivilegeEscalation": False}, {}),
        ({}, {"privileged": True}, {"SecurityOpt": [], "Privileged": True}),
        ({}, {"readOnlyRootFilesystem": True}, {"ReadonlyRootfs": True}),
        (
            {},
            {"capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["MKNOD"]}},
            {"CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD", "NET_RAW"]},
        ),
        ({}, {"capabilities": {"add": ["NET_RAW"]}}, {"CapAdd": ["NET_RAW"], "CapDrop": []}),
        ({}, {"capabilities": {"drop": ["ALL"]}}, {"CapDrop": ["ALL"]}),
        (
            {},
            {"capabilities": {"add": ["SYS_ADMIN"]}},
            {"CapAdd": ["SYS_ADMIN"], "SecurityOpt": []},
        ),
    ],
)  # fmt: skip
def test_what_a_container_may_do_is_told_to_the_runtime(
    pod: dict[str, Any], container: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert told(security_of(*of(pod, container))) == DEFAULT | expected


def test_settings_of_the_kernel_are_told_of_the_sandbox() -> None:
    pod, _ = of({"sysctls": [{"name": "net/ipv4/tcp_fin_timeout", "value": "9"}]}, {})
    assert sysctls_of(pod) == {"net.ipv4.tcp_fin_timeout": "9"}
    box = SandboxSpec("u", "web", "default", "web", "pause", sysctls=sysctls_of(pod))
    body: Any = sandbox_body(box, "/g", "/n", has_ipv6=False)
    assert body["HostConfig"]["Sysctls"] == {"net.ipv4.tcp_fin_timeout": "9"}


@pytest.mark.parametrize(
    ("pod", "image", "user"),
    [
        ({}, "", "0:0"),
        ({}, "root", "0:0"),
        ({"runAsUser": 0}, "", "0:0"),
        ({}, "1000:2000", "1000:2000"),
        ({"runAsUser": 5, "runAsGroup": 6}, "", "5:6"),
        ({"runAsGroup": 6}, "www", "www:6"),
    ],
)
def test_a_strict_policy_names_a_group_so_that_the_image_adds_none(
    pod: dict[str, Any], image: str, user: str
) -> None:
    given = of({**pod, "supplementalGroupsPolicy": "Strict"}, {})
    assert security_of(*given, image).user == user
    assert needs_image_user(*given) == ("runAsUser" not in pod)
    merged = of({**pod, "supplementalGroupsPolicy": "Merge"}, {})
    assert security_of(*merged, image).user == security_of(*of(pod, {}), image).user


@pytest.mark.parametrize(("pod", "image"), [({"runAsUser": 5}, ""), ({}, "www"), ({}, "1000")])
def test_a_strict_policy_without_a_known_group_is_told(pod: dict[str, Any], image: str) -> None:
    with pytest.raises(RuntimeTrouble, match="Strict needs runAsGroup"):
        security_of(*of({**pod, "supplementalGroupsPolicy": "Strict"}, {}), image)


def test_a_profile_of_the_node_is_told_with_its_text_but_not_of_a_privileged_container() -> None:
    local = {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}
    for given in (of(local, {}), of({}, local)):
        assert seccomp_file_of(*given) == "a.json"
        options = told(security_of(*given, "", "{}"))["SecurityOpt"]
        assert options == ["no-new-privileges", "seccomp={}"]
    assert seccomp_file_of(*of(local, {"seccompProfile": {"type": "RuntimeDefault"}})) == ""
    free = of(local, {"privileged": True})
    assert told(security_of(*free, "", "{}"))["SecurityOpt"] == []
