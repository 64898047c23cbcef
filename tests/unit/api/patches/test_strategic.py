"""Strategic merge patches, case by case as kubectl makes them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.errors import BadRequest
from cubernetes.api.patches.strategic import merged

A, B = {"name": "a", "image": "1"}, {"name": "b", "image": "1"}


def spec(*containers: Any, **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


@pytest.mark.parametrize(
    ("target", "change", "wanted"),
    [
        # An entry is found by its key; the others stay.
        (spec(A, B), spec({"name": "b", "image": "2"}), spec(A, {"name": "b", "image": "2"})),
        # A new entry goes behind.
        (spec(A), spec(B), spec(A, B)),
        # An entry is deleted by its key.
        (spec(A, B), spec({"$patch": "delete", "name": "a"}), spec(B)),
        # A list is replaced whole.
        (spec(A, B), spec({"$patch": "replace"}, {"name": "c"}), spec({"name": "c"})),
        # Null removes a field.
        (spec(A, x=1), {"spec": {"x": None}}, spec(A)),
        # An object is replaced, or deleted.
        ({"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        ({"a": {"b": 1}, "c": 2}, {"a": {"$patch": "delete"}}, {"c": 2}),
        # Only some keys are retained: what a volume's source is, for instance.
        (
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            {
                "spec": {
                    "volumes": [
                        {
                            "name": "v",
                            "$retainKeys": ["name", "hostPath"],
                            "hostPath": {"path": "/x"},
                        }
                    ]
                }
            },
            {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}},
        ),
        # The order that the author gave is kept; what he does not know keeps its place.
        (
            spec(A, {"name": "injected"}, B),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            spec(B, {"name": "injected"}, A),
        ),
        # Plain values leave a set by name, and join it once.
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
        ),
        (
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b", "a"]}},
            {"metadata": {"finalizers": ["a", "b"]}},
        ),
        # Lists without a key are replaced.
        ({"a": {"args": [1, 2]}}, {"a": {"args": [3]}}, {"a": {"args": [3]}}),
        # `ports` merge by containerPort in a container, by port in a service.
        (
            spec({"name": "a", "ports": [{"containerPort": 1, "name": "x"}]}),
            spec({"name": "a", "ports": [{"containerPort": 1, "name": "y"}, {"containerPort": 2}]}),
            spec({"name": "a", "ports": [{"containerPort": 1, "name": "y"}, {"containerPort": 2}]}),
        ),
        (
            {"spec": {"ports": [{"port": 1, "name": "x"}]}},
            {"spec": {"ports": [{"port": 1, "targetPort": 8}]}},
            {"spec": {"ports": [{"port": 1, "name": "x", "targetPort": 8}]}},
        ),
        # Env inside containers inside a template: three keyed lists deep.
        (
            {"spec": {"template": spec({"name": "a", "env": [{"name": "X", "value": "1"}]})}},
            {"spec": {"template": spec({"name": "a", "env": [{"name": "Y", "value": "2"}]})}},
            {
                "spec": {
                    "template": spec(
                        {
                            "name": "a",
                            "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                        }
                    )
                }
            },
        ),
        # Conditions by type.
        (
            {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        ),
    ],
)
def test_a_case(target: Any, change: Any, wanted: Any) -> None:
    assert merged(target, change) == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"$patch": "spin"},
        {"$unknown": 1},
        {"$retainKeys": "x"},
        spec({"image": "without a name"}),
        spec("text"),
        {"spec": {"$setElementOrder/containers": 1}},
        {"spec": {"$deleteFromPrimitiveList/containers": {}}},
    ],
)
def test_a_malformed_directive_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        merged(spec(A), change)


MANY = 40_000


@pytest.mark.timeout(20)  # comparing every pair takes minutes
def test_long_lists_take_a_time_in_proportion_to_their_length() -> None:
    names = [f"e{index}" for index in range(MANY)]
    entries = [{"name": name} for name in names]
    metadata = {"finalizers": names, "$setElementOrder/finalizers": names[::-1]}
    dropped = {"$deleteFromPrimitiveList/finalizers": names}

    assert merged(spec(*entries), spec(*entries)) == spec(*entries)
    assert merged({"metadata": {"finalizers": names}}, {"metadata": metadata}) == {
        "metadata": {"finalizers": names[::-1]}
    }
    assert merged({"metadata": {"finalizers": names}}, {"metadata": dropped}) == {
        "metadata": {"finalizers": []}
    }


def test_an_entry_that_was_deleted_may_come_back_behind_the_others() -> None:
    back = spec({"$patch": "delete", "name": "a"}, {"name": "a", "image": "3"})

    assert merged(spec(A, B), back) == spec(B, {"name": "a", "image": "3"})


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ("spec", "containers", "name", "ports", "$patch", "$retainKeys", "env", "x")
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
TREES = st.dictionaries(st.sampled_from(("spec", "containers", "metadata")), JSON, max_size=3)


@given(target=TREES, change=TREES)
def test_any_two_trees_merge_or_are_refused_and_leave_no_directive(
    target: dict[str, Any], change: dict[str, Any]
) -> None:
    try:
        result = merged(_plain(target), change)
    except BadRequest:
        return
    assert result == _plain(result)


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items() if not key.startswith("$")}
    return [_plain(value) for value in tree] if isinstance(tree, list) else tree
