"""Three-way apply: laws on any trees, and the cases that a person would ask about."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import patch, threeway

NAMES = st.sampled_from(["a", "b", "c", "spec", "labels"])
SCALARS = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y", ""]), st.booleans())
ENTRIES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["p", "q", "r"])}, optional={"image": SCALARS}),
    max_size=3,
    unique_by=lambda entry: entry["name"],
)


def trees(depth: int = 3) -> st.SearchStrategy[Tree]:
    values = st.one_of(SCALARS, st.lists(SCALARS, max_size=2))
    if depth:
        values = st.one_of(values, trees(depth - 1))
    return st.builds(
        lambda plain, listed: {**plain, **({"containers": listed} if listed is not None else {})},
        st.dictionaries(NAMES, values, max_size=4),
        st.none() | ENTRIES,
    )


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return every value that is no object, under its path; keyed lists by their keys."""
    if isinstance(tree, dict) and tree:
        return {
            end: one
            for key, value in tree.items()
            for end, one in leaves(value, (*path, key)).items()
        }
    if isinstance(tree, list) and tree and path and path[-1] == "containers":
        return {
            end: one
            for entry in tree
            for end, one in leaves(entry, (*path, str(entry["name"]))).items()
        }
    return {path: tree}


@given(trees(), trees(), trees())
def test_everything_that_the_file_says_is_so(last: Tree, live: Tree, wanted: Tree) -> None:
    result = leaves(threeway.merged(last, live, wanted))
    for path, value in leaves(wanted).items():
        # An empty object, or list with keys, asks for nothing: what others put in it may stay.
        is_empty = value == {} or (value == [] and path[-1:] == ("containers",))
        assert is_empty or result[path] == value


@given(trees(), trees(), trees())
def test_applying_twice_is_applying_once(last: Tree, live: Tree, wanted: Tree) -> None:
    once = threeway.merged(last, live, wanted)

    assert threeway.merged(wanted, once, wanted) == once


@given(trees(), trees())
def test_a_file_over_its_own_result_leaves_what_others_added(live: Tree, wanted: Tree) -> None:
    result = leaves(threeway.merged({}, live, wanted))
    mine = leaves(wanted)
    for path, value in leaves(live).items():
        is_mine = any(path[: len(one)] == one or one[: len(path)] == path for one in mine)
        assert is_mine or result.get(path) == value or value == {}


@given(trees(), trees())
def test_what_the_file_gives_up_is_removed(live: Tree, last: Tree) -> None:
    left = threeway.merged(last, live, {})
    assert left.keys() & last.keys() <= {"containers"}
    mine, theirs = (
        {entry["name"] for entry in tree.get("containers", ())} for tree in (last, left)
    )
    assert not mine & theirs


@given(trees(), trees())
def test_the_change_between_two_trees_leads_from_one_to_the_other(old: Tree, new: Tree) -> None:
    change = threeway.change_between(old, new)

    assert patch.merged(old, change) == new
    assert (change == {}) == (repr(sorted_tree(old)) == repr(sorted_tree(new)))


def sorted_tree(tree: Any) -> Any:
    """Return the tree with its fields in order: repr then tells 1 from true."""
    if isinstance(tree, dict):
        return {key: sorted_tree(tree[key]) for key in sorted(tree)}
    return [sorted_tree(one) for one in tree] if isinstance(tree, list) else tree


@given(trees(), trees(), trees())
def test_nothing_that_is_passed_in_is_changed(last: Tree, live: Tree, wanted: Tree) -> None:
    before = repr((last, live, wanted))
    result = threeway.merged(last, live, wanted)
    threeway.change_between(live, result)

    assert repr((last, live, wanted)) == before


def test_a_number_and_a_truth_are_not_the_same() -> None:
    assert threeway.change_between({"a": 1}, {"a": True}) == {"a": True}


def test_defaults_inside_of_listed_entries_stay() -> None:
    live = {"spec": {"containers": [{"name": "web", "image": "a", "imagePullPolicy": "Always"}]}}
    said = {"spec": {"containers": [{"name": "web", "image": "b"}]}}

    (container,) = threeway.merged(said, live, said)["spec"]["containers"]

    assert container == {"name": "web", "image": "b", "imagePullPolicy": "Always"}


def test_an_entry_that_the_file_drops_goes_and_one_of_others_stays() -> None:
    live = {"containers": [{"name": "web"}, {"name": "helper"}, {"name": "injected"}]}
    last = {"containers": [{"name": "web"}, {"name": "helper"}]}
    wanted = {"containers": [{"name": "web"}]}

    assert threeway.merged(last, live, wanted) == {
        "containers": [{"name": "web"}, {"name": "injected"}]
    }


def test_the_same_port_in_two_protocols_is_two_entries() -> None:
    ports = [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "name": "dns-tcp"}]
    live = {"spec": {"ports": [{**ports[0], "targetPort": 53}, {**ports[1], "protocol": "TCP"}]}}
    wanted = {"spec": {"ports": ports}}

    assert threeway.merged(wanted, live, wanted) == live


def test_null_in_a_file_removes_a_field() -> None:
    live = {"spec": {"selector": {"app": "web"}, "type": "ClusterIP"}}

    assert threeway.merged({}, live, {"spec": {"selector": None}}) == {
        "spec": {"type": "ClusterIP"}
    }


def test_a_note_that_cannot_be_read_is_no_note() -> None:
    for note in ("{", "[]", ""):
        live = {"metadata": {"annotations": {threeway.LAST_APPLIED: note}}}
        assert threeway.last_applied(live) == {}


