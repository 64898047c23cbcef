"""Paths: each names exactly what was asked for, or none is made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import BadRequest
from cubernetes.client.wire.paths import collection_of, path_of

PARTS = st.text(alphabet="ab./%-", max_size=4)


def test_a_path_is_of_a_collection_or_of_an_object() -> None:
    assert collection_of(Pod.resource) == "/api/v1/pods"
    assert collection_of(Pod.resource, "shop") == "/api/v1/namespaces/shop/pods"
    assert collection_of(Node.resource, "shop") == "/api/v1/nodes"
    assert path_of(Node.resource, "", "n1", "status") == "/api/v1/nodes/n1/status"
    assert (
        path_of(ReplicaSet.resource, "shop", "web")
        == "/apis/apps/v1/namespaces/shop/replicasets/web"
    )


def test_an_empty_name_never_becomes_a_collection() -> None:
    with pytest.raises(BadRequest, match="resource name may not be empty"):
        path_of(Pod.resource, "shop", "")
    with pytest.raises(BadRequest, match="resource name may not be empty"):
        path_of(Node.resource, "", "")


def test_a_name_without_its_namespace_is_refused() -> None:
    with pytest.raises(BadRequest, match="an empty namespace may not be set when a resource name"):
        path_of(Pod.resource, "", "web-0")


@pytest.mark.parametrize(
    ("namespace", "name", "told"),
    [
        ("shop", "..", "resource name '..' may not be '..'"),
        ("shop", ".", "resource name '.' may not be '.'"),
        ("shop", "a/b", "resource name 'a/b' may not contain '/'"),
        ("shop", "a%2Fb", "resource name 'a%2Fb' may not contain '%'"),
        ("..", "web", "namespace '..' may not be '..'"),
        ("a/b", "web", "namespace 'a/b' may not contain '/'"),
    ],
)
def test_a_part_that_would_name_something_else_is_refused(
    namespace: str, name: str, told: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        path_of(Pod.resource, namespace, name)
    assert refusal.value.message == told


@given(namespace=PARTS, name=PARTS)
def test_every_path_that_is_made_leads_back_to_its_parts(namespace: str, name: str) -> None:
    try:
        path = path_of(Pod.resource, namespace, name)
    except BadRequest:
        return
    assert path.split("/")[1:] == ["api", "v1", "namespaces", namespace, "pods", name]
    assert not {"", ".", ".."} & {namespace, name}
