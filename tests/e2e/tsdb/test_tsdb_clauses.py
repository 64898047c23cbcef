"""Answers that people act on, one by one, beside Prometheus: windows, buckets, escapes, lines."""

import json
import math
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.tsdb.test_tsdb_against_prometheus import (
    START_MS,
    Series,
    a_prometheus,
    agree,
    asked_of,
    fill_both,
    points_of,
    pytestmark,
)
from tests.unit.tsdb.test_right_answers import REFUSED, TAKEN
from tsdb.budget import unlimited
from tsdb.columns.labels import key_of_dict
from tsdb.columns.matching import Matcher, Op
from tsdb.errors import TsdbError
from tsdb.limits import Limits
from tsdb.options import Options
from tsdb.query import Engine
from tsdb.select import Reader
from tsdb.steps import finished
from tsdb.storage.store import open_store

__all__ = ["pytestmark"]

NAN, INF = math.nan, math.inf
LATE_MS = 5000  # the first sample of a series that begins late
WINDOWS: dict[str, Sequence[float]] = {
    "huge": (3.0, 1e90, 4.0, -1e90),
    "tenths": (0.1,) * 10,
    "sevenths": (0.1,) * 7,
    "wide": (1e17 + 64,) * 9,
    "near": (1e9, 1e9 + 1, 1e9 + 2),
    "endless": (INF, 1.0),
    "torn": (INF, -INF),
    "holed": (1.0, NAN, 2.0),
}
HISTOGRAMS: dict[str, dict[str, float]] = {
    "whole": {"1": 5.0, "2": 8.0, "+Inf": 10.0},
    "topless": {"1": 5.0, "2": 8.0},
    "alone": {"+Inf": 8.0},
    "nan_top": {"1": 5.0, "2": 8.0, "+Inf": NAN},
    "nan_all": {"1": NAN, "2": NAN, "+Inf": NAN},
    "nan_within": {"1": 5.0, "2": NAN, "4": 9.0, "+Inf": 10.0},
    "falling": {"1": 5.0, "2": 3.0, "+Inf": 10.0},
    "empty": {"1": 0.0, "2": 0.0, "+Inf": 0.0},
}
# Where ours is exact and Prometheus 2.42 is not: docs/tsdb.md says so.
EXACT = {"avg_over_time({__name__=~'huge'}[5m])": 1.75}
QUERIES = [
    *(
        f"{fold}_over_time({{__name__=~'{name}'}}[5m])"
        for name in WINDOWS
        for fold in ("sum", "avg", "stddev", "stdvar")
    ),
    *(
        f"histogram_quantile({phi}, {{__name__='{name}'}})"
        for name in HISTOGRAMS
        for phi in ("-1", "0", "0.1", "0.5", "1", "2", "NaN")
    ),
    *(
        f"label_replace(vector(1), 'x', {quoted}, '', '')"
        for quoted in (
            r'"\xc3\xa9"', r'"\303\251"', r'"\u00e9\U0001f600"', r'"\x41\101"', r"'\''", r"`\x`",
            r'"\a\b\f\n\r\t\v\\\""', r'"\400"', r'"\0"', r'"\8"', r'"\ud800"', r'"\x4"', r'"\q"',
            r'"\'"',
        )
    ),
    # Bare, these are wrong; between anchors, they would be right.
    *(f"huge{{a=~'{pattern}'}}" for pattern in ("a)(b", ")(", "(", "a|b", "", ".*", "(?i)A")),
]  # fmt: skip


def dataset() -> list[Series]:
    series: list[Series] = [
        (key_of_dict({"__name__": name}), [(START_MS + at, v) for at, v in enumerate(values)])
        for name, values in WINDOWS.items()
    ]
    series += [
        (key_of_dict({"__name__": name, "le": bound}), [(START_MS, count)])
        for name, buckets in HISTOGRAMS.items()
        for bound, count in buckets.items()
    ]
    return [*series, (key_of_dict({"__name__": "late"}), [(START_MS + LATE_MS, 1.0)])]


