"""A view of objects at hand answers as a cache does."""

import pytest

from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object
from cubernetes.api.selectors import equal_to
from cubernetes.client.cache import Cache
from cubernetes.reconcile.plan import StillView
from tests.given import a_node, a_pod, a_replicaset

OBJECTS: tuple[Object, ...] = (a_pod("x"), a_pod("x", "other"), a_pod("y", "other"), a_node("x"))


@pytest.mark.parametrize("kind", [Pod, Node])
@pytest.mark.parametrize("name", ["x", "y", "z"])
@pytest.mark.parametrize("namespace", ["", "default", "other"])
def test_a_name_is_looked_up_in_its_own_place(
    kind: type[Object], name: str, namespace: str
) -> None:
    cache: Cache[Object] = Cache()
    cache.replace([one for one in OBJECTS if isinstance(one, kind)], 1)

    assert StillView(OBJECTS).get(kind, name, namespace) == cache.get(name, namespace)


OWNER = a_replicaset("web")
MANY: tuple[Pod, ...] = (
    a_pod("x", node="n1", labels={"app": "web"}, owner=OWNER),
    a_pod("x", "other", node="n1", labels={"app": "web"}),
    a_pod("y", "other", labels={"app": "db"}),
    a_pod("z", node="n2", labels={"app": "web"}, owner=OWNER),
)


def a_cache() -> Cache[Pod]:
    cache: Cache[Pod] = Cache()
    cache.replace(MANY, 1)
    return cache


@pytest.mark.parametrize("namespace", ["", "default", "other", "nowhere"])
@pytest.mark.parametrize("labels", [None, {"app": "web"}, {"app": "none"}])
def test_lists_are_those_of_a_cache(namespace: str, labels: dict[str, str] | None) -> None:
    selector = equal_to(labels) if labels else None
    shuffled = MANY[::-1]

    found = StillView(shuffled).list(Pod, namespace, selector)

    assert list(found) == list(a_cache().list(namespace, selector))
    assert StillView(shuffled).list(Node, namespace) == []


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
def test_what_is_on_a_node_is_that_of_a_cache(node: str) -> None:
    found = StillView((*MANY, a_node("n1"))).on_node(Pod, node)

    assert list(found) == list(a_cache().on_node(node))


@pytest.mark.parametrize("uid", [OWNER.metadata.uid, "nobody"])
def test_what_is_owned_is_that_of_a_cache(uid: str) -> None:
    assert list(StillView(MANY).owned(Pod, uid)) == list(a_cache().owned(uid))
