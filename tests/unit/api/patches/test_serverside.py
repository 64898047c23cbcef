"""Server-side apply: laws of who owns what, and the cases that Kubernetes documents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.patches.fieldsets import (
    FIELDS_MAX,
    NoKey,
    TooManyFields,
    from_v1,
    leaves_of,
    shown,
    to_v1,
)
from cubernetes.api.patches.serverside import (
    ANCIENT,
    UPDATERS_MAX,
    Conflicts,
    Owner,
    Owners,
    applied,
    fields_of,
    written,
)

ANN = Owner("ann", "Apply", "", "v1")
BEN = Owner("ben", "Apply", "", "v1")
CAT = Owner("cat", "Update", "", "v1")

words = st.sampled_from(["a", "b", "c"])
values = st.dictionaries(words, st.sampled_from(["1", "2"]), min_size=1, max_size=3)
entries = st.fixed_dictionaries({"name": words, "image": words})
containers = st.lists(entries, min_size=1, max_size=3, unique_by=lambda one: one["name"])
trees = st.fixed_dictionaries(
    {}, optional={"data": values, "spec": st.fixed_dictionaries({"containers": containers})}
)


def a_pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def settled(live: Any, wanted: Any, owners: Owners, me: Owner, *, forced: bool = False) -> Any:
    return applied(live, wanted, owners, me, is_forced=forced)


@given(trees)
def test_what_is_applied_to_nothing_is_what_stands(tree: Any) -> None:
    found = settled({}, tree, {}, ANN)
    assert found.tree == tree
    assert frozenset().union(*found.owners.values()) == fields_of(tree)


@given(trees, trees)
def test_applying_again_changes_nothing(live: Any, wanted: Any) -> None:
    once = settled(live, wanted, {}, ANN)
    assert settled(once.tree, wanted, once.owners, ANN) == once


@given(trees, trees)
def test_the_last_of_two_appliers_who_insists_has_what_it_says(first: Any, second: Any) -> None:
    one = settled({}, first, {}, ANN)
    two = settled(one.tree, second, one.owners, BEN, forced=True)
    there = leaves_of(two.tree)
    assert {path: there[path] for path in leaves_of(second)} == leaves_of(second)
    # And what the first says alone stands as it was.
    alone = fields_of(first) - fields_of(second)
    assert {path: there[path] for path in alone} == {path: leaves_of(first)[path] for path in alone}


@given(trees, trees)
def test_who_applies_nothing_any_more_leaves_what_others_own(first: Any, second: Any) -> None:
    one = settled({}, first, {}, ANN)
    two = settled(one.tree, second, one.owners, BEN, forced=True)
    left = settled(two.tree, {}, two.owners, ANN)
    assert ANN not in left.owners
    assert fields_of(left.tree) >= fields_of(second)


@given(trees)
def test_a_set_is_read_as_it_was_written(tree: Any) -> None:
    assert from_v1(to_v1(fields_of(tree))) == fields_of(tree)


def test_a_field_that_another_owns_with_another_value_is_a_conflict() -> None:
    one = settled({}, {"data": {"a": "1", "b": "1"}}, {}, ANN)
    with pytest.raises(Conflicts) as caught:
        settled(one.tree, {"data": {"a": "2", "b": "1"}}, one.owners, BEN)
    assert [(owner, shown(path)) for owner, path in caught.value.taken] == [(ANN, ".data.a")]

    two = settled(one.tree, {"data": {"a": "2", "b": "1"}}, one.owners, BEN, forced=True)
    assert two.tree == {"data": {"a": "2", "b": "1"}}
    assert [*map(shown, two.owners[ANN])] == [".data.b"]


def test_two_who_say_the_same_own_it_together_and_it_goes_with_the_last() -> None:
    one = settled({}, {"data": {"a": "1"}}, {}, ANN)
    two = settled(one.tree, {"data": {"a": "1"}}, one.owners, BEN)
    three = settled(two.tree, {}, two.owners, ANN)
    assert three.tree == {"data": {"a": "1"}}
    assert settled(three.tree, {}, three.owners, BEN).tree == {}


def test_entries_with_one_port_and_two_protocols_are_two() -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53}]
    one = settled({}, {"spec": {"ports": ports}}, {}, ANN)
    two = settled(one.tree, {"spec": {"ports": ports[1:]}}, one.owners, ANN)
    assert two.tree == {"spec": {"ports": [{"port": 53}]}}


def test_an_applier_orders_its_entries_and_those_of_others_stay_behind_their_neighbours() -> None:
    live = a_pod({"name": "a"}, {"name": "side"}, {"name": "b"})
    one = settled(live, a_pod({"name": "new"}, {"name": "b"}, {"name": "a"}), {}, ANN)
    names = [entry["name"] for entry in one.tree["spec"]["containers"]]
    assert names == ["new", "b", "a", "side"]


def test_an_entry_goes_with_its_owner_but_not_when_another_owns_a_part_of_it() -> None:
    mine = a_pod({"name": "a", "image": "x"}, {"name": "b", "image": "x"})
    one = settled({}, mine, {}, ANN)
    theirs = a_pod({"name": "b", "stdin": True})
    two = settled(one.tree, theirs, one.owners, BEN)
    left = settled(two.tree, {}, two.owners, ANN)
    assert left.tree == a_pod({"name": "b", "stdin": True})


def test_defaults_that_nobody_owns_go_with_what_they_belong_to() -> None:
    volumes = [{"name": "v", "configMap": {"name": "c", "defaultMode": 420}}]
    owners = {ANN: fields_of({"spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}})}
    wanted = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    assert settled({"spec": {"volumes": volumes}}, wanted, owners, ANN).tree == wanted


def test_what_the_server_writes_of_metadata_stays_without_an_owner() -> None:
    live = {"metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"], "uid": "u"}}
    owners = {ANN: fields_of({"metadata": {"labels": {"a": "1"}}})}
    left = settled(live, {}, owners, ANN)
    assert left.tree == {"metadata": {"finalizers": ["x/y"], "uid": "u"}}


def test_a_value_that_says_nothing_is_kept_for_its_other_owner() -> None:
    tree = {"spec": {"count": 0, "on": False}}
    one = settled({}, tree, {}, ANN)
    two = settled(one.tree, tree, one.owners, BEN)
    assert settled(two.tree, {}, two.owners, ANN).tree == tree


def test_a_default_that_is_not_written_down_is_no_conflict() -> None:
    said = {"spec": {"hostNetwork": False, "nodeName": "n1"}}
    owners = {ANN: fields_of(said)}
    found = settled({"spec": {"nodeName": "n1"}}, said, owners, BEN)
    assert set(found.owners) == {ANN, BEN}
    with pytest.raises(Conflicts):
        settled({"spec": {}}, {"spec": {"hostNetwork": True}}, owners, BEN)


def test_entries_of_one_key_that_the_applier_does_not_name_stay_both() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]
    wanted = a_pod({"name": "c", "env": [{"name": "B", "value": "x"}]})
    found = settled(a_pod({"name": "c", "env": env}), wanted, {}, ANN)
    assert found.tree["spec"]["containers"][0]["env"] == [*env, {"name": "B", "value": "x"}]


def test_an_object_of_very_many_fields_is_refused_before_the_work() -> None:
    with pytest.raises(TooManyFields, match="over 10000 fields"):
        settled({}, {"data": {str(number): "" for number in range(FIELDS_MAX + 1)}}, {}, ANN)


def test_a_selector_is_one_value() -> None:
    one = settled({}, {"spec": {"selector": {"a": "1", "b": "1"}}}, {}, ANN)
    two = settled(one.tree, {"spec": {"selector": {"a": "1"}}}, one.owners, ANN)
    assert two.tree == {"spec": {"selector": {"a": "1"}}}


def test_entries_that_cannot_be_told_apart_are_refused() -> None:
    for entries in ([{"image": "x"}], [{"name": "a"}, {"name": "a"}]):
        with pytest.raises(NoKey, match="containers"):
            settled({}, a_pod(*entries), {}, ANN)


def test_who_updates_owns_what_changed_and_nobody_what_went() -> None:
    one = settled({}, {"data": {"a": "1", "b": "1", "c": "1"}}, {}, ANN)
    owners = written(one.tree, {"data": {"a": "1", "b": "2"}}, one.owners, CAT)
    assert [*map(shown, owners[ANN])] == [".data.a"]
    assert [*map(shown, owners[CAT])] == [".data.b"]
    assert written(one.tree, one.tree, one.owners, CAT) == one.owners


def test_of_many_updaters_the_first_are_one() -> None:
    tree: dict[str, Any] = {"data": {}}
    owners: Owners = {ANN: fields_of({"data": {"own": "1"}})}
    for number in range(UPDATERS_MAX + 5):
        after = {"data": {**tree["data"], f"k{number}": "1"}}
        owners = written(tree, after, owners, Owner(f"u{number}", "Update", "", "v1"))
        tree = after
    assert len(owners) == 1 + UPDATERS_MAX + 1
    assert len(owners[Owner(ANCIENT, "Update", "", "v1")]) == 5


def test_of_too_many_updaters_those_are_put_together_that_wrote_the_longest_ago() -> None:
    tree: dict[str, Any] = {"status": {}}
    owners: Owners = {}
    writers = [*range(UPDATERS_MAX), 0, UPDATERS_MAX]
    for turn, writer in enumerate(writers):
        after = {"status": {**tree["status"], f"k{turn}": "1"}}
        owners = written(tree, after, owners, Owner(f"u{writer}", "Update", "status", "v1"))
        tree = after
    named = {owner.manager for owner in owners}
    assert named == {ANCIENT, "u0", *(f"u{number}" for number in range(2, UPDATERS_MAX + 1))}


def test_a_path_is_shown_as_kubernetes_shows_it() -> None:
    (path,) = [
        one for one in fields_of(a_pod({"name": "web", "image": "x"})) if one[-1] == "f:image"
    ]
    assert shown(path) == '.spec.containers[name="web"].image'
