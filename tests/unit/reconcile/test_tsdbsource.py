"""Our own store as a source of metrics: series become samples, and no answer a trouble."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from cubernetes.reconcile.readings import Sample, SourceTrouble
from cubernetes.reconcile.tsdbsource import TsdbSource, metric_source
from tsdb.client.query import NotSent, QueryClient


class Canned:
    def __init__(self, result: str) -> None:
        self.result = result

    async def post(self, path: str, form: Mapping[str, str]) -> bytes:
        assert (path, form["query"]) == ("/api/v1/query", "load")
        if not self.result:
            raise NotSent("connection refused")
        return f'{{"status":"success","data":{self.result}}}'.encode()


def source(result: str) -> TsdbSource:
    return TsdbSource(QueryClient(Canned(result)))


async def test_each_series_is_a_sample_of_its_moment() -> None:
    result = (
        '{"resultType":"vector","result":[{"metric":{"a":"1"},"value":[1735689600,"2.5"]},'
        '{"metric":{"a":"2"},"value":[1735689601.5,"NaN"]}]}'
    )
    first, second = await source(result).samples("load")
    assert first == Sample(2.5, datetime(2025, 1, 1, tzinfo=UTC), {"a": "1"})
    assert (second.number != second.number, second.at.microsecond) == (True, 500_000)
    assert await source('{"resultType":"vector","result":[]}').samples("load") == []


async def test_no_answer_is_a_trouble_of_the_source() -> None:
    for result in ("", '{"resultType":"vector","result":7}'):
        with pytest.raises(SourceTrouble, match="load"):
            await source(result).samples("load")


async def test_without_a_store_there_is_no_source() -> None:
    async with metric_source("") as found:
        assert found is None
    async with metric_source("http://127.0.0.1:9090") as found:
        assert isinstance(found, TsdbSource)
