"""The Pod Security Standards: a pod that passes each level, and one that fails for every field."""

from collections.abc import Mapping
from typing import Any

import pytest

from apiserver.strategies.admission.podsecurity.controls import CONTROLS, violations
from apiserver.strategies.admission.podsecurity.judging import (
    PODS_MAX,
    PodLike,
    is_significant,
    judged,
    warnings_for,
)
from apiserver.strategies.admission.podsecurity.levels import (
    LEVELS,
    Level,
    Policy,
    Standard,
    label_problems,
    policy_of,
)
from apiserver.strategies.strategy import ADMITTED
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from tests.given import a_meta, a_replicaset

BASELINE, RESTRICTED = Standard("baseline"), Standard("restricted")
SAFE: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SAFE_POD: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
UNCONFINED = {"seccompProfile": {"type": "Unconfined"}}
APPARMOR = "container.apparmor.security.beta.kubernetes.io/c"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"


def a_pod(
    *containers: Mapping[str, Any],
    notes: Mapping[str, str] | None = None,
    safe: Mapping[str, Any] = SAFE_POD,
    **spec: Any,
) -> Pod:
    """Return a pod; without anything said it is the smallest that is restricted."""
    stated = containers or ({"securityContext": SAFE},)
    named = [{"name": "c", "image": "a:1", **one} for one in stated]
    tree = {
        "metadata": {"name": "p", "namespace": "default", "annotations": dict(notes or {})},
        "spec": {"containers": named, "securityContext": dict(safe), **spec},
    }
    return codec.from_tree(Pod, tree, "Strict").model


def found(pod: Pod, standard: Standard) -> list[str]:
    return [str(one) for one in violations(standard, pod.metadata.annotations, pod.spec)]


def with_context(**context: Any) -> dict[str, Any]:
    return {"securityContext": {**SAFE, **context}}


def asked(**probe: Any) -> dict[str, Any]:
    return {**with_context(), **probe}


