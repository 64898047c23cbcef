"""The ways in: remote write and the text format, with good bytes and with any bytes."""

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cubernetes.host.protowire import varint
from tsdb.columns.labels import check_labels, key_of, key_of_dict
from tsdb.errors import BadData, LimitExceeded, TsdbError
from tsdb.ingest import Ingest
from tsdb.limits import Limits
from tsdb.scrape.targets import discovered, labelled, targets_of
from tsdb.serve.federation import series_text
from tsdb.settings import ScrapeJob, TargetGroup
from tsdb.steps import finished
from tsdb.wire.exposition import parse_exposition, series_pairs
from tsdb.wire.remote import decode, encode_request, snapped, unsnapped

KEYS = [key_of_dict({"__name__": "m", "pod": f"p{number}"}) for number in range(6)]
TIMES = st.integers(-(2**63), 2**63 - 1) | st.integers(1_700_000_000_000, 1_800_000_000_000)
SAMPLES = st.lists(st.tuples(TIMES, st.floats() | st.just(0.0)), min_size=1, max_size=3)


def bits(value: float) -> int:
    number: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return number


@given(
    series=st.lists(st.tuples(st.sampled_from(range(6)), SAMPLES), max_size=8),
    known=st.sets(st.sampled_from(range(6))),
)
def test_a_request_is_read_as_it_was_written_whether_its_series_are_known_or_not(
    series: list[tuple[int, list[tuple[int, float]]]], known: set[int]
) -> None:
    data = encode_request([(KEYS[number], samples) for number, samples in series])
    ref_of = {KEYS[number]: number for number in known}

    request = finished(decode(data, ref_of, Limits()))

    found = [
        (KEYS[ref], at, bits(value))
        for ref, at, value in zip(
            request.refs.tolist(), request.times.tolist(), request.values.tolist(), strict=True
        )
    ]
    for one in request.fresh:
        found += [
            (key_of(one.pairs), at, bits(value))
            for at, value in zip(one.times, one.values, strict=True)
        ]
    wanted = [(KEYS[n], at, bits(value)) for n, samples in series for at, value in samples]
    assert sorted(found) == sorted(wanted)


def must_decode_or_be_refused(data: bytes, ref_of: dict[bytes, int]) -> None:
    """Anything but columns of one length or an error of ours fails the test."""
    with suppress(TsdbError):
        request = finished(decode(data, ref_of, Limits()))
        assert len(request.refs) == len(request.times) == len(request.values)


@given(data=st.binary(max_size=200))
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x0a\x00")
@example(KEYS[0])
def test_any_bytes_are_a_request_or_bad_data(data: bytes) -> None:
    must_decode_or_be_refused(data, {})
    must_decode_or_be_refused(data, {KEYS[0]: 0, data[2:-8]: 1})


@given(number=st.sampled_from(range(6)), flip=st.integers(0, 10_000))
def test_a_damaged_request_is_never_read_beyond_its_end(number: int, flip: int) -> None:
    data = bytearray(encode_request([(KEYS[number], [(1_760_000_000_000, 1.5)])] * 3))
    data[flip % len(data)] ^= 1 << flip % 8
    must_decode_or_be_refused(bytes(data), {key: ref for ref, key in enumerate(KEYS)})


@given(body=st.binary(max_size=100))
def test_any_bytes_are_snappy_or_bad_data(body: bytes) -> None:
    with suppress(TsdbError):
        assert len(unsnapped(body, 10_000)) <= 10_000


def test_a_snappy_bomb_is_refused_before_it_unfolds() -> None:
    with pytest.raises(LimitExceeded, match="request_bytes"):
        unsnapped(snapped(bytes(100_000)), 50_000)
    with pytest.raises(LimitExceeded, match="request_bytes"):
        unsnapped(varint(2**62) + b"x", 50_000)


def test_a_sample_without_fields_is_zero_at_zero() -> None:
    body = KEYS[0] + b"\x12\x00"
    request = finished(decode(b"\x0a" + varint(len(body)) + body, {KEYS[0]: 7}, Limits()))

    (one,) = request.fresh
    assert key_of(one.pairs) == KEYS[0]
    assert (one.times, one.values) == ([0], [0.0])


def test_metadata_of_a_request_is_kept(small: Any) -> None:
    inside = b"\x08\x01\x12\x05m_sum\x22\x04Help\x2a\x01s"
    ingest = Ingest(small.store)
    finished(ingest.write(b"\x1a" + varint(len(inside)) + inside, 0))

    assert vars(ingest.metadata["m_sum"]) == {
        "metric": "m_sum",
        "kind": "counter",
        "help": "Help",
        "unit": "s",
    }


def test_a_wrong_series_costs_itself_and_not_its_request(small: Any) -> None:
    bad = key_of([("no_name", "x")])
    data = encode_request([(KEYS[0], [(1000, 1.0)]), (bad, [(1000, 2.0)])])
    taken = finished(Ingest(small.store).write(data, 2**60))

    assert taken.outcome.accepted == 1
    assert "__name__" in taken.story()
    assert not taken.is_whole


