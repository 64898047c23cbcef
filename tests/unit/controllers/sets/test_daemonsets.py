"""DaemonSets: one pod on each node that is meant for it, never two, exchanged within bounds."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.sets.daemonsets import FAST_END_S, DaemonSets
from controllers.sets.eligible import node_of, spec_for, tolerations_of, verdict_of
from cubernetes.api.apps.controllerrevision import REVISION_LABEL, ControllerRevision
from cubernetes.api.apps.daemonset import (
    DaemonSet,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
from cubernetes.api.core.node import Node, Taint
from cubernetes.api.core.pod import Pod, is_ready
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Action, Create, Delete, RequeueAfter
from tests.daemons import a_daemonset
from tests.given import a_node, a_pod
from tests.unit.controllers.sets.lives import BAD, Life

NODES = tuple(a_node(f"n{number}") for number in range(1, 5))


class Daemons(Life[DaemonSet]):
    """The life of a DaemonSet; no node ever has two of its pods but in a surge."""

    def __init__(self, wanted: DaemonSet, nodes: Sequence[Object] = NODES) -> None:
        super().__init__(DaemonSets(), wanted, *nodes)

    def on(self, node: str) -> list[Pod]:
        """Return the pods of a node that are not going."""
        return [pod for pod in self.pods if node_of(pod) == node and not pod.metadata.is_deleted]

    def counts(self) -> dict[str, int]:
        return {one.metadata.name: len(self.on(one.metadata.name)) for one in self.nodes}

    @property
    def nodes(self) -> list[Node]:
        return list(self.world.all(Node))

    def serving(self) -> int:
        """Return how many nodes have a ready pod that stays."""
        return sum(any(is_ready(pod) for pod in self.on(one.metadata.name)) for one in self.nodes)

    def images_on(self, node: str) -> list[str]:
        return sorted(pod.spec.containers[0].image for pod in self.on(node))


def settled(nodes: Sequence[Object] = NODES, **fields: object) -> Daemons:
    life = Daemons(a_daemonset(**fields), nodes)  # type: ignore[arg-type]
    life.settle()
    return life


def rolling(unavailable: int | str = 1, surge: int | str = 0) -> DaemonSetUpdateStrategy:
    bounds = RollingUpdateDaemonSet(max_unavailable=unavailable, max_surge=surge)
    return DaemonSetUpdateStrategy(rolling_update=bounds)


def planned(life: Daemons) -> list[Action]:
    return list(DaemonSets().plan(life.wanted.ref, life.world.view(), life.world.now))


def tainted(name: str, key: str, effect: str, **fields: object) -> Node:
    taint = Taint(key=key, effect=effect)  # type: ignore[arg-type]
    return a_node(name, taints=(taint,), **fields)  # type: ignore[arg-type]


def test_every_node_has_one_pod_that_only_it_can_take() -> None:
    life = settled()

    assert life.counts() == {"n1": 1, "n2": 1, "n3": 1, "n4": 1}
    (one,) = life.on("n2")
    assert one.spec.affinity is not None
    assert one.metadata.labels[REVISION_LABEL]
    unbound = replaced(one, spec=spec_for(life.wanted.spec.template.spec, "n2"))
    assert node_of(unbound) == "n2"
    status = life.wanted.status
    assert (status.desired_number_scheduled, status.current_number_scheduled) == (4, 4)
    assert (status.number_ready, status.number_available, status.number_unavailable) == (4, 4, 0)


def test_a_node_that_comes_gets_a_pod_and_one_that_goes_takes_its_own_along() -> None:
    life = settled()
    life.world.put(a_node("n5"))
    life.settle()
    assert life.counts()["n5"] == 1

    # A pod that waits for a node that is gone would wait for ever.
    (waiting,) = life.on("n5")
    spec = replaced(waiting.spec, node_name="")
    life.world.put(replaced(waiting, spec=spec))
    life.world.remove(a_node("n5").ref)
    life.settle()
    assert life.on("n5") == []


def test_pods_bound_to_a_node_that_is_not_there_are_not_judged() -> None:
    life = settled()
    life.world.remove(a_node("n4").ref)
    life.settle()

    assert len(life.on("n4")) == 1
    assert life.wanted.status.number_misscheduled == 0


def test_only_nodes_that_the_template_chooses_have_one() -> None:
    nodes = [a_node("n1"), a_node("n2", labels={"disk": "ssd"})]
    life = settled(nodes, node_selector={"disk": "ssd"})
    assert life.counts() == {"n1": 0, "n2": 1}

    life.world.put(a_node("n2"))
    life.world.put(a_node("n1", labels={"disk": "ssd"}))
    life.settle()
    assert life.counts() == {"n1": 1, "n2": 0}


@pytest.mark.parametrize(
    ("key", "effect", "verdict"),
    [
        ("dedicated", "NoSchedule", "stays"),
        ("dedicated", "NoExecute", "goes"),
        ("dedicated", "PreferNoSchedule", "runs"),
        ("node.kubernetes.io/not-ready", "NoExecute", "runs"),
        ("node.kubernetes.io/unreachable", "NoExecute", "runs"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule", "runs"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule", "runs"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule", "runs"),
        ("node.kubernetes.io/unschedulable", "NoSchedule", "runs"),
        # Only pods in the network of the node itself can begin there.
        ("node.kubernetes.io/network-unavailable", "NoSchedule", "stays"),
    ],
)
def test_which_taints_a_daemon_bears(key: str, effect: str, verdict: str) -> None:
    assert verdict_of(a_daemonset(), tainted("n1", key, effect)) == verdict


def test_what_the_template_bears_is_kept() -> None:
    own = Toleration(key="dedicated", operator="Exists")
    wanted = a_daemonset(tolerations=(own,))

    assert verdict_of(wanted, tainted("n1", "dedicated", "NoExecute")) == "runs"
    host = replaced(wanted.spec.template.spec, host_network=True)
    assert own in tolerations_of(host)
    assert len(tolerations_of(host)) == len(tolerations_of(wanted.spec.template.spec)) + 1


def test_a_pod_stays_where_no_new_one_would_come() -> None:
    life = settled()
    life.world.put(tainted("n1", "dedicated", "NoSchedule"))
    life.settle()
    assert life.counts()["n1"] == 1
    assert life.wanted.status.number_misscheduled == 1

    life.world.put(tainted("n1", "dedicated", "NoExecute"))
    life.settle()
    assert life.counts()["n1"] == 0


def test_a_cordoned_node_has_its_pod_all_the_same() -> None:
    assert settled([a_node("n1", is_schedulable=False)]).counts() == {"n1": 1}


def test_a_pod_that_is_going_holds_its_node_until_it_is_gone() -> None:
    life = settled()
    (one,) = life.on("n1")
    life.world.carry_out([Delete(Pod, one.ref, one.metadata.uid)])
    life.plan()
    assert life.on("n1") == []

    life.end()
    life.plan()
    assert len(life.on("n1")) == 1


def test_a_finished_pod_is_made_again_after_a_while() -> None:
    life = settled()
    (one,) = life.on("n1")
    life.fail(one.metadata.name)
    fresh = replaced(life.pod(one.metadata.name).metadata, creation_timestamp=life.world.now)
    life.world.put(replaced(life.pod(one.metadata.name), metadata=fresh))
    assert [each.after_s for each in planned(life) if isinstance(each, RequeueAfter)] == [
        FAST_END_S
    ]
    life.plan()
    assert len(life.on("n1")) == 1

    life.pass_s(FAST_END_S)
    life.settle()
    assert [is_ready(pod) for pod in life.on("n1")] == [True]


def test_of_two_on_a_node_the_older_stays() -> None:
    life = settled()
    (old,) = life.on("n1")
    later = replaced(
        old.metadata, name="double", uid="", creation_timestamp=life.world.now, resource_version=""
    )
    life.world.put(replaced(old, metadata=later))
    life.settle()

    assert [pod.metadata.uid for pod in life.on("n1")] == [old.metadata.uid]


@pytest.mark.parametrize(("unavailable", "floor"), [(1, 3), (2, 2), ("50%", 2), ("30%", 2)])
def test_an_update_leaves_as_many_nodes_served_as_it_says(
    unavailable: int | str, floor: int
) -> None:
    life = settled(image="a", update_strategy=rolling(unavailable))
    fewest = 4

    def look(_: Action) -> None:
        nonlocal fewest
        fewest = min(fewest, life.serving())

    life.watched.append(look)
    life.set_image("b")
    life.settle()

    assert fewest == floor
    assert set(life.images().values()) == {"b"}
    assert set(life.counts().values()) == {1}
    assert life.wanted.status.updated_number_scheduled == 4


def test_a_surge_leaves_every_node_served() -> None:
    life = settled(image="a", update_strategy=rolling(0, "50%"))
    most, fewest = 0, 4

    def look(_: Action) -> None:
        nonlocal most, fewest
        most = max(most, sum(count - 1 for count in life.counts().values()))
        fewest = min(fewest, life.serving())

    life.watched.append(look)
    life.set_image("b")
    life.settle()

    assert (most, fewest) == (2, 4)
    assert set(life.images().values()) == {"b"}
    assert set(life.counts().values()) == {1}


@pytest.mark.parametrize("surge", [0, 1])
def test_a_bad_template_stops_at_its_bound_and_goes_back(surge: int) -> None:
    life = settled(image="a", update_strategy=rolling(1 - surge, surge))
    life.set_image(BAD)
    life.settle()
    assert life.serving() == 3 + surge
    assert life.wanted.status.number_unavailable == 1 - surge

    life.set_image("a")
    life.settle()
    assert set(life.images().values()) == {"a"}
    assert (life.serving(), set(life.counts().values())) == (4, {1})


def test_old_pods_that_serve_nobody_go_at_once() -> None:
    life = settled(image=BAD)
    life.set_image("b")
    life.plan()  # the revision
    life.plan()

    assert all(pod.metadata.is_deleted for pod in life.pods)


def test_on_delete_leaves_the_exchange_to_others() -> None:
    life = settled(image="a", update_strategy=DaemonSetUpdateStrategy(type="OnDelete"))
    life.set_image("b")
    life.settle()
    assert set(life.images().values()) == {"a"}

    (one,) = life.on("n2")
    life.world.remove(one.ref)
    life.settle()
    assert (life.images_on("n1"), life.images_on("n2")) == (["a"], ["b"])
    assert life.wanted.status.updated_number_scheduled == 1


def test_a_pod_that_is_ready_too_short_holds_the_next_exchange() -> None:
    life = settled(image="a", min_ready_seconds=30)
    life.pass_s(30)
    life.plan()
    life.set_image("b")
    life.settle()
    life.pass_s(1)
    before = sorted(life.images().values())
    life.plan()
    assert sorted(life.images().values()) == before
    assert life.wanted.status.number_available == 3
    pauses = [each.after_s for each in planned(life) if isinstance(each, RequeueAfter)]
    assert len(pauses) == 1
    life.pass_s(pauses[0])
    assert life.plan() > 0


def test_pods_that_fit_and_are_nobodys_are_adopted_and_others_let_go() -> None:
    life = settled()
    for pod in life.pods:
        meta = replaced(pod.metadata, owner_references=())
        life.world.put(replaced(pod, metadata=meta))
    uids = {pod.metadata.uid for pod in life.pods}
    life.world.put(a_pod("stranger", node="n1", labels={"app": "other"}, owner=life.wanted))
    life.settle()

    mine = [pod for pod in life.pods if pod.metadata.controller == life.wanted.owner_reference()]
    assert {pod.metadata.uid for pod in mine} == uids
    assert life.pod("stranger").metadata.controller is None
    # Of a pod that is on no node, and meant for none alone, nobody knows whose place it takes.
    life.world.put(a_pod("nowhere"))
    assert planned(life) == []


def test_a_name_that_another_object_holds_is_counted_and_another_is_taken() -> None:
    life = Daemons(a_daemonset())
    life.plan()
    (one,) = life.world.all(ControllerRevision)
    other = Daemons(a_daemonset())
    meta = replaced(one.metadata, owner_references=(), labels={})
    other.world.put(replaced(one, metadata=meta, data=None))
    other.settle()

    assert other.wanted.status.collision_count == 1


def test_only_so_many_old_revisions_are_kept_the_newest() -> None:
    life = settled(image="0", revision_history_limit=1)
    for number in range(1, 4):
        life.set_image(str(number))
        life.settle()

    assert sorted(one.revision for one in life.world.all(ControllerRevision)) == [3, 4]


def test_what_changes_leads_to_its_sets() -> None:
    life = settled()
    ref = life.wanted.ref
    view = life.world.view()

    for one in (life.wanted, a_node("n9"), life.pods[0], a_pod("orphan")):
        assert list(DaemonSets().keys(one, view)) == [ref]
    assert list(DaemonSets().keys(a_pod("x", labels={"app": "other"}), view)) == []


def test_a_set_that_goes_makes_nothing() -> None:
    life = settled()
    meta = replaced(life.wanted.metadata, deletion_timestamp=life.world.now, finalizers=("a/b",))
    life.world.put(replaced(life.wanted, metadata=meta))
    life.kill(0)

    assert planned(life) == []


DEEDS: dict[str, Callable[[Daemons, int, int], object]] = {
    "plan": lambda life, behind, cut: life.plan(behind, cut or None),
    "start": lambda life, *_: life.start(),
    "end": lambda life, most, _: life.end(most),
    "kill": lambda life, place, _: life.kill(place),
    "image": lambda life, number, _: life.set_image(str(number)),
    "surge": lambda life, *_: life.change(update_strategy=rolling(0, 2)),
    "no surge": lambda life, *_: life.change(update_strategy=rolling(2, 0)),
    "taint": lambda life, place, _: life.world.put(tainted(f"n{place + 1}", "a", "NoExecute")),
    "clear": lambda life, place, _: life.world.put(a_node(f"n{place + 1}")),
    "cordon": lambda life, place, _: life.world.put(a_node(f"n{place + 1}", is_schedulable=False)),
}
STEPS = st.tuples(st.sampled_from(sorted(DEEDS)), st.integers(0, 3), st.integers(0, 3))


@given(st.lists(STEPS, max_size=25))
def test_whatever_was_done_on_the_way_the_end_is_one_new_pod_on_each_node_that_is_meant(
    steps: list[tuple[str, int, int]],
) -> None:
    life = Daemons(a_daemonset(image="0"))

    def look(action: Action) -> None:
        if isinstance(action, Create) and isinstance(action.object, Pod):
            node = node_of(action.object)
            assert len(life.on(node)) <= (
                2 if life.wanted.spec.update_strategy == rolling(0, 2) else 1
            )

    life.watched.append(look)
    for deed, first, second in steps:
        DEEDS[deed](life, first, second)
    life.pass_s(FAST_END_S)
    life.settle()

    wanted = life.wanted
    meant = {one.metadata.name for one in life.nodes if verdict_of(wanted, one) == "runs"}
    assert life.counts() == {one.metadata.name: one.metadata.name in meant for one in life.nodes}
    image = wanted.spec.template.spec.containers[0].image
    assert {one for node in meant for one in life.images_on(node)} <= {image}
    status = wanted.status
    counts = (status.desired_number_scheduled, status.current_number_scheduled)
    assert (*counts, status.number_available, status.updated_number_scheduled) == (len(meant),) * 4
    assert status.observed_generation == wanted.metadata.generation