# What every level above privileged refuses; in the rest the pods are restricted.
OF_BASELINE: dict[str, tuple[Pod, str]] = {
    "AppArmor by annotation": (
        a_pod(notes={APPARMOR: "unconfined"}),
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        f'"{APPARMOR}="unconfined"")',
    ),
    "hostNetwork": (a_pod(hostNetwork=True), "host namespaces (hostNetwork=true)"),
    "hostPID": (a_pod(hostPID=True), "host namespaces (hostPID=true)"),
    "hostIPC": (a_pod(hostIPC=True), "host namespaces (hostIPC=true)"),
    "hostPort": (
        a_pod(asked(ports=[{"containerPort": 80, "hostPort": 8080}])),
        'hostPort (container "c" uses hostPort 8080)',
    ),
    "privileged": (
        a_pod({"securityContext": {"privileged": True}}),
        'privileged (container "c" must not set securityContext.privileged=true)',
    ),
    "seccomp of the pod": (
        a_pod(safe={**SAFE_POD, **UNCONFINED}),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    "seccomp of a container": (
        a_pod(with_context(**UNCONFINED)),
        'seccompProfile (container "c" must not set securityContext.seccompProfile.type to '
        '"Unconfined")',
    ),
    "a sysctl": (
        a_pod(safe={**SAFE_POD, "sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
        "forbidden sysctls (kernel.msgmax)",
    ),
}
HOSTS: dict[str, dict[str, Any]] = {
    "livenessProbe": {"livenessProbe": {"httpGet": {"port": 80, "host": "h"}}},
    "readinessProbe": {"readinessProbe": {"tcpSocket": {"port": 80, "host": "h"}}},
    "startupProbe": {"startupProbe": {"httpGet": {"port": 80, "host": "h"}}},
    "postStart": {"lifecycle": {"postStart": {"httpGet": {"port": 80, "host": "h"}}}},
    "preStop": {"lifecycle": {"preStop": {"httpGet": {"port": 80, "host": "h"}}}},
}
OF_BASELINE |= {
    f"a host of {name}": (
        a_pod(asked(**fields)),
        'probe or lifecycle host (container "c" uses probe or lifecycle host "h")',
    )
    for name, fields in HOSTS.items()
}
# What is told in other words by each level: a pod, of baseline, of restricted.
OF_BOTH: dict[str, tuple[Pod, str, str]] = {
    "capabilities.add": (
        a_pod(with_context(capabilities={"add": ["SYS_TIME"], "drop": ["ALL"]})),
        'non-default capabilities (container "c" must not include "SYS_TIME" in '
        "securityContext.capabilities.add)",
        'unrestricted capabilities (container "c" must not include "SYS_TIME" in '
        "securityContext.capabilities.add)",
    ),
    "hostPath": (
        a_pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        'hostPath volumes (volume "v")',
        'restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ),
}
OF_RESTRICTED: dict[str, tuple[Pod, str]] = {
    "allowPrivilegeEscalation": (
        a_pod({"securityContext": {"capabilities": {"drop": ["ALL"]}}}),
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false)",
    ),
    "allowPrivilegeEscalation: true": (
        a_pod(with_context(allowPrivilegeEscalation=True)),
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false)",
    ),
    "capabilities.drop": (
        a_pod({"securityContext": {"allowPrivilegeEscalation": False}}),
        'unrestricted capabilities (container "c" must set '
        'securityContext.capabilities.drop=["ALL"])',
    ),
    "a capability of the default": (
        a_pod(with_context(capabilities={"add": ["CHOWN"], "drop": ["NET_RAW"]})),
        'unrestricted capabilities (container "c" must set '
        'securityContext.capabilities.drop=["ALL"]; container "c" must not include "CHOWN" in '
        "securityContext.capabilities.add)",
    ),
    "no runAsNonRoot": (
        a_pod(safe={"seccompProfile": {"type": "RuntimeDefault"}}),
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
    ),
    "runAsNonRoot: false of the pod": (
        a_pod(with_context(runAsNonRoot=True), safe={**SAFE_POD, "runAsNonRoot": False}),
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
    ),
    "runAsNonRoot: false of a container": (
        a_pod(with_context(runAsNonRoot=False)),
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ),
    "runAsUser: 0 of the pod": (
        a_pod(safe={**SAFE_POD, "runAsUser": 0}),
        "runAsUser=0 (pod must not set runAsUser=0)",
    ),
    "runAsUser: 0 of a container": (
        a_pod(with_context(runAsUser=0)),
        'runAsUser=0 (container "c" must not set runAsUser=0)',
    ),
    "no seccompProfile": (
        a_pod(safe={"runAsNonRoot": True}),
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")',
    ),
}
PASSING: dict[str, Pod] = {
    "the smallest": a_pod(),
    "each container by itself": a_pod(
        with_context(
            runAsNonRoot=True,
            seccompProfile={"type": "Localhost", "localhostProfile": "x.json"},
        ),
        safe={},
    ),
    "what may be added": a_pod(
        with_context(capabilities={"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}, runAsUser=1000)
    ),
    "a probe of the pod itself": a_pod(asked(livenessProbe={"httpGet": {"port": 80}})),
    "a safe sysctl": a_pod(
        safe={**SAFE_POD, "sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1 2 3"}]}
    ),
    "annotations that keep what is": a_pod(
        notes={APPARMOR: "localhost/x", f"{APPARMOR}2": "runtime/default", f"{APPARMOR}3": ""}
    ),
    "every other volume": a_pod(
        volumes=[
            {"name": "a", "configMap": {"name": "x"}},
            {"name": "b", "downwardAPI": {}},
            {"name": "d", "emptyDir": {}},
            {"name": "e", "persistentVolumeClaim": {"claimName": "x"}},
            {"name": "f", "projected": {}},
            {"name": "g", "secret": {"secretName": "x"}},
        ]
    ),
}


@pytest.mark.parametrize("what", OF_BASELINE)
def test_every_field_of_baseline_is_refused_and_named(what: str) -> None:
    pod, told = OF_BASELINE[what]
    assert found(pod, BASELINE) == [told]
    assert told in found(pod, RESTRICTED)
    assert found(pod, Standard("privileged")) == []


@pytest.mark.parametrize("what", OF_BOTH)
def test_a_stricter_control_tells_it_in_place_of_the_other(what: str) -> None:
    pod, of_baseline, of_restricted = OF_BOTH[what]
    assert found(pod, BASELINE) == [of_baseline]
    assert found(pod, RESTRICTED) == [of_restricted]


@pytest.mark.parametrize("what", OF_RESTRICTED)
def test_every_field_of_restricted_is_refused_there_alone(what: str) -> None:
    pod, told = OF_RESTRICTED[what]
    assert found(pod, RESTRICTED) == [told]
    assert found(pod, BASELINE) == []


@pytest.mark.parametrize("what", PASSING)
def test_what_is_restricted_passes_every_level(what: str) -> None:
    assert [found(PASSING[what], Standard(level)) for level in LEVELS] == [[], [], []]


def test_an_everyday_pod_is_of_baseline_and_hears_all_that_restricted_asks() -> None:
    pod = a_pod({}, safe={})
    assert found(pod, BASELINE) == []
    assert found(pod, RESTRICTED) == [
        OF_RESTRICTED[what][1]
        for what in (
            "allowPrivilegeEscalation", "capabilities.drop", "no runAsNonRoot", "no seccompProfile",
        )
    ]  # fmt: skip


def test_every_container_counts_and_several_are_told_together() -> None:
    ports = [{"containerPort": 80, "hostPort": 80}]
    more = {"image": "a:1", "securityContext": {"runAsUser": 0}, "ports": ports}
    pod = a_pod(
        with_context(runAsUser=0),
        safe={**SAFE_POD, "runAsUser": 0},
        initContainers=[{**more, "name": "i"}],
        volumes=[
            {"name": "v", "hostPath": {"path": "/"}},
            {"name": "w", "hostPath": {"path": "/"}},
        ],
    )
    look = {"name": "e", "image": "a:1", "securityContext": {"runAsUser": 0}}
    tree = codec.to_tree(pod)
    tree["spec"]["ephemeralContainers"] = [look]
    told = found(codec.from_tree(Pod, tree, "Strict").model, RESTRICTED)
    assert 'runAsUser=0 (pod and containers "i", "c", "e" must not set runAsUser=0)' in told
    assert 'hostPort (container "i" uses hostPort 80)' in told
    volumes = 'volumes "v", "w" use restricted volume type "hostPath"'
    assert f"restricted volume types ({volumes})" in told
    whose = 'containers "i", "e" must set securityContext.allowPrivilegeEscalation=false'
    assert f"allowPrivilegeEscalation != false ({whose})" in told


# A control, the last version without it, and a pod that it refuses.
BORN = [
    ("probe or lifecycle host", 33, OF_BASELINE["a host of preStop"][0]),
    ("allowPrivilegeEscalation != false", 7, OF_RESTRICTED["allowPrivilegeEscalation"][0]),
    ("unrestricted capabilities", 21, OF_RESTRICTED["capabilities.drop"][0]),
    ("runAsUser=0", 22, OF_RESTRICTED["runAsUser: 0 of the pod"][0]),
    ("seccompProfile", 18, OF_RESTRICTED["no seccompProfile"][0]),
]


@pytest.mark.parametrize(("reason", "last", "pod"), BORN)
def test_a_version_knows_the_controls_that_it_had(reason: str, last: int, pod: Pod) -> None:
    def reasons(version: str) -> list[str]:
        standard = Standard("restricted", version)
        return [one.reason for one in violations(standard, {}, pod.spec)]

    assert reasons(f"v1.{last}") == []
    assert reasons(f"v1.{last + 1}") == [reason]
    # Of the future as much is known as of the latest.
    assert reasons("v1.9999999") == reasons("latest") == [reason]


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("net.ipv4.tcp_syncookies", 0),
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_wmem", 32),
    ],
)
def test_a_sysctl_is_safe_from_its_version_on(name: str, since: int) -> None:
    pod = a_pod(safe={**SAFE_POD, "sysctls": [{"name": name, "value": "1"}]})
    assert found(pod, Standard("baseline", f"v1.{since}")) == []
    if since:
        told = [f"forbidden sysctls ({name})"]
        assert found(pod, Standard("baseline", f"v1.{since - 1}")) == told


