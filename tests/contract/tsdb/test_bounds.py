"""What a small input may cost: every decoder stops at its limits, and none works by the square."""

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cubernetes.host.protowire import varint
from cubernetes.host.web.messages import target_of
from tests.unit.tsdb.work import (
    Bytes,
    Text,
    Work,
    longest_turn,
    must_grow_no_faster,
    must_grow_no_faster_at_last,
)
from tsdb.columns.labels import check_labels
from tsdb.errors import BadData, LimitExceeded, TsdbError
from tsdb.limits import Limits
from tsdb.promql.parser import parse
from tsdb.scrape.targets import discovered, labelled, targets_of
from tsdb.serve.parameters import FIELDS_MAX
from tsdb.settings import ScrapeJob
from tsdb.steps import finished
from tsdb.wire.exposition import parse_exposition, series_pairs
from tsdb.wire.remote import decode, snapped, unsnapped

WIDE = Limits(
    labels_per_series=10**9,
    label_name_length=10**9,
    label_value_length=10**9,
    samples_per_request=10**9,
    fields_per_request=10**9,
    query_length=10**9,
    query_depth=30,
    query_patterns=10**9,
)
LIMITS = {"default": Limits(), "wide": WIDE}
type Act = Callable[[], object]


def message(content: bytes, number: int = 1) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def label(name: str, value: str) -> bytes:
    return message(message(name.encode()) + message(value.encode(), 2))


SAMPLE = message(b"\x09" + bytes(7) + b"\x40\x10" + varint(1_760_000_000_000), 2)
NAMED = label("__name__", "m")

REQUESTS: dict[str, Callable[[int], bytes]] = {
    "empty series": lambda n: message(b"") * n,
    "series without samples": lambda n: message(NAMED) * n,
    "bad series": lambda n: message(label("a", "x") + SAMPLE) * n,
    "new series": lambda n: b"".join(
        message(NAMED + label("n", str(k)) + SAMPLE) for k in range(n)
    ),
    "labels of one series": lambda n: message(
        NAMED + b"".join(label(f"l{k}", "x") for k in range(n)) + SAMPLE
    ),
    "one label twice": lambda n: message(NAMED + label("a", "x") * n + SAMPLE),
    "samples of one series": lambda n: message(NAMED + SAMPLE * n),
    "one long label": lambda n: message(NAMED + label("a", "x" * n) + SAMPLE),
    "one long name": lambda n: message(NAMED + label("a" * n, "x") + SAMPLE),
    "fields of one label": lambda n: message(message(b"\x18\x01" * n)),
    "fields of one series": lambda n: message(b"\x18\x01" * n),
    "metadata": lambda n: message(message(b"m", 2), 3) * n,
    "histograms": lambda n: message(NAMED + message(b"", 4) * n),
    "unknown fields": lambda n: message(b"", 9) * n,
}
# One message of few fields is read in one go.
SMALL = {"one long label", "one long name", "fields of one label"}
TEXTS: dict[str, Callable[[int], str]] = {
    "lines": lambda n: "m 1\n" * n,
    "blank lines": lambda n: "\n" * n,
    "comments": lambda n: "#\n" * n,
    "descriptions": lambda n: "".join(f"# HELP m{k} x\n" for k in range(n)),
    "a long description": lambda n: "# HELP m " + "x" * n,
    "blanks": lambda n: " " * n,
    "blanks before a value": lambda n: "m" + " " * n + "x",
    "blanks behind a brace": lambda n: "m{" + " " * n + "} 1",
    "blanks in braces": lambda n: 'm{a="b"' + " " * n + "x} 1",
    "a long number": lambda n: "m " + "1" * n,
    "a long timestamp": lambda n: "m 1 " + "1" * n,
    "numbers that end in a letter": lambda n: "m " + "1" * n + " x",
    "a long name": lambda n: "m" * n + " 1",
    "a long label name": lambda n: "m{" + "a" * n + '="x"} 1',
    "a long label": lambda n: 'm{a="' + "x" * n + '"} 1',
    "a long label of escapes": lambda n: 'm{a="' + "\\n" * n + '"} 1',
    "a label that is not closed": lambda n: 'm{a="' + "x" * n + "} 1",
    "many labels": lambda n: "m{" + ",".join(f'l{k}="x"' for k in range(n)) + "} 1",
    "many empty labels": lambda n: "m{" + ",".join(f'l{k}=""' for k in range(n)) + "} 1",
    "commas": lambda n: "m{" + "," * n + "} 1",
    "braces": lambda n: "m" + "{" * n + "}" * n + " 1",
    "quotes": lambda n: "m{" + '"' * n + "} 1",
}
QUERIES: dict[str, Callable[[int], str]] = {
    "operators": lambda n: "a" + "+a" * n,
    "parentheses": lambda n: "(" * n + "a" + ")" * n,
    "signs": lambda n: "-" * n + "a",
    "labels": lambda n: "sum by (" + ",".join(f"l{k}" for k in range(n)) + ") (a)",
    "matchers": lambda n: "a{" + ",".join(f'l{k}="x"' for k in range(n)) + "}",
    "one string": lambda n: 'a{b="' + "x" * n + '"}',
    "one string of escapes": lambda n: 'a{b="' + "\\n" * n + '"}',
    "a string that is not closed": lambda n: 'a{b="' + "\\n" * n,
    "one name": lambda n: "a" * n,
    "digits": lambda n: "1" * n,
    "a duration": lambda n: "a[" + "1s" * n + "]",
    "blanks": lambda n: " " * n + "a",
    "arguments": lambda n: "label_join(a, " + ", ".join(['"x"'] * n) + ")",
    "subqueries": lambda n: "a" + "[5m:1m]" * n,
}


