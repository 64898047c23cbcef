"""What a metric's name means: PromQL rules in the ConfigMap `kube-system/metric-rules`. Pure.

Each key of its data is the name of a metric, its value an expression. In it `$labels` stands for
the conditions on labels, and `$by` for the label by which it is told of more than one object:

    requests_per_second: sum by ($by) (rate(http_requests_total{$labels}[30s]))

A name without a rule means the newest sample of the series of that name, and one that ends with
`_per_second` the rate of the counter that ends with `_total`. Metrics of nothing in the cluster
(External) have no such meaning: only those that a rule names are told.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from cubernetes.api.selectors import Selector, Term

NAMESPACE: Final = "kube-system"
NAME: Final = "metric-rules"
METRIC_NAME_RULE = "must be the name of a metric: letters, digits, _, : and ., at most 253"
WINDOW_S = 30
PER_SECOND = "_per_second"
# Where a custom metric says of what object it tells, and what calls for its namespace.
POD_LABEL, NAMESPACE_LABEL = "pod", "namespace"

_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:.-]{0,252}\Z")
_SERIES = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*\Z")
_PLACE = re.compile(r"\$(labels|by)\b")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_]")

type Rules = Mapping[str, str]


def is_metric_name(text: str) -> bool:
    return bool(_METRIC.match(text))


def custom_query(rules: Rules, metric: str, by: str, matchers: Sequence[str]) -> str:
    """Return the expression of a metric of objects, told by a label; empty where there is none."""
    rule = rules.get(metric, "")
    if not rule and _SERIES.match(metric):
        if metric.endswith(PER_SECOND):
            counter = metric.removesuffix(PER_SECOND) + "_total"
            rule = f"sum by ($by) (rate({counter}{{$labels}}[{WINDOW_S}s]))"
        else:
            rule = f"sum by ($by) (last_over_time({metric}{{$labels}}[{WINDOW_S}s]))"
    return filled(rule, by, matchers)


def external_query(rules: Rules, metric: str, matchers: Sequence[str]) -> str:
    """Return the expression of a metric of nothing in the cluster; empty where no rule names it."""
    return filled(rules.get(metric, ""), "", matchers)


def filled(rule: str, by: str, matchers: Sequence[str]) -> str:
    """Put conditions and a label into a rule; what they say is never looked through again."""
    parts = {"labels": ",".join(matchers), "by": by}
    return _PLACE.sub(lambda found: parts[found[1]], rule)


def equals(label: str, text: str) -> str:
    """Return the condition that a label has this value."""
    return f"{label}={_quoted(text)}"


def matchers_of(selector: Selector) -> list[str]:
    """Return the conditions of a selector; what no label of a series can be called has `_`."""
    return [_matcher(_NO_LABEL.sub("_", term.key), term) for term in selector.terms]


def _matcher(label: str, term: Term) -> str:
    if term.operator == "exists":
        return f'{label}!=""'
    if term.operator == "absent":
        return f'{label}=""'
    sign = "=~" if term.operator == "in" else "!~"
    return f"{label}{sign}{_quoted('|'.join(re.escape(one) for one in sorted(term.values)))}"


def _quoted(text: str) -> str:
    for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        text = text.replace(letter, written)
    return f'"{text}"'
