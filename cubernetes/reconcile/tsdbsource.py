"""Metrics for planners from our own time-series store, over its query API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from cubernetes.reconcile.readings import MetricSource, Sample, SourceTrouble
from tsdb.client.http import http_sender
from tsdb.client.query import QueryClient, QueryUnanswered


@asynccontextmanager
async def metric_source(url: str) -> AsyncIterator[MetricSource | None]:
    """Give the source of a store at url, without a path; None where the url is empty."""
    if not url:
        yield None
        return
    async with http_sender(url) as sender:
        yield TsdbSource(QueryClient(sender))


class TsdbSource:
    """Answers `MetricSource` by a store with Prometheus' API."""

    def __init__(self, client: QueryClient) -> None:
        self._client = client

    async def samples(self, query: str) -> Sequence[Sample]:
        try:
            found = await self._client.query(query)
        except QueryUnanswered as error:
            raise SourceTrouble(str(error)) from error
        last = [(series.points[-1], series.labels) for series in found if series.points]
        try:
            return [
                Sample(number, datetime.fromtimestamp(at_s, UTC), labels)
                for (at_s, number), labels in last
            ]
        except (ValueError, OverflowError, OSError) as error:
            raise SourceTrouble(f"a sample of a time that no calendar has: {error}") from error
