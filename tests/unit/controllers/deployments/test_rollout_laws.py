"""Laws of rollouts: bounds at every step, whatever happens, and one end whatever the order."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.deployments import sizes
from controllers.deployments.deployments import Deployments
from controllers.deployments.rollout import Rollout, rollout_of
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetStatus
from cubernetes.api.meta import replaced
from tests.given import NOW, a_deployment, a_replicaset, a_template
from tests.unit.controllers.deployments.rollouts import BAD, Life

SHARES: st.SearchStrategy[int | str] = st.sampled_from([0, 1, 2, "0%", "25%", "34%", "50%", "100%"])
IMAGES = ("a", "b", "c", BAD)
STEPS = ("roll", "roll", "count", "count", "start", "start", "end", "kill", "image")


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """A Deployment whose first rollout has come to its end."""
    wanted = a_deployment(
        replicas=draw(st.integers(1, 6)),
        image="a",
        surge=draw(SHARES),
        unavailable=draw(SHARES),
    )
    life = Life(wanted)
    life.settle()
    return life


def bounds(life: Life) -> tuple[int, int]:
    rollout = life.rollout
    replicas = life.wanted.spec.replicas
    return replicas + rollout.surge, replicas - rollout.unavailable


@settings(max_examples=50, deadline=None)
@given(
    life=lives(),
    steps=st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(0, 4)), max_size=60
    ),
)
def test_never_above_the_surge_and_never_below_the_available_by_its_own_acts(
    life: Life, steps: Sequence[tuple[str, int, int]]
) -> None:
    """Pods die, templates change in the middle, plans are cut, and views are behind."""
    for step, behind, cut in steps:
        most, least = bounds(life)
        match step:
            case "roll":
                # What died is known to it: what it takes away beyond that is its own act.
                life.count()
                before = life.kept_available()
                life.roll(0 if life.pods() == [] else behind % 3, cut or None)
                assert life.kept_available() >= min(before, least)
            case "kill":
                life.kill(behind)
                life.count()
                life.roll()
            case "image":
                life.set_image(IMAGES[behind % 3])
            case _:
                getattr(life, step)()
        assert sum(life.sizes()) <= most
        assert len(life.pods()) <= most
    life.settle()
    assert all(pod.spec.containers == life.wanted.spec.template.spec.containers for pod in (
        life.pods()
    ))  # fmt: skip
    assert len(life.pods()) == life.wanted.spec.replicas


@settings(max_examples=40, deadline=None)
@given(
    life=lives(),
    steps=st.lists(
        st.tuples(st.sampled_from([*STEPS, "size", "pause"]), st.integers(0, 9)), max_size=40
    ),
)
def test_whatever_was_changed_on_the_way_the_end_is_what_was_wanted_last(
    life: Life, steps: Sequence[tuple[str, int]]
) -> None:
    for step, place in steps:
        match step:
            case "roll":
                life.roll(place % 4)
            case "kill":
                life.kill(place)
            case "image":
                life.set_image(IMAGES[place % 4])
            case "size":
                life.change(replicas=place % 7)
            case "pause":
                life.change(paused=bool(place % 2))
            case _:
                getattr(life, step)()
    life.change(paused=False, template=a_template())
    life.settle()

    assert len(life.pods()) == life.wanted.spec.replicas
    status = life.wanted.status
    assert (status.replicas, status.updated_replicas, status.available_replicas) == (
        life.wanted.spec.replicas,
    ) * 3
    assert status.observed_generation == life.wanted.metadata.generation
    writes = life.world.writes
    life.settle()
    assert life.world.writes == writes


@settings(max_examples=25, deadline=None)
@given(life=lives(), cuts=st.lists(st.integers(0, 3), max_size=30), image=st.sampled_from("bc"))
def test_a_rollout_cut_anywhere_and_planned_again_ends_the_same(
    life: Life, cuts: list[int], image: str
) -> None:
    life.set_image(image)
    for cut in cuts:
        life.roll(cut=cut)
        life.count()
        life.start()
        life.end()
    life.settle()

    assert life.sizes()[-1] == life.wanted.spec.replicas
    assert sum(life.sizes()) == life.wanted.spec.replicas
    assert len(life.sets) == 2


@given(data=st.data(), count=st.integers(1, 5))
def test_the_order_in_which_sets_are_seen_decides_nothing(data: st.DataObject, count: int) -> None:
    wanted = a_deployment(replicas=4)
    sets = [
        a_replicaset(f"web-{place}", template=a_template({"app": "web", "v": str(place)}))
        for place in range(count)
    ]
    owned = [_owned(one, wanted) for one in sets]
    life, other = Life(wanted, *owned), Life(wanted, *data.draw(st.permutations(owned)))

    plans = [list(Deployments().plan(wanted.ref, one.world.view(), NOW)) for one in (life, other)]

    assert _shape(plans[0]) == _shape(plans[1])


def _owned(one: ReplicaSet, wanted: object) -> ReplicaSet:
    labels = {"app": "web"}
    meta = replaced(
        one.metadata, labels=labels, owner_references=(wanted.owner_reference(),)  # type: ignore[attr-defined]
    )  # fmt: skip
    return replaced(one, metadata=meta)


def _shape(plan: Sequence[object]) -> list[str]:
    return [type(one).__name__ + str(getattr(one, "ref", "")) for one in plan]


# As Kubernetes documents: the surge is rounded up, the unavailable down, and not both are zero.
@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "wanted"),
    [
        (10, "25%", "25%", (3, 2)),
        (4, "25%", "25%", (1, 1)),
        (3, "25%", "25%", (1, 0)),
        (1, "25%", "25%", (1, 0)),
        (10, "0%", "0%", (0, 1)),
        (10, "0%", "9%", (0, 1)),
        (10, 0, 0, (0, 1)),
        (10, 2, 0, (2, 0)),
        (3, 0, 5, (0, 3)),
        (5, "100%", "100%", (5, 5)),
        (0, "25%", "25%", (0, 0)),
        (7, "150%", "33%", (11, 2)),
    ],
)
def test_percentages_are_rounded_as_kubernetes_documents(
    replicas: int, surge: int | str, unavailable: int | str, wanted: tuple[int, int]
) -> None:
    one = a_deployment(replicas=replicas, surge=surge, unavailable=unavailable)
    rollout = rollout_of(one, [])

    assert (rollout.surge, rollout.unavailable) == wanted


def a_set(place: int, replicas: int, most: int, desired: int) -> ReplicaSet:
    one = a_replicaset(f"web-{place}", replicas=replicas)
    prefix = "deployment.kubernetes.io/"
    notes = {f"{prefix}max-replicas": str(most), f"{prefix}desired-replicas": str(desired)}
    meta = replaced(one.metadata, annotations=notes)
    return replaced(one, metadata=meta, status=ReplicaSetStatus(replicas=replicas))


# Worked out by Kubernetes' rule: the largest first, a half rounded up, the rest is the first's.
@pytest.mark.parametrize(
    ("before", "after", "surge", "found", "wanted"),
    [
        (10, 12, 0, (10,), (12,)),
        (10, 5, 0, (10,), (5,)),
        (10, 12, 0, (5, 5), (6, 6)),
        (10, 5, 0, (5, 5), (2, 3)),
        (10, 12, 0, (3, 4, 3), (3, 5, 4)),
        (10, 15, 0, (5, 2, 3), (8, 2, 5)),
        (10, 6, 0, (8, 1, 1), (4, 1, 1)),
        (10, 0, 0, (3, 3, 4), (0, 0, 0)),
        (5, 10, 2, (5, 2), (9, 3)),
    ],
)
def test_a_change_of_size_is_shared_out_in_proportion(
    before: int,
    after: int,
    surge: int,
    found: tuple[int, ...],
    wanted: tuple[int, ...],
) -> None:
    one = a_deployment(replicas=after, surge=surge, unavailable=1)
    sets = [a_set(place, size, before + surge, before) for place, size in enumerate(found)]
    rollout = Rollout(one, sets[-1], sets[:-1])

    assert sizes.is_resized(rollout)
    resized = sizes.resized(rollout)

    assert tuple(resized[each.metadata.uid] for each in sets) == wanted