def test_before_seccomp_was_a_field_its_annotations_count() -> None:
    pod = a_pod(notes={SECCOMP: "unconfined"})
    told = [f'seccompProfile (forbidden annotation {SECCOMP}="unconfined")']
    assert found(pod, Standard("baseline", "v1.18")) == told
    assert found(pod, Standard("baseline", "v1.19")) == []
    by_field = OF_BASELINE["seccomp of the pod"][0]
    assert found(by_field, Standard("baseline", "v1.18")) == []


def test_before_restricted_had_a_control_of_its_own_that_of_baseline_counts() -> None:
    pod = OF_BOTH["capabilities.add"][0]
    reasons = [one.reason for one in violations(Standard("restricted", "v1.21"), {}, pod.spec)]
    assert reasons == ["non-default capabilities"]
    reasons = [one.reason for one in violations(Standard("restricted", "v1.22"), {}, pod.spec)]
    assert reasons == ["unrestricted capabilities"]


def test_what_the_runtime_gives_anyway_may_be_added_in_baseline() -> None:
    default = (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID "
        "SETPCAP SETUID SYS_CHROOT"
    )
    pod = a_pod({"securityContext": {"capabilities": {"add": default.split()}}}, safe={})
    assert found(pod, BASELINE) == []


def test_the_table_is_in_the_order_in_which_kubernetes_tells() -> None:
    keys = [(LEVELS.index(one.level), one.name) for one in CONTROLS]
    assert keys == sorted(keys)


