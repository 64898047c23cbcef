"""Rules of metrics: what a name means in PromQL, and that no value of a label leaves its place."""

import pytest

from cubernetes.api.metrics.rules import (
    custom_query,
    equals,
    external_query,
    is_metric_name,
    matchers_of,
)
from cubernetes.api.selectors import parse

HERE = [equals("namespace", "default")]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ruled", 'max by (pod) (x{namespace="default",a="b"})'),
        ("queue", 'sum by (pod) (last_over_time(queue{namespace="default"}[30s]))'),
        ("hits_per_second", 'sum by (pod) (rate(hits_total{namespace="default"}[30s]))'),
        ("no.series", ""),
    ],
)
def test_a_name_means_its_rule_or_its_series(metric: str, expected: str) -> None:
    rules = {"ruled": 'max by ($by) (x{$labels,a="b"})'}
    assert custom_query(rules, metric, "pod", HERE) == expected


def test_nothing_outside_is_told_without_a_rule() -> None:
    assert external_query({}, "queue", []) == ""
    assert external_query({"queue": "max(q{$labels})"}, "queue", ['a="b"']) == 'max(q{a="b"})'


def test_selectors_are_conditions_on_labels() -> None:
    chosen = parse("app.kubernetes.io/name=a.b,tier notin (x,y),there,!gone")
    assert matchers_of(chosen) == [
        'app_kubernetes_io_name=~"a\\\\.b"', 'tier!~"x|y"', 'there!=""', 'gone=""',
    ]  # fmt: skip


def test_no_value_leaves_its_quotes_and_no_place_is_filled_twice() -> None:
    assert equals("a", 'x"} or secret{b="\\') == 'a="x\\"} or secret{b=\\"\\\\"'
    filled = custom_query({"m": "sum by ($by) (m{$labels})"}, "m", "pod", [equals("a", "$by")])
    assert filled == 'sum by (pod) (m{a="$by"})'


@pytest.mark.parametrize("text", ["", "a b", "1a", "a{", "a" * 254, "a/b", "*"])
def test_what_is_no_name_of_a_metric(text: str) -> None:
    assert not is_metric_name(text)
