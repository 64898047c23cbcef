"""Where a container's variables come from, services' names included, and what is no text."""

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.podspec.container import Container, EnvVar, Resources
from cubernetes.api.core.podspec.envsource import (
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVarSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretEnvSource,
    SecretKeySelector,
)
from cubernetes.api.core.podspec.references import Named, named_by
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import ServicePort
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.quantities import Quantity
from kubelet.objects.origins import Origins, field_of, given_variables, value_of
from kubelet.objects.services import service_variables, variables_of
from kubelet.runtime.driver import RuntimeTrouble
from tests.given import a_container, a_pod, a_service

LOGIN = Named("Secret", "login")
MAIN = a_container("main")


def origins_of(**data: str) -> Origins:
    meta = ObjectMeta(name="login", namespace="default")
    return Origins(objects={LOGIN: Secret(metadata=meta, data=data)})


def from_secret(key: str, optional: bool | None = None) -> EnvVar:
    ref = SecretKeySelector(name="login", key=key, optional=optional)
    return EnvVar(name="A", value_from=EnvVarSource(secret_key_ref=ref))


def from_configmap(key: str, optional: bool | None = None) -> EnvVar:
    ref = ConfigMapKeySelector(name="settings", key=key, optional=optional)
    return EnvVar(name="A", value_from=EnvVarSource(config_map_key_ref=ref))


def test_a_services_variables_are_those_of_kubernetes() -> None:
    ports = (ServicePort(port=6379), ServicePort(port=80, name="my-http"))
    service = a_service("redis-primary", ports=ports, cluster_ip="10.0.0.11")
    assert variables_of(service) == {
        "REDIS_PRIMARY_SERVICE_HOST": "10.0.0.11",
        "REDIS_PRIMARY_SERVICE_PORT": "6379",
        "REDIS_PRIMARY_SERVICE_PORT_MY_HTTP": "80",
        "REDIS_PRIMARY_PORT": "tcp://10.0.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP": "tcp://10.0.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_PRIMARY_PORT_6379_TCP_PORT": "6379",
        "REDIS_PRIMARY_PORT_6379_TCP_ADDR": "10.0.0.11",
        "REDIS_PRIMARY_PORT_80_TCP": "tcp://10.0.0.11:80",
        "REDIS_PRIMARY_PORT_80_TCP_PROTO": "tcp",
        "REDIS_PRIMARY_PORT_80_TCP_PORT": "80",
        "REDIS_PRIMARY_PORT_80_TCP_ADDR": "10.0.0.11",
    }


@pytest.mark.parametrize(
    ("namespace", "has_links", "hosts"),
    [
        ("default", True, {"KUBERNETES": "10.96.0.1", "WEB": "10.96.0.10"}),
        ("default", False, {"KUBERNETES": "10.96.0.1"}),
        ("shop", True, {"KUBERNETES": "10.96.0.9"}),
        ("shop", False, {"KUBERNETES": "10.96.0.1"}),
        ("other", True, {"KUBERNETES": "10.96.0.1"}),
    ],
)
def test_a_pod_hears_of_its_namespace_and_of_the_api(
    namespace: str, has_links: bool, hosts: dict[str, str]
) -> None:
    services = [
        a_service("kubernetes", "default", cluster_ip="10.96.0.1"),
        a_service("web", "default", cluster_ip="10.96.0.10"),
        a_service("kubernetes", "shop", cluster_ip="10.96.0.9"),
        a_service("headless", "default", cluster_ip="None"),
        a_service("unplaced", "default", cluster_ip=""),
    ]
    for ordered in (services, services[::-1]):
        found = service_variables(ordered, namespace, has_links=has_links)
        names = {key: value for key, value in found.items() if key.endswith("_SERVICE_HOST")}
        assert names == {f"{key}_SERVICE_HOST": value for key, value in hosts.items()}


def test_bytes_that_are_no_text_become_no_variable() -> None:
    for value in ("/w==", "YQBi"):  # 0xff; a NUL within
        with pytest.raises(RuntimeTrouble, match="key a of Secret login") as caught:
            value_of(a_pod(), MAIN, from_secret("a"), origins_of(a=value))
        assert caught.value.reason == "CreateContainerConfigError"


def test_what_is_absent_is_an_error_unless_it_is_optional() -> None:
    assert value_of(a_pod(), MAIN, from_secret("a"), origins_of(a="eA==")) == "x"
    assert value_of(a_pod(), MAIN, from_secret("b", optional=True), origins_of(a="eA==")) is None
    assert value_of(a_pod(), MAIN, from_secret("a", optional=True), Origins()) is None
    with pytest.raises(RuntimeTrouble, match="couldn't find key b in Secret default/login"):
        value_of(a_pod(), MAIN, from_secret("b"), origins_of(a="eA=="))
    with pytest.raises(RuntimeTrouble, match='secret "login" not found'):
        value_of(a_pod(), MAIN, from_secret("a"), Origins())


def test_a_field_that_no_pod_has_is_an_error() -> None:
    source = EnvVarSource(field_ref=ObjectFieldSelector(field_path="spec.secret"))
    with pytest.raises(RuntimeTrouble, match="unsupported fieldPath"):
        value_of(a_pod(), MAIN, EnvVar(name="A", value_from=source), Origins())


def test_later_sources_win_and_names_that_are_none_are_left_out() -> None:
    sources = (
        EnvFromSource(secret_ref=SecretEnvSource(name="login")),
        EnvFromSource(prefix="P_", secret_ref=SecretEnvSource(name="login")),
    )
    wanted = replaced(a_container(), env_from=sources)
    objects = origins_of(**{"A": "eA==", "1": "eQ=="}).objects
    origins = Origins(objects, services={"A": "service", "B": "b"})
    assert given_variables(wanted, origins) == (
        {"A": "x", "B": "b", "P_1": "y", "P_A": "x"},
        ["1"],
    )


