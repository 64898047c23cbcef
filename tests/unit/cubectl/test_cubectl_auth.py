"""`cubectl auth`: who the client is and what it may do, as the server says it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from tests.unit.cubectl.tinyserver import TinyServer, run

POD_NAME = "authentication.kubernetes.io/pod-name"
ME = {"username": "jane", "groups": ["staff", "system:authenticated"], "extra": {POD_NAME: ["w"]}}
RULES = [
    {"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods"]},
    {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
]
PATHS = [{"verbs": ["get"], "nonResourceURLs": ["/metrics", "/api/*"]}]


class Reviewer(TinyServer):
    """Answers every review with one status, and keeps what it was asked."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        super().__init__()
        self.status, self.reviews = status, list[dict[str, Any]]()

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        if method != "POST":
            return super()._answer(method, path, query, body)
        self.reviews.append(json.loads(body))
        return {**self.reviews[-1], "metadata": {}, "status": self.status}


def asked(server: Reviewer) -> Any:
    (review,) = server.reviews
    return review["spec"]["resourceAttributes"]


def test_a_client_is_told_its_name_its_groups_and_its_pod() -> None:
    said = run(Reviewer({"userInfo": ME}), "auth whoami").out
    assert said.splitlines() == [
        "ATTRIBUTE                                      VALUE",
        "Username                                       jane",
        "Groups                                         [staff system:authenticated]",
        f"Extra: {POD_NAME}   [w]",
    ]
    server = Reviewer({"userInfo": ME})
    assert json.loads(run(server, "auth whoami -o json").out)["status"] == {"userInfo": ME}
    assert server.reviews == [
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    ]


@pytest.mark.parametrize(
    ("status", "out", "code"),
    [
        ({"allowed": True, "reason": "a role"}, "yes\n", 0),
        ({"allowed": False}, "no\n", 1),
        ({"allowed": False, "reason": "no role allows it"}, "no - no role allows it\n", 1),
        ({}, "no\n", 1),
    ],
)
def test_may_is_answered_by_a_word_and_by_the_exit_code(
    status: dict[str, Any], out: str, code: int
) -> None:
    done = run(Reviewer(status), "auth can-i get pods")
    assert (done.out, done.code) == (out, code)
    assert run(Reviewer(status), "auth can-i get pods -q").out == ""


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("get po", {"resource": Pod.resource.plural, "namespace": "default"}),
        ("get po -n shop", {"resource": "pods", "namespace": "shop"}),
        ("get pods -A", {"resource": "pods"}),
        ("get pods/web", {"resource": "pods", "namespace": "default", "name": "web"}),
        ("get pods web --subresource log",
         {"resource": "pods", "namespace": "default", "name": "web", "subresource": "log"}),
        ("get ns", {"resource": Namespace.resource.plural}),
        ("get deploy", {"resource": "deployments", "group": "apps", "namespace": "default"}),
        ("get odd.example.com",
         {"resource": "odd", "group": "example.com", "namespace": "default"}),
        ("get *", {"resource": "*", "group": "*", "namespace": "default"}),
    ],
)  # fmt: skip
def test_what_is_asked_is_what_the_words_mean(line: str, more: dict[str, str]) -> None:
    server = Reviewer({"allowed": True})
    run(server, f"auth can-i {line}")
    assert asked(server) == {"verb": "get", "group": "", **more}


def test_a_path_is_asked_as_a_path() -> None:
    server = Reviewer({"allowed": True})
    run(server, "auth can-i get /metrics")
    (review,) = server.reviews
    assert review["spec"] == {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}


def test_all_that_a_client_may_is_a_table() -> None:
    server = Reviewer({"resourceRules": RULES, "nonResourceRules": PATHS})
    lines = run(server, "auth can-i --list -n shop").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["pods", "[get", "list]"],
        ["pods.apps", "[get", "list]"],
        ["secrets", "[a]", "[get]"],
        ["[/metrics", "/api/*]", "[get]"],
    ]
    assert server.reviews[0]["spec"] == {"namespace": "shop"}


@pytest.mark.parametrize(
    "line",
    ["can-i", "can-i get", "can-i get a b c", "can-i get /metrics x", "can-i --list x", "whoami x"],
)
def test_a_line_that_means_nothing_is_refused_before_the_server_is_asked(line: str) -> None:
    server = Reviewer({})
    assert run(server, f"auth {line}").code == 2
    assert server.reviews == []
