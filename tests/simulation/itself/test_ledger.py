"""What the ledger calls a fight, and what it does not."""

import pytest

from apiserver.state.items import encoded
from apiserver.state.keys import key_of
from apiserver.storage.store import Put
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetStatus
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.discovery.endpointslice import SERVICE_LABEL, Endpoint, EndpointSlice
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from tests.simulation.judges.laws import STALE_S_MAX
from tests.simulation.judges.ledger import FIGHT_RETURNS_MAX, FIGHT_WRITES_MAX, Ledger
from tests.simulation.workloads import numbered, rolling, workload

TURNS = 2 * FIGHT_RETURNS_MAX


def put(one: Object) -> Put:
    meta = one.metadata
    return Put(key_of(type(one), meta.namespace, meta.name), encoded(one))


def counting(replicas: int) -> Put:
    one = workload("web", "default", 3, 30)
    return put(replaced(one, status=ReplicaSetStatus(replicas=replicas)))


def pod(labels: dict[str, str], name: str = "web-1") -> Put:
    spec = PodSpec(containers=(Container(name="main", image="web:1"),))
    meta = ObjectMeta(name=name, namespace="default", labels=labels, uid=name)
    return put(Pod(metadata=meta, spec=spec))


def test_a_status_that_two_undo_for_each_other_is_a_fight() -> None:
    ledger = Ledger(lambda: 1.0)
    for turn in range(TURNS):
        ledger.committed([counting(turn % 2)], turn + 1)
    assert any("becomes what it was" in each for each in ledger.broken)


def test_a_status_that_follows_its_pods_is_none() -> None:
    ledger = Ledger(lambda: 1.0)
    for turn in range(TURNS):
        ledger.committed([pod({"turn": str(turn)})], 2 * turn + 1)
        ledger.committed([counting(turn % 2)], 2 * turn + 2)
    assert ledger.broken == []


def listing(number: int) -> Put:
    """Return the slice of a service behind which one pod answers."""
    meta = ObjectMeta(name="web-1", namespace="default", labels={SERVICE_LABEL: "web"})
    listed = Endpoint(addresses=(f"10.244.0.{number}",))
    return put(EndpointSlice(metadata=meta, endpoints=(listed,)))


@pytest.mark.parametrize(("own_writes", "is_wrong"), [(1, False), (2, True)])
def test_a_slice_that_follows_its_pods_is_none_and_one_that_runs_ahead_is(
    own_writes: int, is_wrong: bool
) -> None:
    """Rollouts of two workloads behind one service take more than 30 writes in 5 s."""
    ledger = Ledger(lambda: 1.0)
    for turn in range(FIGHT_WRITES_MAX):
        ledger.committed([pod({"app": "web"}, f"web-{turn}")], 3 * turn + 1)
        for write in range(own_writes):
            ledger.committed([listing(own_writes * turn + write)], 3 * turn + 2 + write)
    assert bool(ledger.broken) == is_wrong
    assert all("is written beyond what it counts" in each for each in ledger.broken)


def test_a_slice_that_two_undo_for_each_other_is_a_fight() -> None:
    ledger = Ledger(lambda: 1.0)
    for turn in range(TURNS):
        ledger.committed([listing(turn % 2)], turn + 1)
    assert any("becomes what it was" in each for each in ledger.broken)


@pytest.mark.parametrize(("pause_s", "is_wrong"), [(0.1, True), (1.0, False)])
def test_what_counts_nothing_may_not_be_written_often_whatever_it_says(
    pause_s: float, is_wrong: bool
) -> None:
    now_s = 0.0
    ledger = Ledger(lambda: now_s)
    for turn in range(2 * FIGHT_WRITES_MAX):
        now_s += pause_s
        ledger.committed([pod({"turn": str(turn)})], turn + 1)
    assert bool(ledger.broken) == is_wrong


def test_returns_that_lie_far_apart_are_none() -> None:
    now_s = 0.0
    ledger = Ledger(lambda: now_s)
    for turn in range(TURNS):
        now_s += 2.0
        ledger.committed([counting(turn % 2)], turn + 1)
    assert ledger.broken == []


@pytest.mark.parametrize(("is_grown", "is_wrong"), [(True, True), (False, False)])
def test_sets_are_too_large_by_whoever_makes_them_grow(is_grown: bool, is_wrong: bool) -> None:
    """Long after its Deployment was made smaller; with no controller there they only stay so."""
    now_s = 0.0
    ledger = Ledger(lambda: now_s)
    one = workload("web", "default", 3, 30)
    above = rolling(one, "RollingUpdate")
    above = replaced(above, metadata=replaced(above.metadata, uid="d1"))
    owner = OwnerReference(
        api_version="apps/v1", kind="Deployment", name="web-d", uid="d1", controller=True
    )
    of_it = replaced(one, metadata=replaced(one.metadata, uid="s1", owner_references=(owner,)))
    ledger.committed([put(above), put(of_it)], 1)
    ledger.committed([put(replaced(above, spec=replaced(above.spec, replicas=0)))], 2)
    now_s = STALE_S_MAX + 1
    ledger.committed([put(replaced(above, spec=replaced(above.spec, replicas=0)))], 3)
    assert ledger.broken == []
    size = replaced(of_it.spec, replicas=4) if is_grown else of_it.spec
    told: ReplicaSet = replaced(of_it, spec=size, status=ReplicaSetStatus(replicas=3))
    ledger.committed([put(told)], 4)
    assert any("may have" in each for each in ledger.broken) == is_wrong


@pytest.mark.parametrize(("place", "is_wrong"), [(1, False), (4, True)])
def test_a_place_of_a_set_is_filled_again_before_those_above_its_size_have_ended(
    place: int, is_wrong: bool
) -> None:
    """It was made smaller from 4 to 3 and lost a pod, while no controller was there."""
    now_s = 0.0
    ledger = Ledger(lambda: now_s)
    one = numbered(workload("db", "default", 4, 30), "OrderedReady", "db")
    one = replaced(one, metadata=replaced(one.metadata, uid="s1"))
    owner = OwnerReference(
        api_version="apps/v1", kind="StatefulSet", name="db-s", uid="s1", controller=True
    )

    def of_it(number: int) -> Put:
        meta = ObjectMeta(
            name=f"db-s-{number}", namespace="default", uid=f"p{number}", owner_references=(owner,)
        )
        spec = PodSpec(containers=(Container(name="main", image="web:1"),))
        return put(Pod(metadata=meta, spec=spec))

    ledger.committed([put(one), *(of_it(each) for each in (0, 2, 3))], 1)
    for revision in (2, 3):
        ledger.committed([put(replaced(one, spec=replaced(one.spec, replicas=3)))], revision)
        now_s = STALE_S_MAX + 1
    assert ledger.broken == []
    ledger.committed([of_it(place)], 4)
    assert bool(ledger.broken) == is_wrong