def labels(**modes: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{key.replace('_', '-')}": v for key, v in modes.items()}


@pytest.mark.parametrize(
    ("stated", "policy"),
    [
        ({}, Policy()),
        (labels(enforce="baseline"), Policy(BASELINE, warn=BASELINE)),
        (
            labels(enforce="restricted", enforce_version="v1.30", warn="baseline"),
            Policy(Standard("restricted", "v1.30"), warn=BASELINE),
        ),
        (
            labels(enforce="restricted", enforce_version="v1.30", warn_version="v1.31"),
            Policy(Standard("restricted", "v1.30"), warn=Standard("restricted", "v1.31")),
        ),
        (labels(audit="restricted", audit_version="v1.0"),
         Policy(audit=Standard("restricted", "v1.0"))),
        # What cannot be read is refused where it is written; where it stands all the same:
        (labels(enforce="none"), Policy(RESTRICTED)),
        (labels(enforce="baseline", enforce_version="1.30"), Policy(BASELINE, warn=BASELINE)),
        (labels(warn="x", audit="x"), Policy()),
    ],
)  # fmt: skip
def test_labels_say_what_is_enforced_audited_and_warned_of(
    stated: dict[str, str], policy: Policy
) -> None:
    assert policy_of(stated) == policy


def test_a_default_holds_where_nothing_is_said() -> None:
    assert policy_of({}, "baseline") == Policy(BASELINE, warn=BASELINE)
    assert policy_of(labels(enforce="privileged"), "restricted") == Policy()


def test_labels_that_cannot_be_read_are_named() -> None:
    wrong = labels(enforce="strict", warn_version="1.30", audit="restricted", audit_version="v1.03")
    level = "must be one of privileged, baseline, restricted"
    version = 'must be "latest" or "v1.x"'
    assert [(one.field, one.message) for one in label_problems(wrong)] == [
        ("metadata.labels[pod-security.kubernetes.io/enforce]", f'"strict": {level}'),
        ("metadata.labels[pod-security.kubernetes.io/audit-version]", f'"v1.03": {version}'),
        ("metadata.labels[pod-security.kubernetes.io/warn-version]", f'"1.30": {version}'),
    ]


EVERYDAY = a_pod({}, safe={})
LIKE = PodLike({}, EVERYDAY.spec)


def verdict_of(default: Level = "privileged", *, is_pod: bool = True, **modes: str) -> Any:
    return judged(labels(**modes), LIKE, default, is_pod=is_pod)


def test_a_pod_is_refused_a_template_is_warned_of_and_both_are_audited() -> None:
    refused = verdict_of(enforce="restricted", audit="restricted", audit_version="v1.7")
    assert refused.refusal.startswith('violates PodSecurity "restricted:latest": allowPriv')
    assert refused.warnings == ()
    notes = dict(refused.notes)
    assert notes.pop("pod-security.kubernetes.io/enforce-policy") == "restricted:latest"
    (audited,) = notes.items()
    assert audited == (
        "pod-security.kubernetes.io/audit-violations",
        'would violate PodSecurity "restricted:v1.7": runAsNonRoot != true (pod or container "c" '
        "must set securityContext.runAsNonRoot=true)",
    )

    warned = verdict_of(is_pod=False, enforce="restricted")
    assert (warned.refusal, warned.notes) == ("", {})
    assert warned.warnings[0].startswith('would violate PodSecurity "restricted:latest": allow')


def test_an_open_namespace_costs_nothing_and_a_default_is_a_policy() -> None:
    assert verdict_of() is ADMITTED
    assert verdict_of("restricted").refusal
    assert not verdict_of("baseline").refusal


def test_labels_that_cannot_be_read_are_audited() -> None:
    notes = verdict_of(enforce="strict").notes
    assert notes["pod-security.kubernetes.io/error"].startswith("Failed to parse policy: metadata.")


def test_only_what_may_run_something_else_is_judged_again() -> None:
    old = a_pod({}, safe={})
    assert not is_significant(old, replaced(old, metadata=a_meta("p", labels={"a": "b"})))
    assert is_significant(old, a_pod({"image": "b:1"}, safe={}))
    seccomp = {"container.seccomp.security.alpha.kubernetes.io/c": "unconfined"}
    assert is_significant(old, a_pod({}, safe={}, notes=seccomp))
    tree = codec.to_tree(old)
    tree["spec"]["ephemeralContainers"] = [{"name": "e", "image": "a:1"}]
    looked_into = codec.from_tree(Pod, tree).model
    assert is_significant(old, looked_into)
    # One that is taken away runs nothing.
    assert not is_significant(looked_into, old)
    tree["spec"]["ephemeralContainers"] = [{"name": "e", "image": "b:1"}]
    assert is_significant(looked_into, codec.from_tree(Pod, tree).model)
    same_spec = replaced(old, metadata=replaced(old.metadata, annotations=seccomp))
    assert is_significant(old, same_spec)


def named(pod: Pod, name: str, owner: Any = None) -> Pod:
    return replaced(pod, metadata=a_meta(name, owner=owner))


def test_pods_that_a_new_level_would_refuse_are_told_by_what_they_have_in_common() -> None:
    root = OF_RESTRICTED["runAsUser: 0 of the pod"][0]
    pods = [named(EVERYDAY, "b"), named(EVERYDAY, "a"), named(root, "c"), named(a_pod(), "d")]
    assert warnings_for("here", BASELINE, RESTRICTED, [*pods, named(EVERYDAY, "e")]) == (
        'existing pods in namespace "here" violate the new PodSecurity enforce level '
        '"restricted:latest"',
        "a (and 2 other pods): allowPrivilegeEscalation != false, unrestricted capabilities, "
        "runAsNonRoot != true, seccompProfile",
        "c: runAsUser=0",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (RESTRICTED, RESTRICTED),
        (RESTRICTED, BASELINE),
        (BASELINE, Standard("privileged", "v1.30")),
    ],
)
def test_a_looser_level_looks_at_no_pod(old: Standard, new: Standard) -> None:
    root = a_pod({"securityContext": {"privileged": True}}, safe={})
    assert warnings_for("here", old, new, [root]) == ()


def test_of_very_many_pods_the_first_of_each_controller_are_looked_at() -> None:
    many = a_replicaset()
    pods = [named(a_pod(), f"p{at:05}", many) for at in range(PODS_MAX + 5)]
    pods.append(named(EVERYDAY, "last"))
    told = warnings_for("here", Standard(), RESTRICTED, pods)
    assert told[0] == (
        "new PodSecurity enforce level only checked against the first "
        f"{PODS_MAX} of {PODS_MAX + 6} existing pods"
    )
    assert told[-1].startswith("last: ")
