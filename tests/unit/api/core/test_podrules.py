"""What a pod may not ask for, however it is spelt."""

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort, EnvVar, Resources
from cubernetes.api.core.podspec.envsource import EnvVarSource, ObjectFieldSelector
from cubernetes.api.core.podspec.requests import CONTAINER_RULE
from cubernetes.api.core.podspec.rules import spec_problems
from cubernetes.api.core.podspec.spec import PodSpec, defaulted_spec
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from tests.given import a_container, a_node, a_pod

PROFILE = "securityContext.seccompProfile.localhostProfile"


@pytest.mark.parametrize(
    ("folder", "is_legal"),
    [
        ("/proc", False),
        ("/proc/self/fd/8", False),
        ("//proc/self/fd/8", False),
        ("/./proc/self", False),
        ("/processes", True),
        ("/srv/proc", True),
        ("/", True),
    ],
)
def test_t9_a_working_directory_in_proc_is_refused_in_every_spelling(
    folder: str, is_legal: bool
) -> None:
    pod = a_pod("a")
    container = replaced(a_container(), working_dir=folder)
    spec = replaced(pod.spec, containers=(container,))
    fields = [one.field for one in spec_problems(spec, "spec")]
    assert fields == ([] if is_legal else ["spec.containers[0].workingDir"])


@pytest.mark.parametrize(
    ("requests", "limits", "problems"),
    [
        ({"example.com/gpu": "1"}, {"example.com/gpu": "1"}, {}),
        ({}, {"example.com/gpu": "2"}, {}),
        ({"ephemeral-storage": "1Gi"}, {}, {}),
        ({"example.com/gpu": "1"}, {}, {"requests[example.com/gpu]": "needs an equal limit"}),
        (
            {"example.com/gpu": "1"},
            {"example.com/gpu": "2"},
            {"requests[example.com/gpu]": "must be equal to the limit, 2"},
        ),
        ({}, {"example.com/gpu": "0.5"}, {"limits[example.com/gpu]": "must be an integer"}),
        ({}, {"example.com/gpu": "-1"}, {"limits[example.com/gpu]": "must not be negative"}),
        ({"cpu": "2"}, {"cpu": "1"}, {"requests[cpu]": "must be at most the limit, 1"}),
        ({}, {"gpu": "1"}, {"limits[gpu]": CONTAINER_RULE}),
        ({}, {"pods": "1"}, {"limits[pods]": CONTAINER_RULE}),
        ({}, {"kubernetes.io/gpu": "1"}, {"limits[kubernetes.io/gpu]": CONTAINER_RULE}),
        ({}, {"x.kubernetes.io/gpu": "1"}, {"limits[x.kubernetes.io/gpu]": CONTAINER_RULE}),
        ({}, {"requests.a.b/gpu": "1"}, {"limits[requests.a.b/gpu]": CONTAINER_RULE}),
        ({}, {"Bad_Domain/gpu": "1"}, {"limits[Bad_Domain/gpu]": CONTAINER_RULE}),
        ({}, {f"a.b/{at}": "1" for at in range(65)}, {"limits": "must have at most 64 names"}),
    ],
)
def test_a_container_requests_devices_of_any_name_as_kubernetes_takes_them(
    requests: dict[str, str], limits: dict[str, str], problems: dict[str, str]
) -> None:
    resources = Resources(
        requests={name: Quantity(text) for name, text in requests.items()},
        limits={name: Quantity(text) for name, text in limits.items()},
    )
    spec = PodSpec(containers=(replaced(a_container(), resources=resources),))
    found = {
        one.field.removeprefix("spec.containers[0].resources."): one.message
        for one in spec_problems(spec, "spec")
    }
    assert found == problems


