"""Node affinity: what is legal, and which nodes match, as Kubernetes' documentation says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.podspec.placement.affinity import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
)
from cubernetes.api.core.podspec.placement.nodes import (
    is_chosen,
    is_matched,
    misses,
    named_nodes,
    preferred_weight,
)
from cubernetes.api.core.podspec.placement.rules import affinity_problems

LABELS = {"zone": "a", "cpus": "8", "bad": "x8"}


def a_requirement(key: str, operator: str, *values: str) -> NodeSelectorRequirement:
    return NodeSelectorRequirement(key=key, operator=operator, values=values)  # type: ignore[arg-type]


def a_term(*expressions: NodeSelectorRequirement, name: str = "") -> NodeSelectorTerm:
    fields = (a_requirement("metadata.name", "In", name),) if name else ()
    return NodeSelectorTerm(match_expressions=expressions, match_fields=fields)


def requiring(*terms: NodeSelectorTerm) -> NodeAffinity:
    return NodeAffinity(
        required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=terms)
    )


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (a_requirement("zone", "In", "b", "a"), True),
        (a_requirement("zone", "In", "b"), False),
        (a_requirement("none", "In", "a"), False),
        (a_requirement("zone", "NotIn", "b"), True),
        (a_requirement("zone", "NotIn", "a", "b"), False),
        (a_requirement("none", "NotIn", "a"), True),
        (a_requirement("zone", "Exists"), True),
        (a_requirement("none", "Exists"), False),
        (a_requirement("zone", "DoesNotExist"), False),
        (a_requirement("none", "DoesNotExist"), True),
        (a_requirement("cpus", "Gt", "7"), True),
        (a_requirement("cpus", "Gt", "8"), False),
        (a_requirement("cpus", "Gt", "-10"), True),
        (a_requirement("cpus", "Lt", "9"), True),
        (a_requirement("cpus", "Lt", "8"), False),
        # As numbers: as texts "10" is less than "8".
        (a_requirement("cpus", "Lt", "10"), True),
        (a_requirement("cpus", "Lt", "many"), False),
        (a_requirement("bad", "Gt", "1"), False),
        (a_requirement("none", "Lt", "1"), False),
        (a_requirement("cpus", "Lt", "9223372036854775808"), False),
    ],
)
def test_each_operator_of_a_node_affinity(one: NodeSelectorRequirement, holds: bool) -> None:
    assert is_matched(a_term(one), "n1", LABELS) is holds


def test_of_terms_one_of_a_terms_conditions_all_must_hold_and_an_empty_one_matches_nothing() -> (
    None
):
    in_a, in_b = a_requirement("zone", "In", "a"), a_requirement("zone", "In", "b")

    def chosen(*terms: NodeSelectorTerm, selector: str = "a") -> bool:
        affinity = Affinity(node_affinity=requiring(*terms))
        return is_chosen({"zone": selector}, affinity, "n1", LABELS)

    assert chosen(a_term(in_b), a_term(in_a))
    assert not chosen(a_term(in_a, in_b))
    assert not chosen(a_term())
    assert not chosen(a_term(in_a), selector="b")
    assert chosen(a_term(in_a, name="n1"))
    assert not chosen(a_term(in_a, name="n2"))
    assert is_chosen({}, None, "n1", {})
    only_preferring = Affinity(node_affinity=NodeAffinity())
    assert is_chosen({}, only_preferring, "n1", {})


def test_the_weights_of_the_preferred_terms_that_match_are_summed() -> None:
    preferred = [(10, "a"), (20, "b"), (40, "a"), (80, "")]
    affinity = NodeAffinity(
        preferred_during_scheduling_ignored_during_execution=tuple(
            PreferredSchedulingTerm(
                weight=weight,
                preference=a_term(*(a_requirement("zone", "In", zone),) if zone else ()),
            )
            for weight, zone in preferred
        )
    )
    assert [preferred_weight(affinity, "n1", {"zone": zone}) for zone in "abc"] == [50, 20, 0]


def test_what_a_node_lacks_is_told_for_each_term() -> None:
    wide = a_requirement("zone", "In", *"bcdef")
    affinity = requiring(a_term(wide), a_term(a_requirement("gpu", "Exists")), a_term(name="n9"))

    assert list(misses(affinity, "n1", LABELS)) == [
        "zone In (b, c, d, ...)",
        "gpu Exists",
        "metadata.name In (n9)",
    ]


def test_the_only_nodes_that_can_match_are_known_where_every_term_names_one() -> None:
    in_a = a_term(a_requirement("zone", "In", "a"))
    assert sorted(named_nodes(requiring(a_term(name="n1"), a_term(name="n2"))) or ()) == [
        "n1",
        "n2",
    ]
    assert named_nodes(requiring(a_term(name="n1"), in_a)) is None
    assert named_nodes(NodeAffinity()) is None
    without = NodeSelectorTerm(match_fields=(a_requirement("metadata.name", "NotIn", "n1"),))
    assert named_nodes(requiring(without)) is None


OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


@given(
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "3", "x"])),
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b"]),
                st.sampled_from(OPERATORS),
                st.lists(st.sampled_from(["1", "2", "x"]), min_size=1, max_size=2, unique=True),
            ),
            max_size=2,
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_matching_agrees_with_a_reference_on_sets_of_labels(
    labels: dict[str, str], terms: list[list[tuple[str, str, list[str]]]]
) -> None:
    """The reference enumerates the values that meet a condition, and looks the node's up."""
    every = ["1", "2", "3", "x", None]

    def meets(key: str, operator: str, values: list[str]) -> bool:
        numbers = [one for one in every if one is not None and one.isdigit()]
        bound = int(values[0]) if values[0].isdigit() else None
        allowed: dict[str, set[str | None]] = {
            "In": {*values},
            "NotIn": set(every) - set(values),
            "Exists": set(every) - {None},
            "DoesNotExist": {None},
            "Gt": {one for one in numbers if bound is not None and int(one) > bound},
            "Lt": {one for one in numbers if bound is not None and int(one) < bound},
        }
        return labels.get(key) in allowed[operator]

    affinity = requiring(
        *(
            a_term(*(
                a_requirement(key, operator, *(values if "Exist" not in operator else ()))
                for key, operator, values in term
            ))
            for term in terms
        )
    )  # fmt: skip
    wanted = any(term and all(meets(*one) for one in term) for term in terms)
    assert is_chosen({}, Affinity(node_affinity=affinity), "n1", labels) == wanted


