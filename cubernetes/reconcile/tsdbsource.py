"""Metrics for planners from our own time-series store, over its query API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from cubernetes.reconcile.readings import Sample, SampleStore, SourceTrouble, Track
from tsdb.client.http import http_sender
from tsdb.client.query import NotSent, QueryClient, QueryUnanswered

PUSH_PATH = "/api/v1/import/prometheus"


class Pusher(Protocol):
    """What carries samples to a store."""

    async def push(self, path: str, text: str) -> None:
        """Raises: NotSent."""
        ...


@asynccontextmanager
async def metric_source(url: str) -> AsyncIterator[SampleStore | None]:
    """Give the source of a store at url, without a path; None where the url is empty."""
    if not url:
        yield None
        return
    async with http_sender(url) as sender:
        yield TsdbSource(QueryClient(sender), sender)


class TsdbSource:
    """Answers `SampleStore` by a store with Prometheus' API."""

    def __init__(self, client: QueryClient, sender: Pusher | None = None) -> None:
        self._client, self._sender = client, sender

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

    async def tracks(self, query: str) -> Sequence[Track]:
        try:
            found = await self._client.query(query)
        except QueryUnanswered as error:
            raise SourceTrouble(str(error)) from error
        return [Track(one.labels, one.points) for one in found]

    async def arrived(self, after: int, wait_s: float) -> int:
        try:
            return await self._client.arrived(after, wait_s)
        except QueryUnanswered as error:
            raise SourceTrouble(str(error)) from error

    async def push(self, text: str) -> None:
        if self._sender is None:
            raise SourceTrouble("this source takes no samples")
        try:
            await self._sender.push(PUSH_PATH, text)
        except NotSent as error:
            raise SourceTrouble(str(error)) from error