def test_what_a_node_says_it_has_is_whole_and_not_negative() -> None:
    node = a_node("n1")
    amounts = {"cpu": Quantity("-1"), "example.com/gpu": Quantity("1500m"), "a b": Quantity("1")}
    found = {one.field for one in replaced(
        node, status=replaced(node.status, capacity=amounts, allocatable={"cpu": Quantity("500m")})
    ).problems()}  # fmt: skip
    assert found == {"status.capacity[cpu]", "status.capacity[example.com/gpu]",
                     "status.capacity[a b]"}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("securityContext", {"procMount": "Default"}, 'unknown field "spec.securityContext.procM'),
        ("terminationMessagePath", "m", "must be an absolute path without '..'"),
        ("terminationMessagePath", "/m/../n", "must be an absolute path without '..'"),
        ("terminationMessagePolicy", "Log", "must be one of 'FallbackToLogsOnError', 'File'"),
    ],
)
def test_what_a_pod_asks_for_in_vain_is_refused_by_its_field(
    field: str, value: object, message: str
) -> None:
    container: dict[str, object] = {"name": "main", "image": "a"}
    spec: dict[str, object] = {"containers": [container]}
    (container if field.startswith("termination") else spec)[field] = value

    try:
        one = codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": spec}).model
        told = " ".join(f"{problem.field}: {problem.message}" for problem in one.problems())
    except ApiError as error:
        told = error.message

    assert field in told
    assert message in told


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        ({"hostNetwork": True, "hostPID": True, "hostIPC": True}, {}),
        ({"hostNetwork": True, "ports": [{"containerPort": 80, "hostPort": 80}]}, {}),
        ({"ports": [{"containerPort": 80, "hostPort": 81}]}, {}),
        (
            {"hostNetwork": True, "ports": [{"containerPort": 80, "hostPort": 81}]},
            {"containers[0].ports[0].hostPort":
             "must match `containerPort` when `hostNetwork` is true"},
        ),
        (
            {"hostPID": True, "shareProcessNamespace": True},
            {"shareProcessNamespace": "ShareProcessNamespace and HostPID cannot both be enabled"},
        ),
        ({"hostIPC": True, "sysctl": "net.ipv4.tcp_syncookies"}, {}),
        ({"hostNetwork": True, "sysctl": "kernel.shm_rmid_forced"}, {}),
        (
            {"hostNetwork": True, "sysctl": "net/ipv4/tcp_syncookies"},
            {"securityContext.sysctls[0].name": "may not be specified when 'hostNetwork' is true"},
        ),
        (
            {"hostIPC": True, "sysctl": "kernel.shm_rmid_forced"},
            {"securityContext.sysctls[0].name": "may not be specified when 'hostIPC' is true"},
        ),
        (
            {"hostIPC": True, "sysctl": "fs.mqueue.msg_max"},
            {"securityContext.sysctls[0].name": "may not be specified when 'hostIPC' is true"},
        ),
    ],
)  # fmt: skip
def test_what_a_pod_may_share_with_its_node(
    spec: dict[str, object], problems: dict[str, str]
) -> None:
    tree = dict(spec)
    container = {"name": "main", "image": "a", "ports": tree.pop("ports", [])}
    sysctl = tree.pop("sysctl", None)
    if sysctl is not None:
        tree["securityContext"] = {"sysctls": [{"name": sysctl, "value": "1"}]}
    whole = {"metadata": {"name": "a"}, "spec": tree | {"containers": [container]}}

    found = codec.from_tree(Pod, whole).model.problems()
    assert {one.field.removeprefix("spec."): one.message for one in found} == problems


@pytest.mark.parametrize(("is_shared", "host_port"), [(True, 80), (False, None)])
def test_in_the_nodes_network_each_port_is_one_of_the_node(
    is_shared: bool, host_port: int | None
) -> None:
    container = replaced(a_container(), ports=(ContainerPort(container_port=80),))
    spec = PodSpec(containers=(container,), init_containers=(container,), host_network=is_shared)
    made = defaulted_spec(spec)
    for one in (*made.init_containers, *made.containers):
        assert [port.host_port for port in one.ports] == [host_port]


def test_a_field_of_a_pod_is_named_in_the_version_that_there_is() -> None:
    def fields_of(version: str) -> list[str]:
        ref = ObjectFieldSelector(api_version=version, field_path="metadata.name")
        variable = EnvVar(name="A", value_from=EnvVarSource(field_ref=ref))
        spec = PodSpec(containers=(replaced(a_container(), env=(variable,)),))
        return [one.field for one in spec_problems(spec, "spec")]

    assert fields_of("v1") == fields_of("") == []
    assert fields_of("v2") == ["spec.containers[0].env[0].valueFrom.fieldRef.apiVersion"]