LEGAL = [
    a_term(a_requirement("a.b/zone", "In", "", "a"), a_requirement("n", "Gt", "1")),
    a_term(a_requirement("zone", "DoesNotExist"), name="n1.example"),
    a_term(),
]
FIELD = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
WORST = "-" * 64
ONE_NAME = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
ONE_NUMBER = "must be specified single value when `operator` is 'Lt' or 'Gt'"
NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
NEEDS_VALUES = "must be specified when `operator` is 'In' or 'NotIn'"


@pytest.mark.parametrize(
    ("one", "field", "message", "reason"),
    [
        (("zone", "In"), "values", NEEDS_VALUES, "Required"),
        (("zone", "NotIn"), "values", NEEDS_VALUES, "Required"),
        (("zone", "Exists", "a"), "values", NO_VALUES, "Forbidden"),
        (("zone", "DoesNotExist", "a"), "values", NO_VALUES, "Forbidden"),
        (("zone", "Gt", "1", "2"), "values", ONE_NUMBER, "Required"),
        (("zone", "Lt"), "values", ONE_NUMBER, "Required"),
        ((WORST, "Exists"), "key", "must be a name of", "Invalid"),
        (("zone", "In", "a", WORST), "values[1]", "must be empty or at most 63", "Invalid"),
    ],
)  # fmt: skip
def test_an_expression_is_refused_in_kubernetes_words(
    one: tuple[str, ...], field: str, message: str, reason: str
) -> None:
    affinity = Affinity(node_affinity=requiring(*LEGAL, a_term(a_requirement(*one))))

    (found,) = affinity_problems(affinity, "spec.affinity")

    where = f"{FIELD}.nodeSelectorTerms[{len(LEGAL)}].matchExpressions[0].{field}"
    assert (found.field, found.reason) == (where, f"FieldValue{reason}")
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (("metadata.name", "Exists"), "operator", "not a valid selector operator"),
        (("metadata.name", "In", "a", "b"), "values", ONE_NAME),
        (("metadata.name", "NotIn"), "values", ONE_NAME),
        (("metadata.uid", "In", "a"), "key", "not a valid field selector key"),
        (("metadata.name", "In", "A_B"), "values[0]", "must be at most 253"),
    ],
)  # fmt: skip
def test_a_field_condition_knows_the_name_alone(
    one: tuple[str, ...], field: str, message: str
) -> None:
    term = NodeSelectorTerm(match_fields=(a_requirement(*one),))

    (found,) = affinity_problems(Affinity(node_affinity=requiring(term)), "spec.affinity")

    assert found.field == f"{FIELD}.nodeSelectorTerms[0].matchFields[0].{field}"
    assert found.message.startswith(message)


def test_a_selector_needs_a_term_and_a_weight_its_range() -> None:
    (found,) = affinity_problems(Affinity(node_affinity=requiring()), "spec.affinity")
    assert found == (
        f"{FIELD}.nodeSelectorTerms",
        "must have at least one node selector term",
        "FieldValueRequired",
    )
    weights = tuple(
        PreferredSchedulingTerm(weight=weight, preference=a_term()) for weight in (0, 1, 100, 101)
    )
    preferring = NodeAffinity(preferred_during_scheduling_ignored_during_execution=weights)
    problems = affinity_problems(Affinity(node_affinity=preferring), "spec.affinity")
    where = FIELD.replace("required", "preferred")
    assert [(one.field, one.message) for one in problems] == [
        (f"{where}[{at}].weight", "must be in the range 1-100") for at in (0, 3)
    ]
    assert list(affinity_problems(None, "spec.affinity")) == []