def test_the_note_does_not_hold_itself() -> None:
    once = threeway.annotated({"metadata": {"name": "a", "annotations": {"mine": "x"}}})
    twice = threeway.annotated(once)

    assert twice == once
    assert threeway.last_applied(once) == {"metadata": {"name": "a", "annotations": {"mine": "x"}}}


def test_false_in_the_place_of_0_is_a_change_however_deep() -> None:
    """Found by chance among random trees: to Python they are equal."""
    assert threeway.change_between({"a": [0, 0]}, {"a": [0, False]}) == {"a": [0, False]}
    assert threeway.change_between({"a": [{"b": 1}]}, {"a": [{"b": True}]}) == {"a": [{"b": True}]}


# What several add to, in every kind: what the file says, and what another has added.
ADDED: Mapping[str, tuple[Any, Any]] = {
    "metadata.finalizers": ("example.com/mine", "example.com/theirs"),
    "metadata.ownerReferences": ({"uid": "u-1"}, {"uid": "u-2"}),
    "spec.podCIDRs": ("10.244.1.0/24", "10.244.2.0/24"),
    "spec.ports": ({"port": 80}, {"port": 81}),
    "spec.ports (the same, in another protocol)": ({"port": 53}, {"port": 53, "protocol": "UDP"}),
    "spec.containers": ({"name": "web"}, {"name": "injected"}),
    "spec.template.spec.containers": ({"name": "web"}, {"name": "injected"}),
    "spec.volumes": ({"name": "cache"}, {"name": "token"}),
    "containers.env": ({"name": "A"}, {"name": "B"}),
    "containers.ports": ({"containerPort": 80}, {"containerPort": 81}),
    "containers.volumeMounts": ({"mountPath": "/a"}, {"mountPath": "/b"}),
    "status.conditions": ({"type": "Ready"}, {"type": "Other"}),
    "status.addresses": ({"type": "InternalIP"}, {"type": "Hostname"}),
    "status.podIPs": ({"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}),
}
every_shared_list = pytest.mark.parametrize("path", ADDED)


def at(path: str, *entries: Any) -> Tree:
    """Return a tree that has entries at a path; no entries: only what is around."""
    *above, field = path.partition(" ")[0].split(".")
    tree: Tree = {field: list(entries)} if entries else {}
    for name in reversed(above):
        tree = {name: tree}
    return tree


@every_shared_list
def test_what_others_added_to_a_list_stays_whatever_the_file_does(path: str) -> None:
    mine, theirs = ADDED[path]
    live = at(path, mine, theirs)

    assert threeway.merged(at(path, mine), live, at(path, mine)) == live
    assert threeway.merged({}, live, at(path, mine)) == live
    # Given up, with the list or in it.
    assert threeway.merged(at(path, mine), live, at(path)) == at(path, theirs)
    assert threeway.merged(at(path, mine), at(path, theirs), at(path, mine)) == live


@every_shared_list
def test_a_list_of_which_nothing_is_left_goes(path: str) -> None:
    mine, _ = ADDED[path]

    assert threeway.merged(at(path, mine), at(path, mine), at(path)) == at(path)


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_what_others_added_stays_where_the_file_drops_all_of_its_own(field: str) -> None:
    live = {"metadata": {"name": "web", field: {"mine": "1", "theirs": "2"}}}
    last = {"metadata": {"name": "web", field: {"mine": "1"}}}
    bare = {"metadata": {"name": "web"}}

    assert threeway.merged(last, live, bare) == {
        "metadata": {"name": "web", field: {"theirs": "2"}}
    }
    assert threeway.merged(last, last, bare) == bare


def test_a_list_that_is_no_set_is_the_files_as_a_whole() -> None:
    live = {"spec": {"taints": [{"key": "a"}, {"key": "b"}]}, "command": ["a", "b"]}
    wanted = {"spec": {"taints": [{"key": "a"}]}, "command": ["a"]}

    assert threeway.merged(wanted, live, wanted) == wanted
    assert threeway.merged(wanted, live, {"spec": {}}) == {"spec": {}}


def test_two_entries_of_one_key_are_the_files_matter_and_others_stay() -> None:
    """Of two variables with one name the last counts."""
    twice = [{"name": "A", "value": "1"}, {"name": "A", "valueFrom": {}}]
    live = {"env": [*twice, {"name": "B", "value": "3"}]}

    assert threeway.merged({"env": twice}, live, {"env": twice}) == live


ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ({"type": "Recreate"}, {"type": "Recreate"}),
        ({"type": "RollingUpdate"}, ROLLING),
        (
            {"rollingUpdate": {"maxSurge": 1}},
            {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}},
        ),
    ],
)
def test_a_strategy_of_another_type_keeps_nothing_that_the_server_added(
    wanted: Tree, left: Tree
) -> None:
    """The server refuses what a Recreate has no use for, and nobody wrote it."""
    live = {"spec": {"replicas": 2, "strategy": ROLLING}}
    found = threeway.merged({"spec": {}}, live, {"spec": {"strategy": wanted}})
    assert found == {"spec": {"replicas": 2, "strategy": left}}


def test_a_volume_of_another_kind_keeps_nothing_of_the_one_before() -> None:
    was = {"name": "v", "configMap": {"name": "c", "defaultMode": 420}}
    live = {"spec": {"volumes": [was, {"name": "other", "emptyDir": {}}]}}
    now = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    found = threeway.merged({}, live, now)
    assert found["spec"]["volumes"] == [now["spec"]["volumes"][0], live["spec"]["volumes"][1]]
    same = {"spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}}
    assert threeway.merged({}, live, same) == live
