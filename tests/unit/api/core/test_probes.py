"""Probes of a container: what Kubernetes fills in, and what it refuses."""

from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, Problem

TCP: dict[str, Any] = {"tcpSocket": {"port": 80}}


def a_pod_with(**parts: Any) -> Pod:
    container = {"name": "main", "image": "web:1", **parts}
    tree = {"metadata": {"name": "web"}, "spec": {"containers": [container]}}
    return codec.from_tree(Pod, tree).model.defaulted()


def problems(**parts: Any) -> dict[str, str]:
    found: list[Problem] = list(a_pod_with(**parts).problems())
    return {one.field.removeprefix("spec.containers[0]."): one.message for one in found}


@pytest.mark.parametrize("zeros", [{}, {"timeoutSeconds": 0, "periodSeconds": 0,
    "successThreshold": 0, "failureThreshold": 0}])  # fmt: skip
def test_what_a_probe_leaves_open_is_filled_in_as_kubernetes_does(zeros: dict[str, int]) -> None:
    request = {"httpGet": {"port": "http", "path": "", "scheme": ""}}
    tree: Any = codec.to_tree(a_pod_with(livenessProbe={**request, **zeros}))

    assert tree["spec"]["containers"][0]["livenessProbe"] == {
        "httpGet": {"path": "/", "port": "http", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_a_health_check_of_grpc_asks_about_the_server_unless_told() -> None:
    tree: Any = codec.to_tree(a_pod_with(readinessProbe={"grpc": {"port": 9000}}))

    assert tree["spec"]["containers"][0]["readinessProbe"]["grpc"] == {"port": 9000, "service": ""}


@pytest.mark.parametrize(
    ("kind", "probe", "field"),
    [
        ("livenessProbe", {}, ""),
        ("livenessProbe", {**TCP, "exec": {"command": ["true"]}}, ""),
        ("livenessProbe", {**TCP, "successThreshold": 2}, ".successThreshold"),
        ("startupProbe", {**TCP, "successThreshold": 2}, ".successThreshold"),
        ("startupProbe", {**TCP, "terminationGracePeriodSeconds": 0},
         ".terminationGracePeriodSeconds"),
        ("readinessProbe", {**TCP, "terminationGracePeriodSeconds": 5},
         ".terminationGracePeriodSeconds"),
        ("readinessProbe", {"exec": {}}, ".exec.command"),
        ("readinessProbe", {"tcpSocket": {"port": "Not_A_Name"}}, ".tcpSocket.port"),
        ("readinessProbe", {"httpGet": {"port": "80"}}, ".httpGet.port"),
        ("readinessProbe", {"httpGet": {"port": 80, "path": "/a\r\nX: 1"}}, ".httpGet.path"),
        ("readinessProbe", {"httpGet": {"port": 80, "host": "a\n"}}, ".httpGet.host"),
        ("readinessProbe",
         {"httpGet": {"port": 80, "httpHeaders": [{"name": "A b", "value": ""}]}},
         ".httpGet.httpHeaders[0].name"),
        ("readinessProbe",
         {"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "1\r\nB: 2"}]}},
         ".httpGet.httpHeaders[0].value"),
    ],
)  # fmt: skip
def test_what_is_no_probe_is_refused_by_its_field(
    kind: str, probe: dict[str, Any], field: str
) -> None:
    assert set(problems(**{kind: probe})) == {f"{kind}{field}"}


@pytest.mark.parametrize("kind", ["livenessProbe", "readinessProbe", "startupProbe"])
@pytest.mark.parametrize(
    "way",
    [
        TCP,
        {"exec": {"command": ["cat", "/tmp/ok"]}},
        {"httpGet": {"port": "http", "path": "/ok", "scheme": "HTTPS", "host": "10.0.0.1"}},
        {"grpc": {"port": 9000, "service": "shop"}},
    ],
    ids=lambda way: next(iter(way)),
)
def test_every_way_of_asking_is_taken(kind: str, way: dict[str, Any]) -> None:
    assert problems(**{kind: {**way, "initialDelaySeconds": 5, "failureThreshold": 30}}) == {}


def test_readiness_alone_may_ask_for_several_successes() -> None:
    assert problems(readinessProbe={**TCP, "successThreshold": 2}) == {}


@pytest.mark.parametrize(
    ("hook", "field"),
    [
        ({}, ""),
        ({"sleep": {"seconds": 1}, "exec": {"command": ["true"]}}, ""),
        ({"exec": {}}, ".exec.command"),
        ({"httpGet": {"port": "No"}}, ".httpGet.port"),
        ({"sleep": {"seconds": 31}}, ".sleep.seconds"),
    ],
)
@pytest.mark.parametrize("part", ["postStart", "preStop"])
def test_what_is_no_hook_is_refused_by_its_field(
    part: str, hook: dict[str, Any], field: str
) -> None:
    assert set(problems(lifecycle={part: hook})) == {f"lifecycle.{part}{field}"}


def test_hooks_are_taken_and_their_requests_filled_in() -> None:
    hooks = {"postStart": {"httpGet": {"port": 80}}, "preStop": {"sleep": {"seconds": 30}}}
    assert problems(lifecycle=hooks) == {}
    tree: Any = codec.to_tree(a_pod_with(lifecycle=hooks))
    request = tree["spec"]["containers"][0]["lifecycle"]["postStart"]["httpGet"]
    assert request == {"path": "/", "port": 80, "scheme": "HTTP"}


def test_a_connection_is_no_hook_and_is_refused_by_name() -> None:
    """Kubernetes takes it and fails when it is run."""
    with pytest.raises(ApiError, match="tcpSocket"):
        a_pod_with(lifecycle={"preStop": TCP})