def read_text(text: str, limits: Limits) -> None:
    """Go all the way of a pushed or scraped text, up to the labels of its series."""
    for series in finished(parse_exposition(text, limits.samples_per_request)).series:
        pairs = labelled(series_pairs(series, limits), (("job", "x"),), honor_labels=False)
        check_labels(pairs, limits)


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("make", REQUESTS.values(), ids=REQUESTS)
def test_a_write_request_costs_no_more_than_its_length(
    make: Callable[[int], bytes], limits: Limits
) -> None:
    must_grow_no_faster(lambda n: lambda: finished(decode(Bytes(make(n)), {}, limits)), 80)


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_a_text_costs_no_more_than_its_length(make: Callable[[int], str], limits: Limits) -> None:
    must_grow_no_faster(lambda n: lambda: read_text(Text(make(n)), limits), 80)


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("make", QUERIES.values(), ids=QUERIES)
def test_a_query_is_parsed_for_no_more_than_its_length(
    make: Callable[[int], str], limits: Limits
) -> None:
    must_grow_no_faster(lambda n: lambda: parse(Text(make(n)), limits), 50)


PIECES = st.lists(
    st.sampled_from(
        ["m", "{", "}", 'a="b"', ",", '"', "\\", " ", "\t", "1", "x", "\n", "#", "# TYPE m ", "="]
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(before=PIECES, again=PIECES, behind=PIECES)
def test_any_piece_repeated_in_a_text_costs_no_more_than_its_length(
    before: list[str], again: list[str], behind: list[str]
) -> None:
    def act(count: int) -> Act:
        text = "".join(before) + "".join(again) * count + "".join(behind)
        return lambda: read_text(Text(text), WIDE)

    must_grow_no_faster_at_last(act, 60)


@settings(max_examples=25, deadline=None)
@example(before=b"B", again=b")\x9d", wraps=1)  # A field of 41 bytes, of which nothing is read.
@given(
    before=st.binary(max_size=6), again=st.binary(min_size=1, max_size=8), wraps=st.integers(0, 3)
)
def test_any_bytes_repeated_in_a_request_cost_no_more_than_their_length(
    before: bytes, again: bytes, wraps: int
) -> None:
    def act(count: int) -> Act:
        data = before + again * count
        for _ in range(wraps):
            data = message(data)
        return lambda: finished(decode(Bytes(data), {}, WIDE))

    must_grow_no_faster_at_last(act, 60)


def answer_of_discovery(count: int) -> bytes:
    """As many addresses as labels: each address has a copy of the labels of its group."""
    labels = {f"l{number}": "x" for number in range(count)}
    return json.dumps([{"targets": ["a:1"] * count, "labels": labels}]).encode()


def test_addresses_and_labels_of_a_discovery_do_not_multiply() -> None:
    job = ScrapeJob(name="j")

    def act(count: int) -> Act:
        return lambda: targets_of(job, discovered(answer_of_discovery(count), Limits()))

    must_grow_no_faster(act, 50)
    with pytest.raises(LimitExceeded, match="labels_per_series"):
        act(50)()


def test_a_discovery_of_too_many_addresses_is_refused_by_name() -> None:
    body = json.dumps([{"targets": ["a:1"] * 100_001}]).encode()

    with pytest.raises(LimitExceeded, match="discovered addresses"):
        discovered(body, Limits())


def test_parameters_cost_no_more_than_their_length() -> None:
    def act(count: int) -> Act:
        return lambda: target_of(Text("/?" + "a=1&" * count), FIELDS_MAX)

    must_grow_no_faster(act, 100)


@pytest.mark.parametrize("make", REQUESTS.values(), ids=REQUESTS)
def test_reading_a_request_stops_at_its_limits(make: Callable[[int], bytes]) -> None:
    limits = Limits(fields_per_request=600, samples_per_request=300)
    data = [make(count) for count in (1200, 2400)]

    works = []
    for each in data:
        with Work() as work, suppress(TsdbError):
            finished(decode(each, {}, limits))
        works.append(work.operations)
    assert works[1] <= 1.2 * works[0]


@pytest.mark.parametrize("name", ["fields_per_request", "samples_per_request"])
def test_a_request_over_a_limit_is_told_its_name(name: str) -> None:
    limits = Limits(**{name: 300})
    with pytest.raises(LimitExceeded, match=name):
        finished(decode(message(NAMED + SAMPLE * 301) * 3, {}, limits))


def test_series_without_samples_are_passed_over() -> None:
    request = finished(decode(REQUESTS["empty series"](5000) + message(NAMED), {}, Limits()))

    assert (request.fresh, request.complaints) == ([], [])


@pytest.mark.parametrize("name", ["many labels", "many empty labels"])
def test_labels_beyond_the_limit_are_not_read(name: str) -> None:
    (series,) = finished(parse_exposition(TEXTS[name](5000), 10)).series
    with Work() as work, pytest.raises(LimitExceeded, match="labels_per_series"):
        series_pairs(Text(series), Limits(labels_per_series=10))

    assert work.total < 2000


@pytest.mark.parametrize("inside", ["x", "\\n"])
def test_one_large_label_is_refused_for_a_few_bytes_of_memory_a_letter(inside: str) -> None:
    line = 'm{a="' + inside * 500_000 + '"} 1'
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="label_value_length"):
            read_text(line, Limits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * len(line)


def test_a_label_as_long_as_the_limit_is_taken_escaped_or_not() -> None:
    limits = Limits()
    longest = limits.label_value_length
    for inside in ("x", "\\n"):
        text = 'm{a="' + inside * longest + '"} 1'
        read_text(text, limits)
        with pytest.raises(LimitExceeded, match="label_value_length"):
            read_text(text.replace('"}', inside + '"}'), limits)


def test_snappy_that_says_more_than_it_can_hold_is_refused_before_room_is_made() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadData, match="cannot hold"):
            unsnapped(varint(2**27) + b"abc", 2**27)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert unsnapped(snapped(bytes(2**20)), 2**20) == bytes(2**20)


def must_pause(steps: Callable[[int], Any], size: int) -> None:
    less, more = (longest_turn(steps(count)) for count in (size, 2 * size))
    assert more < 1.2 * less + 200


@pytest.mark.parametrize("name", sorted(set(REQUESTS) - SMALL))
def test_reading_a_request_pauses_however_long_it_is(name: str) -> None:
    must_pause(lambda count: decode(REQUESTS[name](count), {}, WIDE), 700)


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_reading_a_text_pauses_however_long_it_is(make: Callable[[int], str]) -> None:
    must_pause(lambda count: parse_exposition(make(count), 10**6), 700)
