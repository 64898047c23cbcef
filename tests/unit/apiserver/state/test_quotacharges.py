"""What an object costs quotas: decided on what the transaction sees, whatever memory said."""

from collections.abc import Sequence
from typing import Any

import pytest

from apiserver.state.items import Item, stored
from apiserver.state.keys import key_of
from apiserver.storage.store import Put
from apiserver.strategies.admission.quotas import charged, keys_of_quotas
from cubernetes.api.coding import codec
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object, replaced
from tests.unit.api.core.test_quota import a_quota, pod_of

KEY = key_of(ResourceQuota, "default", "q")
POD = pod_of({"resources": {"requests": {"cpu": "500m"}}})


class Memory:
    """As much of a cluster as quotas are asked of."""

    def __init__(self, *objects: Object) -> None:
        self._objects = objects

    def within(self, kind: type[Object], namespace: str) -> Sequence[Object]:
        found = (one for one in self._objects if isinstance(one, kind))
        return [one for one in found if one.metadata.namespace == namespace]


def counted(quota: ResourceQuota, **used: str) -> ResourceQuota:
    """Return a quota whose status tells what is used."""
    tree = codec.to_tree(quota)
    named = {name.replace("_", "."): amount for name, amount in used.items()}
    tree["status"] = {"hard": tree["spec"]["hard"], "used": named}
    return codec.from_tree(ResourceQuota, tree).model


def seen(quota: ResourceQuota) -> dict[str, Item]:
    return {KEY: stored(ResourceQuota, KEY, codec.encode(quota), 5)}


def memory(*objects: Object) -> Any:
    return Memory(*objects)


def test_only_quotas_that_count_what_is_added_are_asked() -> None:
    of_pods, of_maps = a_quota(hard={"pods": "1"}), a_quota(hard={"configmaps": "1"})
    elsewhere = replaced(of_pods, metadata=replaced(of_pods.metadata, namespace="other"))
    named = replaced(of_maps, metadata=replaced(of_maps.metadata, name="maps"))
    assert keys_of_quotas(memory(of_pods, named, elsewhere), POD) == (KEY,)
    # Nothing is added by a change that leaves it as it was.
    assert keys_of_quotas(memory(of_pods), POD, POD) == ()


def test_what_is_used_grows_by_what_is_added() -> None:
    quota = counted(a_quota(hard={"pods": "3", "cpu": "1"}), pods="1", cpu="500m")
    (put,) = charged((KEY,), seen(quota), POD)
    assert isinstance(put, Put)
    after = codec.decode(ResourceQuota, put.value)
    assert {name: str(amount) for name, amount in after.status.used.items()} == {
        "pods": "2", "cpu": "1",
    }  # fmt: skip


def test_a_quota_that_is_not_counted_yet_allows_nothing() -> None:
    told = "status unknown for quota: q, resources: pods"
    with pytest.raises(Forbidden, match=told):
        charged((KEY,), seen(a_quota(hard={"pods": "3"})), POD)


def test_a_quota_that_is_gone_or_counts_something_else_by_now_costs_nothing() -> None:
    other = counted(a_quota(hard={"configmaps": "0"}), configmaps="0")
    assert charged((KEY,), {KEY: None}, POD) == []
    assert charged((KEY,), seen(other), POD) == []


def test_a_bound_that_was_changed_holds_at_once() -> None:
    """What is used was counted, whatever the bound was; status.hard only tells which names are."""
    quota = counted(a_quota(hard={"pods": "3"}), pods="1")
    shrunk = replaced(quota, spec=a_quota(hard={"pods": "1"}).spec)
    with pytest.raises(Forbidden, match="used: pods=1, limited: pods=1"):
        charged((KEY,), seen(shrunk), POD)
    full = counted(a_quota(hard={"pods": "1"}), pods="1")
    grown = replaced(full, spec=a_quota(hard={"pods": "9"}).spec)
    (put,) = charged((KEY,), seen(grown), POD)
    assert isinstance(put, Put)
    assert str(codec.decode(ResourceQuota, put.value).status.used["pods"]) == "2"