def test_a_pod_names_what_any_of_its_containers_reads() -> None:
    first = replaced(a_container("a"), env=(from_secret("x"), EnvVar(name="B", value="1")))
    source = EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings"))
    second = replaced(a_container("b"), env_from=(source,))
    pod = a_pod(containers=(first, second))
    assert named_by(pod.spec) == {LOGIN, Named("ConfigMap", "settings")}


SETTINGS = Named("ConfigMap", "settings")


def test_a_configmaps_keys_are_variables_by_name_and_all_together() -> None:
    meta = ObjectMeta(name="settings", namespace="default")
    origins = Origins(objects={SETTINGS: ConfigMap(metadata=meta, data={"A": "x", "B": "y"})})
    every = EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings"))
    wanted = replaced(a_container(), env_from=(every,))

    assert value_of(a_pod(), MAIN, from_configmap("B"), origins) == "y"
    assert given_variables(wanted, origins) == ({"A": "x", "B": "y"}, [])


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_an_object_that_is_absent_is_an_error_unless_it_is_optional(kind: str) -> None:
    def all_of(optional: bool | None) -> EnvFromSource:
        if kind == "Secret":
            return EnvFromSource(secret_ref=SecretEnvSource(name="no", optional=optional))
        return EnvFromSource(config_map_ref=ConfigMapEnvSource(name="no", optional=optional))

    one_of = from_configmap if kind == "ConfigMap" else from_secret
    optional = replaced(a_container(), env_from=(all_of(True),))
    needed = replaced(a_container(), env_from=(all_of(None),))

    assert value_of(a_pod(), MAIN, one_of("a", optional=True), Origins()) is None
    assert given_variables(optional, Origins()) == ({}, [])
    with pytest.raises(RuntimeTrouble, match=f'{kind.lower()} "no" not found'):
        given_variables(needed, Origins())


def test_a_pods_annotations_and_labels_are_read_by_their_keys() -> None:
    pod = a_pod(labels={"app": "web"})
    noted = replaced(pod, metadata=replaced(pod.metadata, annotations={"note": "a note"}))

    assert field_of(noted, "metadata.annotations['note']", Origins()) == "a note"
    assert field_of(noted, "metadata.labels['app']", Origins()) == "web"
    assert field_of(noted, "metadata.labels['none']", Origins()) == ""


def a_container_with(**amounts: str) -> Container:
    limits = {key: Quantity(one) for key, one in amounts.items() if not key.startswith("least_")}
    requests = {key[6:]: Quantity(one) for key, one in amounts.items() if key.startswith("least_")}
    resources = Resources(limits=limits, requests=requests)
    return replaced(a_container("main"), resources=resources)


@pytest.mark.parametrize(
    ("amounts", "resource", "divisor", "value"),
    [
        ({"memory": "192Mi"}, "limits.memory", None, "201326592"),
        ({"memory": "192Mi"}, "limits.memory", "1Mi", "192"),
        ({"memory": "192Mi"}, "limits.memory", "1Gi", "1"),
        ({"memory": "192Mi"}, "limits.memory", "0", "201326592"),
        ({"memory": "192Mi"}, "requests.memory", "1Mi", "192"),
        ({"memory": "192Mi", "least_memory": "64Mi"}, "requests.memory", "1Mi", "64"),
        ({"cpu": "150m"}, "limits.cpu", None, "1"),
        ({"cpu": "1500m"}, "limits.cpu", "1", "2"),
        ({"cpu": "150m"}, "limits.cpu", "1m", "150"),
        ({}, "limits.cpu", None, "4"),
        ({}, "limits.memory", "1Gi", "8"),
        ({}, "requests.cpu", "1m", "0"),
        ({}, "limits.ephemeral-storage", None, "0"),
    ],
)
def test_a_containers_amounts_are_told_in_units_of_their_divisor_rounded_up(
    amounts: dict[str, str], resource: str, divisor: str | None, value: str
) -> None:
    wanted = a_container_with(**amounts)
    node = Origins(allocatable={"cpu": 3500, "memory": 8 << 30})
    unit = Quantity(divisor) if divisor else None
    ref = ResourceFieldSelector(resource=resource, divisor=unit)
    variable = EnvVar(name="A", value_from=EnvVarSource(resource_field_ref=ref))
    assert value_of(a_pod(containers=(wanted,)), wanted, variable, node) == value


def test_the_amounts_of_another_container_are_told_by_its_name() -> None:
    other = replaced(a_container_with(memory="1Gi"), name="other")
    pod = a_pod(containers=(a_container("main"), other))

    def told(name: str) -> str | None:
        ref = ResourceFieldSelector(container_name=name, resource="limits.memory")
        variable = EnvVar(name="A", value_from=EnvVarSource(resource_field_ref=ref))
        return value_of(pod, pod.spec.containers[0], variable, Origins())

    assert told("other") == str(1 << 30)
    with pytest.raises(RuntimeTrouble, match="container nobody not found"):
        told("nobody")


def test_a_pod_hears_of_its_account_and_of_its_addresses() -> None:
    pod = replaced(a_pod(), spec=replaced(a_pod().spec, service_account_name="till"))
    known = Origins(pod_address="10.244.1.7", host_address="10.0.0.1")
    paths = ("spec.serviceAccountName", "status.podIPs", "status.hostIPs")
    assert [field_of(pod, path, known) for path in paths] == ["till", "10.244.1.7", "10.0.0.1"]