@pytest.mark.parametrize(
    ("labels", "limit"),
    [
        ({"__name__": "m", **{f"l{n}": "x" for n in range(9)}}, "labels_per_series"),
        ({"__name__": "m", "n" * 20: "x"}, "label_name_length"),
        ({"__name__": "m", "n": "x" * 40}, "label_value_length"),
    ],
)
def test_labels_over_a_limit_name_it(labels: dict[str, str], limit: str) -> None:
    limits = Limits(labels_per_series=5, label_name_length=10, label_value_length=30)
    with pytest.raises(LimitExceeded, match=limit):
        check_labels(labels.items(), limits)


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", "x")],
        [("__name__", "1x")],
        [("__name__", "m"), ("a-b", "x")],
        [("__name__", "m"), ("a", "x"), ("a", "y")],
        [("__name__", "m"), ("a", "\ud800")],
    ],
)
def test_labels_that_are_wrong_are_bad_data(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadData):
        check_labels(pairs, Limits())


LABEL_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    labels=st.dictionaries(st.sampled_from(["a", "b", "le"]), LABEL_VALUES.filter(bool)),
    value=st.floats(),
    at=st.none() | st.integers(0, 2**41),
)
def test_a_line_of_text_reads_back_its_series(
    labels: dict[str, str], value: float, at: int | None
) -> None:
    pairs = tuple(sorted({"__name__": "m:x", **labels}.items()))
    line = f"{series_text(pairs)} {value!r}" + (f" {at}" if at is not None else "")

    found = finished(parse_exposition(f"# TYPE m counter\n{line}\n\n", 10))

    assert sorted(series_pairs(found.series[0], Limits())) == list(pairs)
    assert found.times == [at]
    assert np.array_equal(found.values, [value], equal_nan=True)


@given(text=st.text(max_size=200) | st.text('a{}="\\,# \n19.eNa', max_size=60))
def test_any_text_is_an_exposition_or_bad_data(text: str) -> None:
    with suppress(TsdbError):
        found = finished(parse_exposition(text, 1000))
        assert len(found.series) == len(found.times) == len(found.values)
        assert all(series_pairs(series, Limits()) is not None for series in found.series)


@pytest.mark.parametrize(
    "line", ["m", "m x", "m 1 2 3", "m 1_0", 'm{a="b" 1', "m{a=b} 1", '{a="b"', "m 1 x"]
)
def test_a_line_that_is_wrong_is_bad_data(line: str) -> None:
    def read() -> None:
        for series in finished(parse_exposition(line, 10)).series:
            check_labels(series_pairs(series, Limits()), Limits())

    with pytest.raises(BadData):
        read()


def test_the_type_and_help_of_a_metric_are_kept() -> None:
    text = "# HELP m Two\\nlines.\n# TYPE m histogram\n# a comment\nm 1\n"
    found = finished(parse_exposition(text, 10)).metadata["m"]

    assert (found.kind, found.help) == ("histogram", "Two\nlines.")


def test_targets_come_once_each_with_their_labels() -> None:
    job = ScrapeJob(name="nodes", path="/m", target_limit=2)
    group = TargetGroup(
        targets=["b:1", "a:1", "a:1", "c:1"], labels={"zone": "z", "__scheme__": "https"}
    )

    targets = targets_of(job, [group])

    assert [target.url for target in targets] == ["https://a:1/m", "https://b:1/m"]
    assert dict(targets[0].labels) == {"job": "nodes", "instance": "a:1", "zone": "z"}


def test_a_group_says_how_often_it_is_asked() -> None:
    job = ScrapeJob(name="nodes", interval_s=15.0)
    usual = TargetGroup(targets=["a:1"])
    often = TargetGroup(targets=["b:1"], labels={"__scrape_interval__": "500ms"})

    found = targets_of(job, [usual, often])

    assert [target.interval_s for target in found] == [15.0, 0.5]
    assert all(0 <= target.offset_s < target.interval_s for target in found)
    assert "__scrape_interval__" not in dict(found[1].labels)


def test_a_group_says_what_its_certificates_name() -> None:
    job = ScrapeJob(name="nodes", scheme="https")
    named = TargetGroup(targets=["192.0.2.1:1"], labels={"__server_name__": "n1"})

    (found,) = targets_of(job, [named])

    assert found.server_name == "n1"
    assert dict(found.labels) == {"job": "nodes", "instance": "192.0.2.1:1"}


def test_the_labels_of_a_target_win_and_hide_nothing() -> None:
    pairs = [("__name__", "m"), ("job", "inner"), ("exported_job", "older")]
    target = (("instance", "a:1"), ("job", "outer"))

    assert dict(labelled(pairs, target, honor_labels=False)) == {
        "__name__": "m",
        "job": "outer",
        "instance": "a:1",
        "exported_job": "older",
        "exported_exported_job": "inner",
    }
    assert dict(labelled(pairs, target, honor_labels=True))["job"] == "inner"


INTERVAL = b'[{"targets":[],"labels":{"__scrape_interval__":"%s"}}]'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'[{"targets": 3}]',
        b'[{"targets":[],"x":1}]',
        INTERVAL % b"99ms",
        INTERVAL % b"1",
    ],
)
def test_an_answer_of_service_discovery_that_is_wrong_is_bad_data(body: bytes) -> None:
    with pytest.raises(BadData):
        discovered(body, Limits())
