"""The brain's plan: laws of its end, and the cases that must go right."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cubernetes.api.serverless.function import Function, SizeClass, TrafficShare
from cubernetes.api.serverless.functionrevision import FunctionRevision
from serverless.board.key import FunctionKey
from serverless.brain.naming import revision_name
from serverless.brain.plan import (
    REVISIONS_KEPT,
    Claim,
    Drain,
    DropRevision,
    Load,
    MakeInstance,
    MakeRevision,
    Remove,
    Revisions,
    World,
    key_of,
    plan,
    revisions_by_function,
)
from tests.unit.serverless.functionworld import TinyWorld, a_function, a_revision, an_instance

KEY = FunctionKey("default", "f")


def latest_and_serving(
    function: Function, revisions: Revisions
) -> tuple[FunctionRevision | None, FunctionRevision | None]:
    aim = World(functions=[function], revisions=revisions).aims[key_of(function)]
    return aim.latest, aim.split.shares[0].revision if aim.split.shares else None


def test_new_code_is_kept_tried_once_and_its_instance_given_back() -> None:
    world = TinyWorld(a_function())
    world.settle()

    (revision,) = world.revisions.values()
    assert revision.spec.files == {"action.py": "v1"}
    assert latest_and_serving(a_function(), revisions_by_function([revision])) == (
        revision,
        revision,
    )
    assert world.of() == []
    assert len(world.pool) == 1


def test_need_takes_from_the_pool_first_and_makes_the_rest() -> None:
    world = TinyWorld(a_function(), pool_size=2)
    world.settle()
    world.needed[KEY] = 3

    actions = world.planned()

    assert [type(one) for one in actions] == [Claim, Claim, MakeInstance]
    world.settle()
    assert len(world.of()) == 3
    assert len(world.pool) == 2
    assert all(one.loaded for one in world.of())


def test_an_instance_of_another_size_is_made_and_not_taken_from_the_pool() -> None:
    world = TinyWorld(a_function(resources="large"), pool_size=2)
    world.settle()
    world.needed[KEY] = 1

    assert world.planned() == [MakeInstance(KEY, "large")]


def test_another_size_serves_until_one_of_the_right_size_can() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 1
    world.settle()
    (before,) = world.of()
    world.put(a_function(resources="medium"))

    assert world.planned() == [MakeInstance(KEY, "medium")]
    world.carry(MakeInstance(KEY, "medium"))
    new = next(one for one in world.of() if one.size == "medium")
    (load,) = world.planned()
    assert isinstance(load, Load)
    assert load.instance == new
    world.settle()

    assert [one.size for one in world.of()] == ["medium"]
    assert before.name not in world.instances


def test_new_code_is_tried_in_one_instance_before_the_others() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 3
    world.settle()
    world.put(a_function(text="v2"))
    (made,) = world.planned()
    assert isinstance(made, MakeRevision)
    world.carry(made)

    (tried,) = world.planned()
    assert isinstance(tried, Load)
    world.change(tried.instance, is_busy=True)
    assert world.planned() == []
    world.change(tried.instance, is_busy=False)
    world.carry(tried)
    actions = world.planned()

    assert [type(one) for one in actions] == [Load, Load]
    world.settle()
    name = revision_name(a_function(text="v2"))
    assert all(one.loaded[-1] == name for one in world.of())


def test_code_that_cannot_be_loaded_is_tried_once_and_the_one_before_serves() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 2
    world.settle()
    world.put(a_function(text="broken"))
    world.settle()

    latest, serving = latest_and_serving(
        a_function(text="broken"), revisions_by_function(world.revisions.values())
    )
    assert latest is not None
    assert serving is not None
    assert serving.metadata.name == revision_name(a_function())
    assert all(one.loaded == (serving.metadata.name,) for one in world.of())


def test_code_that_never_could_be_loaded_keeps_no_instance() -> None:
    world = TinyWorld(a_function(text="broken"))
    world.needed[KEY] = 5
    world.settle()

    assert world.of() == []


def test_going_back_to_older_code_needs_no_trial() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 1
    world.settle()
    world.put(a_function(text="v2"))
    world.settle()
    world.put(a_function())

    latest, serving = latest_and_serving(
        a_function(), revisions_by_function(world.revisions.values())
    )
    assert latest == serving
    assert world.planned() == []


def test_an_instance_drains_before_it_is_removed() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 2
    world.settle()
    first, second = world.of()
    world.change(first, running_count=1)
    world.change(second, running_count=1)
    world.needed[KEY] = 0

    assert {type(one) for one in world.planned()} == {Drain}
    for one in world.planned():
        world.carry(one)
    assert world.planned() == []
    world.change(first, running_count=0)
    (removed,) = world.planned()

    assert isinstance(removed, Remove)
    assert removed.instance.name == first.name


def test_need_takes_a_draining_instance_back_before_it_takes_another() -> None:
    world = TinyWorld(a_function(), pool_size=1)
    world.needed[KEY] = 1
    world.settle()
    (one,) = world.of()
    world.change(one, is_draining=True, running_count=1)

    assert world.planned() == [Drain(world.instances[one.name], is_draining=False)]


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    world = TinyWorld(a_function())
    world.settle()
    world.needed[KEY] = 4
    shown = world.world()

    coming: list[tuple[FunctionKey | None, SizeClass]] = [
        (KEY, "small"),
        (KEY, "small"),
        (None, "small"),
    ]
    actions = list(plan(replace(shown, coming=coming)))

    assert sum(isinstance(one, MakeInstance) for one in actions) == 1
    assert sum(isinstance(one, Claim) for one in actions) == 1


def test_a_revision_on_its_way_is_not_asked_for_again() -> None:
    world = TinyWorld(a_function(), pool_size=0)
    making = frozenset({revision_name(a_function())})

    assert list(plan(replace(world.world(), making=making))) == []


def test_instances_of_a_function_that_has_gone_end_their_calls_and_go() -> None:
    world = TinyWorld(pool_size=0)
    world.instances["i"] = an_instance("i", KEY, loaded=("f-1",), running=1)

    assert world.planned() == [Drain(world.instances["i"], is_draining=True)]
    world.settle()
    assert list(world.instances) == ["i"]
    world.change(world.instances["i"], running_count=0)
    world.settle()

    assert world.instances == {}


def test_a_broken_instance_is_removed_and_replaced() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 1
    world.settle()
    (one,) = world.of()
    world.change(one, is_broken=True, running_count=1)
    world.settle()

    assert one.name not in world.instances
    assert len(world.of()) == 1


def test_the_pool_is_as_large_as_it_should_be() -> None:
    world = TinyWorld(pool_size=3)
    world.settle()
    assert len(world.pool) == 3
    world.pool_size = 1
    world.settle()

    assert len(world.pool) == 1


def test_old_revisions_are_dropped_but_those_that_serve() -> None:
    versions = [a_function(text=f"v{number}") for number in range(REVISIONS_KEPT + 5)]
    world = TinyWorld(versions[-1], pool_size=0)
    good = a_revision(versions[0], at_s=0)
    bad = [a_revision(one, loads=False, at_s=at) for at, one in enumerate(versions[1:], start=1)]
    world.revisions = {one.metadata.name: one for one in (good, *bad)}

    dropped = [one for one in world.planned() if isinstance(one, DropRevision)]

    assert good.metadata.name not in {one.revision.metadata.name for one in dropped}
    assert len(dropped) == 4
    world.settle()
    assert len(world.revisions) == REVISIONS_KEPT + 1


def test_minimum_and_maximum_bound_the_instances() -> None:
    world = TinyWorld(a_function(min_instances=1, max_instances=2))
    world.settle()
    assert len(world.of()) == 1
    world.needed[KEY] = 50
    world.settle()

    assert len(world.of()) == 2


def split(*parts: tuple[str, int]) -> tuple[TrafficShare, ...]:
    return tuple(TrafficShare(revision=name, percent=percent) for name, percent in parts)


def test_every_revision_of_a_split_is_loaded_in_all_and_kept_through_a_trial() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 2
    world.settle()
    first, second = revision_name(a_function()), revision_name(a_function(text="v2"))
    traffic = split((first, 50), (second, 40), ("latest", 10))
    for text in ("v2", "v3", "v4", "v5"):
        world.put(a_function(text=text, traffic=traffic if text != "v2" else ()))
        world.settle()

    aim = world.world().aims[KEY]

    newest = revision_name(a_function(text="v5"))
    assert [(one.revision.metadata.name, one.percent) for one in aim.split.shares] == [
        (first, 50),
        (second, 40),
        (newest, 10),
    ]
    assert all({first, second, newest} <= set(one.loaded) for one in world.of())
    assert world.planned() == []


def test_new_code_is_tried_though_no_call_goes_to_it() -> None:
    world = TinyWorld(a_function())
    world.needed[KEY] = 2
    world.settle()
    first = revision_name(a_function())
    world.put(a_function(text="v2", traffic=split((first, 100))))
    world.settle()

    aim = world.world().aims[KEY]

    assert not aim.is_tried
    assert aim.served == (first,)
    assert [len(one.loaded) for one in world.of()] == [2, 1]


def a_lame_world() -> TinyWorld:
    """One new instance, of three revisions of which the first loaded once and does not now."""
    world = TinyWorld(a_function(min_instances=1))
    world.settle()
    first, second = revision_name(a_function()), revision_name(a_function(text="v2"))
    world.put(a_function(text="v2", min_instances=1))
    world.settle()
    traffic = split((first, 50), (second, 50))
    world.put(a_function(text="v3", min_instances=1, traffic=traffic))
    world.lame.add(first)
    for one in world.of():
        world.carry(Remove(one))
    return world


def test_what_an_instance_cannot_load_keeps_back_no_other_share_and_no_newer_code() -> None:
    world = a_lame_world()
    world.settle()

    (one,) = world.of()
    assert one.loaded == (
        revision_name(a_function(text="v2")),
        revision_name(a_function(text="v3")),
    )
    assert not world.world().aims[KEY].trials


def test_what_could_not_be_loaded_is_loaded_after_a_pause_and_a_trial_goes_before_it() -> None:
    world = a_lame_world()
    world.settle()
    (one,) = world.of()
    traffic = world.functions[KEY].spec.traffic
    world.put(a_function(text="v4", min_instances=1, traffic=traffic))
    (made,) = world.planned()
    world.carry(made)
    world.rest()

    (trial,) = world.planned()
    assert isinstance(trial, Load)
    assert trial.revision.metadata.name == revision_name(a_function(text="v4"))
    world.carry(trial)
    (again,) = world.planned()
    assert isinstance(again, Load)
    assert again.revision.metadata.name == revision_name(a_function())
    world.carry(again)
    assert world.planned() == []

    world.rest()
    world.lame.clear()
    world.settle()
    assert revision_name(a_function()) in world.instances[one.name].loaded


def test_revisions_of_a_split_that_nobody_has_tried_are_tried_after_the_newest() -> None:
    olds = [a_function(text=text) for text in ("v1", "broken", "v2")]
    traffic = split(*((revision_name(one), 30) for one in olds), ("latest", 10))
    world = TinyWorld(a_function(text="v3", traffic=traffic), pool_size=2)
    world.revisions = {
        revision_name(one): a_revision(one, loads=None, at_s=at) for at, one in enumerate(olds)
    }
    tried: list[str] = []
    while actions := world.planned():
        loads = [one for one in actions if isinstance(one, Load)]
        is_untried = [not one.revision.status.conditions for one in loads]
        assert is_untried.count(True) <= 1
        tried += [one.revision.spec.files["action.py"] for one in loads if any(is_untried)]
        for one in actions:
            world.carry(one)

    assert tried == ["v3", "v1", "broken", "v2"]
    assert [told.percent for told in world.world().aims[KEY].split.shares] == [30, 30, 40]


def test_calls_are_refused_once_all_that_a_split_names_has_been_tried() -> None:
    old, new = a_function(text="v1"), a_function(text="broken")
    traffic = split((revision_name(old), 100))
    function = a_function(text="broken", traffic=traffic)
    broken = a_revision(new, loads=False, at_s=1)

    def is_hopeless(*revisions: FunctionRevision) -> bool:
        known = revisions_by_function(revisions)
        return World(functions=[function], revisions=known).aims[KEY].is_hopeless

    assert not is_hopeless()
    assert [is_hopeless(a_revision(old, loads=one), broken) for one in (None, True, False)] == [
        False,
        False,
        True,
    ]
    assert is_hopeless(broken)


def test_a_trial_that_rests_lets_another_be_made() -> None:
    """Of a revision whose Secret is missing nobody knows whether it loads."""
    old = a_function(text="v1")
    traffic = split((revision_name(old), 100))
    world = TinyWorld(a_function(text="v2", traffic=traffic))
    world.revisions = {revision_name(old): a_revision(old, loads=None)}
    world.lame.add(revision_name(a_function(text="v2")))
    world.settle()

    assert world.world().aims[KEY].served == (revision_name(old),)


def test_revisions_that_a_split_names_are_not_dropped() -> None:
    versions = [a_function(text=f"v{number}") for number in range(REVISIONS_KEPT + 5)]
    named = revision_name(versions[0])
    world = TinyWorld(a_function(text="v14", traffic=split((named, 100))), pool_size=0)
    world.revisions = {
        revision_name(one): a_revision(one, loads=at > 0, at_s=at)
        for at, one in enumerate(versions)
    }

    dropped = {one.revision.metadata.name for one in world.planned() if type(one) is DropRevision}

    assert named not in dropped
    assert len(dropped) == 4


needs = st.integers(0, 8)
texts = st.sampled_from(["v1", "v2", "v3", "broken", "broken too"])
steps = st.lists(st.tuples(texts, needs, st.sampled_from(["small", "medium"])), max_size=8)


@settings(deadline=None)
@given(steps=steps, pool_size=st.integers(0, 3))
def test_whatever_is_wanted_the_plan_comes_to_its_end(
    steps: list[tuple[str, int, str]], pool_size: int
) -> None:
    """Fixpoint: as many as are needed, of the right size, with code that loads; the pool full."""
    world = TinyWorld(pool_size=pool_size)
    is_served = False
    for text, need, size in steps:
        world.put(a_function(text=text, resources=size, max_instances=5))
        world.needed[KEY] = need
        world.settle()
        is_served = is_served or "broken" not in text
        wanted = min(need, 5) if is_served else 0
        assert [one.size for one in world.of()] == [size] * wanted
        assert len(world.pool) == pool_size
        function = world.functions[KEY]
        _, serving = latest_and_serving(function, revisions_by_function(world.revisions.values()))
        assert (serving is not None) == is_served
        if serving is not None:
            assert all(serving.metadata.name in one.loaded for one in world.of())


@settings(deadline=None)
@given(steps=steps, data=st.data())
def test_a_plan_that_is_cut_anywhere_comes_to_the_same_end(
    steps: list[tuple[str, int, str]], data: st.DataObject
) -> None:
    """Interruption: a crash between any two actions leaves nothing wrong."""
    world = TinyWorld(pool_size=1)
    for text, need, size in steps:
        world.put(a_function(text=text, resources=size, max_instances=5))
        world.needed[KEY] = need
        for _ in range(data.draw(st.integers(0, 3))):
            actions = world.planned()
            for action in actions[: data.draw(st.integers(0, len(actions)))]:
                world.carry(action)
    world.settle()

    need = min(world.needed.get(KEY, 0), 5)
    assert len(world.of()) in (0, need)
    assert len(world.pool) == 1


@given(data=st.data(), need=needs)
def test_the_order_of_what_is_shown_does_not_matter(data: st.DataObject, need: int) -> None:
    world = TinyWorld(a_function(), a_function("g"), pool_size=3)
    world.settle()
    world.needed[KEY] = need
    shown = world.world()
    instances = data.draw(st.permutations(shown.instances))

    mixed = list(plan(replace(shown, instances=instances)))

    assert sorted(map(repr, plan(shown))) == sorted(map(repr, mixed))