def test_every_clause_is_answered_as_prometheus_answers_it(tmp_path: Path) -> None:
    store = open_store(tmp_path / "ours", options=Options(block_span_s=7200.0))
    at_ms, wrong = START_MS + 60_000, []
    with a_prometheus(tmp_path) as url:
        fill_both(url, store, dataset())
        engine = Engine(Reader(store), Limits())
        for query in QUERIES:
            parameters = {"query": query, "time": str(at_ms / 1000)}
            kind, wanted = asked_of(url, "/api/v1/query", parameters)
            try:
                my_kind, mine = points_of(finished(engine.instant(query, at_ms, unlimited())))
            except TsdbError as error:
                if kind != "error":
                    wrong.append(f"{query}\n  ours: {error}\n  theirs: {wanted}")
                continue
            if query in EXACT:
                assert [value for ((_, value),) in mine.values()] == [EXACT[query]]
                continue
            if my_kind != kind or isinstance(wanted, str) or not agree(mine, wanted):
                wrong.append(f"{query}\n  ours: {mine}\n  theirs: {wanted}")
        for first_ms, last_ms in ((0, 0), (0, LATE_MS - 1), (0, LATE_MS), (LATE_MS, LATE_MS)):
            wanted_names = _series_names(url, START_MS + first_ms, START_MS + last_ms)
            keys = finished(
                Reader(store).series(
                    [[Matcher("__name__", Op.LIKE, "late|huge")]],
                    START_MS + first_ms, START_MS + last_ms, unlimited(),
                )
            )  # fmt: skip
            found = sorted(
                name for name in ("huge", "late") if any(name.encode() in k for k in keys)
            )
            if found != wanted_names:
                wrong.append(f"/series {first_ms} {last_ms}: {found}, theirs {wanted_names}")
    store.close()
    assert not wrong, f"{len(wrong)} of {len(QUERIES)} differ:\n" + "\n".join(wrong[:8])


def _series_names(url: str, first_ms: int, last_ms: int) -> list[str]:
    query = urllib.parse.urlencode(
        {"match[]": '{__name__=~"late|huge"}', "start": first_ms / 1000, "end": last_ms / 1000}
    )
    with urllib.request.urlopen(f"{url}/api/v1/series?{query}", timeout=30) as answer:  # noqa: S310
        return sorted(one["__name__"] for one in json.load(answer)["data"])


@contextmanager
def pages(texts: Sequence[str]) -> Iterator[str]:
    """Serve each text at its number, as a target would; give the address."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = texts[int(self.path[1:])].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


def test_a_line_costs_its_target_where_it_does_with_prometheus(tmp_path: Path) -> None:
    """The unit test of ours reads the same lines, by the same two lists."""
    lines = [*TAKEN, *REFUSED]
    with pages([f"{line}\nn 1\n" for line in lines]) as address:
        targets = [
            {"targets": [address], "labels": {"__metrics_path__": f"/{at}"}}
            for at in range(len(lines))
        ]
        job = {"job_name": "lines", "scrape_interval": "1s", "static_configs": targets}
        with a_prometheus(tmp_path, json.dumps({"scrape_configs": [job]})) as url:
            health = _health(url, len(lines))
    assert [line for at, line in enumerate(TAKEN) if health[at] != "up"] == []
    behind = len(TAKEN)
    assert [line for at, line in enumerate(REFUSED) if health[behind + at] != "down"] == []


def _health(url: str, count: int, deadline_s: float = 60) -> dict[int, str]:
    """Return what Prometheus says of each target, once it has looked at all of them.

    A look that came to no answer in its second, on a busy machine, says nothing of the lines.
    """
    end_at = time.monotonic() + deadline_s
    while True:
        with urllib.request.urlopen(f"{url}/api/v1/targets", timeout=30) as answer:  # noqa: S310
            data: Any = json.load(answer)["data"]["activeTargets"]
        found = {
            int(urllib.parse.urlsplit(one["scrapeUrl"]).path[1:]): one["health"] for one in data
        }
        late = [one for one in data if "deadline exceeded" in one["lastError"]]
        if len(found) == count and "unknown" not in found.values() and not late:
            return found
        assert time.monotonic() < end_at, found
        time.sleep(0.2)
