"""A query of any kind looks at its deadline in every loop over data, and makes no giant."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.tsdb.conftest import SmallStore
from tests.unit.tsdb.work import longest_turn
from tsdb.budget import Budget, unlimited
from tsdb.columns.labels import key_of_dict, pairs_of
from tsdb.columns.matching import Matcher, Op, matching_rows
from tsdb.errors import BadData, LimitExceeded, QueryTimeout
from tsdb.head.memindex import MemoryIndex
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.promql.functions.signatures import AGGREGATIONS, SIGNATURES, WITH_PARAMETER
from tsdb.promql.parser import parse
from tsdb.promql.tree import Type
from tsdb.query import Engine
from tsdb.select import Reader
from tsdb.steps import finished

LIMITS = Limits(series=20_000)
# Each store has twice the series of the one before. The smaller of two makes a query pause.
SIZES = (200, 400, 800)
PAUSES_LATE = frozenset({"count_values"})
EXAMPLES = {Type.VECTOR: "m", Type.SCALAR: "1", Type.RANGE: "m[1m]", Type.STRING: '"x"'}
CALLS = {
    name: f"{name}({', '.join(EXAMPLES[kind] for kind in signature.takes)})"
    for name, signature in sorted(SIGNATURES.items(), key=lambda one: one[0])
    if Type.VECTOR in signature.takes or Type.RANGE in signature.takes
}
CALLS["label_replace"] = 'label_replace(m, "x", "$1", "n", "(.*)")'
CALLS["label_join"] = 'label_join(m, "x", "-", "n", "n")'
PARAMETERS = {Type.VECTOR: "", Type.SCALAR: "1, ", Type.STRING: '"x", '}
FOLDS = {
    name: f"{name} by (n) ({PARAMETERS[WITH_PARAMETER.get(name, Type.VECTOR)]}m)"
    for name in sorted(AGGREGATIONS)
}
OPERATORS = {
    "and": "m and m",
    "or": "m or m",
    "+": "m + m",
    "+ on": "m + on (n) m",
    "group_left": "m * on (n) group_left (pod) m",
    "bool": "m > bool 1",
    "negation": "-m",
    "subquery": "sum_over_time((m + 1)[1m:30s])",
}
QUERIES = {**CALLS, **FOLDS, **OPERATORS}
# What works on pairs of all series, row by row, in the time of a turn: decoding, grouping, folding.
ROOMS = (
    "tsdb/promql",
    "tsdb/columns/series.py",
    "tsdb/steps.py",
    "tsdb/columns/labels.py",
    "tsdb/columns/matching.py",
)


def filled(open_small: Callable[..., Any], count: int) -> Any:
    """A store of so many series, whose samples are on lanes of their own."""
    small = open_small(limits=LIMITS)
    keys = [
        key_of_dict({"__name__": "m", "n": str(k), "pod": f"p{k}", "le": str(k)})
        for k in range(count)
    ]
    refs = [small.store.ref(key) for key in keys]
    for at in (1000, 2000):
        for part in range(0, count, 500):
            chosen = refs[part : part + 500]
            times = np.array([at + ref for ref in chosen])
            small.store.append(np.array(chosen), times, np.array(chosen, np.float64), 2**60)
    return small


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = []

    def opener(**_named: object) -> SmallStore:
        folder = tmp_path_factory.mktemp("store") / "data"
        made.append(SmallStore(folder, LIMITS, Options()))
        return made[-1]

    stores = [filled(opener, count) for count in SIZES]
    yield [Engine(Reader(small.store), LIMITS) for small in stores]
    for small in stores:
        small.store.close()


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_pauses_however_many_series_it_has(engines: Any, name: str) -> None:
    query = QUERIES[name]
    first = 1 if name in PAUSES_LATE else 0
    few, many = SIZES[first : first + 2]
    turns = []
    for engine in engines[first : first + 2]:
        # The first time plans are made and labels are read; measure both, each for itself.
        steps = engine.range(query, 1000, 61_000, 30_000, unlimited())
        turns.append(longest_turn(steps, *ROOMS))

    # A dozen operations a series, as to lay rows beside each other, may be done in one go.
    assert turns[1] < 1.3 * turns[0] + 300 + 12 * (many - few)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_ends_at_its_deadline_whatever_it_does(engines: Any, query: str) -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return float(looks)

    steps = engines[0].instant(query, 3000, Budget(LIMITS, clock, 1.5))
    with pytest.raises(QueryTimeout):
        finished(steps)
    assert looks == 2


def index_of(count: int) -> MemoryIndex:
    index = MemoryIndex()
    for row in range(count):
        index.add(row, pairs_of(key_of_dict({"__name__": "m", "v": "a" * 60 + str(row)})))
    return index


@pytest.mark.parametrize("op", [Op.LIKE, Op.UNLIKE])
def test_a_pattern_over_many_values_pauses_between_them(op: Op) -> None:
    matcher = Matcher("v", op, "(.*){100}x")
    steps = matching_rows(index_of(3200), [matcher])

    assert sum(1 for _ in steps) >= 3200 / 16


def test_a_pattern_without_groups_to_note_fits_what_one_with_them_fits() -> None:
    for pattern, value, fits in (("(a|b)+", "abab", True), ("(a)(b)?", "b", False)):
        assert Matcher("v", Op.LIKE, pattern).accepts(value) is fits


def test_a_selector_that_changes_while_it_is_asked_is_not_remembered(
    open_small: Callable[..., Any],
) -> None:
    small = filled(open_small, 40)
    reader = Reader(small.store)
    steps = reader.series([[Matcher("pod", Op.LIKE, "p.*")]], 0, 10_000, unlimited())
    next(steps)
    late = key_of_dict({"__name__": "m", "pod": "p-late"})
    # A series is told for its samples: it has one.
    small.store.append(np.array([small.store.ref(late)]), np.array([3000]), np.ones(1), 2**60)
    finished(steps)

    again = reader.series([[Matcher("pod", Op.LIKE, "p.*")]], 0, 10_000, unlimited())

    assert late in finished(again)


@pytest.mark.parametrize("doubled", ['label_replace({}, "x", "$1$1", "x", "(.*)")',
                                     'label_join({}, "x", "", "x", "x")'])  # fmt: skip
def test_a_label_that_is_doubled_again_and_again_ends_at_the_limit(
    doubled: str, open_small: Callable[..., Any]
) -> None:
    small = filled(open_small, 1)
    query = 'label_replace(m, "x", "aaaa", "", "")'
    for _ in range(60):
        query = doubled.format(query)
    engine = Engine(Reader(small.store), LIMITS)

    with pytest.raises(LimitExceeded, match="label_value_length"):
        finished(engine.instant(query, 3000, unlimited()))


def test_a_template_of_many_references_is_not_put_together_before_it_is_measured(
    open_small: Callable[..., Any],
) -> None:
    small = filled(open_small, 1)
    query = f'label_replace(m, "x", "{"$1" * 10_000}", "pod", "(.*)")'
    engine = Engine(Reader(small.store), LIMITS)

    with pytest.raises(LimitExceeded, match="label_value_length"):
        finished(engine.instant(query, 3000, unlimited()))


def test_the_text_that_a_query_makes_is_charged(open_small: Callable[..., Any]) -> None:
    small = filled(open_small, 100)
    query = f'label_replace(m, "x", "{"a" * 4000}", "", "")'
    engine = Engine(Reader(small.store), LIMITS)

    budget = Budget(Limits(query_samples=40_000), lambda: 0.0, 1.0)
    with pytest.raises(LimitExceeded, match="query_samples"):
        finished(engine.instant(query, 3000, budget))


@pytest.mark.parametrize("name", ["${99999999999999999999}", "$²", "${x}", "$7"])
def test_a_reference_to_no_group_is_empty(name: str, open_small: Callable[..., Any]) -> None:
    small = filled(open_small, 1)
    engine = Engine(Reader(small.store), LIMITS)
    query = f'label_replace(m, "x", "<{name}>", "pod", "(.*)")'

    (line,) = finished(engine.instant(query, 3000, unlimited())).lines

    assert dict(line.pairs)["x"].startswith("<")


def test_count_values_is_charged_for_each_row_that_it_makes(open_small: Callable[..., Any]) -> None:
    small = filled(open_small, 300)
    engine = Engine(Reader(small.store), LIMITS)
    budget = Budget(Limits(query_samples=150_000), lambda: 0.0, 1.0)

    with pytest.raises(LimitExceeded, match="query_samples"):
        finished(engine.range('count_values("v", m)', 0, 3000, 10, budget))


def test_a_subquery_of_too_many_steps_is_refused_before_they_are_made(
    open_small: Callable[..., Any],
) -> None:
    small = filled(open_small, 1)
    engine = Engine(Reader(small.store), LIMITS)
    budget = Budget(LIMITS, lambda: 0.0, 1.0)

    with pytest.raises(LimitExceeded, match="query_samples"):
        finished(engine.instant("sum_over_time(m[900y:1ms])", 3000, budget))


def test_a_query_of_too_many_patterns_is_refused_before_they_are_compiled() -> None:
    many = ",".join(f'l{number}=~"a{{1000}}"' for number in range(101))

    with pytest.raises(LimitExceeded, match="query_patterns"):
        parse("m{" + many + "}")
    parse('m{a=~"x"} + m{a="x"}' + ' + m{a!="y"}' * 100, Limits(query_patterns=1))


@pytest.mark.parametrize("pattern", ["a)(b", "a)|(b", "(", "x)"])
def test_a_pattern_is_compiled_bare_before_it_is_anchored(pattern: str) -> None:
    with pytest.raises(BadData, match="parsing regexp"):
        Matcher("v", Op.LIKE, pattern)
    with pytest.raises(BadData, match="parsing regexp"):
        Matcher("v", Op.UNLIKE, pattern)
