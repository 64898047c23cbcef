"""A view of objects at hand answers as a cache does."""

import pytest

from cubernetes.api.meta import Object
from cubernetes.api.node import Node
from cubernetes.api.pod import Pod
from cubernetes.client.cache import Cache
from cubernetes.reconcile.plan import StillView
from tests.given import a_node, a_pod

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