@pytest.mark.parametrize(
    ("path", "is_legal"),
    [
        ("a", True), ("a/b.conf", True), ("...", False), ("..a", False), ("a..", True),
        ("a/..b", True), ("./a", True), ("", False), (".", False), ("/", False), ("/etc", False),
        ("..", False), ("../a", False), ("a/../b", False), ("a/..", False), ("./..data", False),
        ("a\x01b", False), ("a" * 256, False), ("b/" * 2048 + "a", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["configMap", "secret", "downwardAPI", "projected"])
def test_a_file_of_a_volume_stays_inside_it(kind: str, path: str, is_legal: bool) -> None:
    item: dict[str, object] = {"key": "k", "path": path}
    if kind == "downwardAPI":
        item = {"path": path, "fieldRef": {"fieldPath": "metadata.name"}}
    name = {"secret": {"secretName": "s"}, "downwardAPI": {}}.get(kind, {"name": "c"})
    source: dict[str, object] = {**name, "items": [item]}
    where = f"spec.volumes[0].{kind}"
    if kind == "projected":
        source, where = {"sources": [{"configMap": source}]}, f"{where}.sources[0].configMap"
    fields = [field for field, _ in volume_problems_of({kind: source})]
    assert fields == ([] if is_legal else [f"{where}.items[0].path"])


@pytest.mark.parametrize(
    ("mount", "field", "message"),
    [
        ({"subPath": "/a"}, "subPath", "relative path"),
        ({"subPath": "a/../../b"}, "subPath", "relative path"),
        ({"subPathExpr": "../$(A)"}, "subPathExpr", "relative path"),
        ({"subPath": "a", "subPathExpr": "b"}, "subPathExpr", "mutually exclusive"),
        ({"mountPropagation": "Bidirectional"}, "mountPropagation", "privileged containers"),
        ({"subPath": "a/..b/./c", "mountPropagation": "HostToContainer"}, "", ""),
        ({"subPathExpr": "$(A)/b"}, "", ""),
    ],
)
def test_a_mount_that_cannot_be_is_refused_by_its_field(
    mount: dict[str, object], field: str, message: str
) -> None:
    mounts = [{"name": "v", "mountPath": "/m", **mount}]
    spec = {
        "containers": [{"name": "a", "image": "b", "volumeMounts": mounts}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    pod = codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": spec}).model
    found = [(one.field, one.message) for one in pod.problems()]
    assert [each for each, _ in found] == (
        [f"spec.containers[0].volumeMounts[0].{field}"] if field else []
    )
    assert all(message in told for _, told in found)


@pytest.mark.parametrize(
    ("pod", "container", "field", "message"),
    [
        (
            {"sysctls": [{"name": "kernel.msg max", "value": "1"}]},
            {},
            "securityContext.sysctls[0].name",
            "must be the name of a sysctl",
        ),
        (
            {
                "sysctls": [
                    {"name": "net.ipv4.tcp_rmem", "value": "1"},
                    {"name": "net/ipv4/tcp_rmem", "value": "2"},
                ]
            },
            {},
            "securityContext.sysctls[1].name",
            "is set twice",
        ),
        (
            {},
            {"privileged": True, "allowPrivilegeEscalation": False},
            "containers[0].securityContext",
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (
            {},
            {"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": False},
            "containers[0].securityContext",
            "`capabilities.Add` CAP_SYS_ADMIN",
        ),
        (
            {},
            {"capabilities": {"drop": ["net-raw"]}},
            "containers[0].securityContext.capabilities.drop[0]",
            "the name of a capability",
        ),
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b"}}, {}, "", ""),
        ({"seccompProfile": {"type": "Localhost"}}, {}, PROFILE, "must be set"),
        (
            {"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}},
            {},
            PROFILE,
            "may only be set when",
        ),
        (
            {},
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "/etc/passwd"}},
            f"containers[0].{PROFILE}",
            "must be a relative path",
        ),
        (
            {},
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/../../b"}},
            f"containers[0].{PROFILE}",
            "must not contain '..'",
        ),
        ({"runAsUser": 0, "fsGroup": 2**31 - 1}, {"privileged": True}, "", ""),
        ({}, {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}, "", ""),
    ],
)
def test_a_security_context_that_cannot_be_is_refused_by_its_field(
    pod: dict[str, object], container: dict[str, object], field: str, message: str
) -> None:
    spec = {
        "containers": [{"name": "a", "image": "b", "securityContext": container}],
        "securityContext": pod,
    }
    read = codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": spec}).model
    found = [(one.field, one.message) for one in read.problems()]
    assert [each for each, _ in found] == ([f"spec.{field}"] if field else [])
    assert all(message in told for _, told in found)


@pytest.mark.parametrize(
    ("security", "told"),
    [
        ({"runAsUser": -1}, "runAsUser"),
        ({"fsGroup": 2**31}, "fsGroup"),
        ({"seccompProfile": {"type": "Own"}}, "seccompProfile.type"),
        ({"supplementalGroupsPolicy": "Some"}, "supplementalGroupsPolicy"),
    ],
)
def test_what_a_security_context_cannot_hold_is_refused_by_name(
    security: dict[str, object], told: str
) -> None:
    spec = {"containers": [{"name": "a", "image": "b"}], "securityContext": security}
    with pytest.raises(ApiError) as refused:
        codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": spec})
    assert f"spec.securityContext.{told}" in refused.value.message


def volume_problems_of(volume: dict[str, object]) -> list[tuple[str, str]]:
    spec = {
        "containers": [{"name": "a", "image": "b"}],
        "volumes": [{"name": "v", **volume}],
    }
    pod = codec.from_tree(Pod, {"metadata": {"name": "a"}, "spec": spec}).model
    return [(one.field, one.message) for one in pod.problems()]


LIMIT = {"resource": "limits.cpu"}
PODS = {"containerName": "a", "resource": "limits.pods"}
NAMED = {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize(
    ("volume", "field", "message"),
    [
        ({}, "", "needs exactly one of hostPath, emptyDir, configMap"),
        ({"emptyDir": {}, "configMap": {"name": "c"}}, "", "needs exactly one of"),
        ({"emptyDir": {"sizeLimit": "-1"}}, ".emptyDir.sizeLimit", "must not be negative"),
        ({"configMap": {}}, ".configMap.name", "must be"),
        ({"secret": {}}, ".secret.secretName", "must be"),
        (
            {"configMap": {"name": "c", "items": [{"key": "", "path": "a"}]}},
            ".configMap.items[0].key",
            "is required",
        ),
        (
            {"downwardAPI": {"items": [{"path": "a"}]}},
            ".downwardAPI.items[0]",
            "one of fieldRef and resourceFieldRef is required",
        ),
        (
            {"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": LIMIT, **NAMED}]}},
            ".downwardAPI.items[0]",
            "can not be specified simultaneously",
        ),
        (
            {"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": LIMIT}]}},
            ".downwardAPI.items[0].resourceFieldRef.containerName",
            "is required",
        ),
        (
            {"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": PODS}]}},
            ".downwardAPI.items[0].resourceFieldRef.resource",
            "must be one of limits.cpu",
        ),
        (
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}},
            ".downwardAPI.items[0].fieldRef.fieldPath",
            "metadata.labels",
        ),
        ({"projected": {"sources": [{}]}}, ".projected.sources[0]", "needs exactly one of"),
        (
            {
                "projected": {
                    "sources": [
                        {"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}},
                        {"secret": {"name": "t", "items": [{"key": "k", "path": "./a"}]}},
                    ]
                }
            },
            ".projected",
            "conflicting duplicate paths: 'a'",
        ),
    ],
)
def test_a_volume_that_cannot_be_is_refused_by_its_field(
    volume: dict[str, object], field: str, message: str
) -> None:
    ((where, told),) = volume_problems_of(volume)
    assert where == f"spec.volumes[0]{field}"
    assert message in told


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        ({"configMap": {"name": "c", "defaultMode": 512}}, "spec.volumes[0].configMap.defaultMode"),
        ({"secret": {"secretName": "s", "defaultMode": -1}}, "spec.volumes[0].secret.defaultMode"),
        (
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "ca"}}]}},
            "spec.volumes[0].projected.sources[0].clusterTrustBundle",
        ),
    ],
)
def test_a_mode_out_of_range_and_a_source_that_is_not_here_yet_are_refused_by_name(
    volume: dict[str, object], told: str
) -> None:
    with pytest.raises(ApiError) as refused:
        volume_problems_of(volume)
    assert told in refused.value.message


def test_pod_ranges_repeat_the_pod_range_and_nothing_else() -> None:
    node = a_node("n1", pod_cidr="10.244.1.0/24")
    for pod_cidr, pod_cidrs in (("10.244.1.0/24", ()), ("", ("10.244.1.0/24",))):
        half = replaced(node, spec=replaced(node.spec, pod_cidr=pod_cidr, pod_cidrs=pod_cidrs))
        assert half.defaulted().spec == node.spec
        assert not list(half.defaulted().problems())
    for other in (("10.244.2.0/24",), ("10.244.1.0/24", "fd00::/64")):
        odd = replaced(node, spec=replaced(node.spec, pod_cidrs=other))
        assert [one.field for one in odd.problems()] == ["spec.podCIDRs"]
