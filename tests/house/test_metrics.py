"""What is counted has names of one form, and each of them stands in docs/metrics.md."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.house.sources import ROOMS, ROOT, none, sources

FORM = re.compile(
    r"cube_(build|client|informer|loop|lease|apiserver|scheduler|kubelet|proxy|gateway|resolver|"
    r"serverless|gpu|tsdb)_"
)
# What a histogram or a gauge measures ends its name.
UNITS = ("_seconds", "_bytes", "_info")


class Family(NamedTuple):
    kind: str
    name: str
    place: str


def declared() -> Iterator[Family]:
    """Yield every family that is declared: `metrics.counter("cube_...", ...)` and the like."""
    for one in (source for source in sources() if source.room in ROOMS):
        for node in one.nodes:
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="counter" | "gauge" | "histogram" as kind),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield Family(kind, name, f"{one.path}:{node.lineno}")
                case ast.Constant(value=str(name)) if re.fullmatch(r"cube_tsdb_\w+", name):
                    kind = "counter" if name.endswith("_total") else "gauge"
                    yield Family(kind, name, f"{one.path}:{node.lineno}")


def test_every_family_has_a_name_of_our_form() -> None:
    families = list(declared())
    assert len(families) > 40
    none([str(one) for one in families if not FORM.match(one.name)], "cube_<part>_<noun>_<unit>")


def test_counters_and_nothing_else_end_in_total() -> None:
    wrong = [one for one in declared() if (one.kind == "counter") != one.name.endswith("_total")]
    none([str(one) for one in wrong], "a counter's name ends in _total")


def test_histograms_end_in_their_unit() -> None:
    wrong = [one for one in declared() if one.kind == "histogram" and not one.name.endswith(UNITS)]
    none([str(one) for one in wrong], "a histogram's name ends in its unit")


def test_the_page_lists_exactly_what_is_counted() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    told = dict(re.findall(r"^\| `(cube_\w+)` \| (\w+)", page, re.MULTILINE))
    counted = {one.name: one.kind for one in declared()}
    wrong = [f"{name}: not counted any more" for name in sorted(told.keys() - counted.keys())]
    wrong += [f"{name}: not told" for name in sorted(counted.keys() - told.keys())]
    wrong += [
        f"{name} is a {counted[name]}"
        for name in sorted(told.keys() & counted.keys())
        if told[name] != counted[name]
    ]
    none(wrong, "bring docs/metrics.md up to date")
