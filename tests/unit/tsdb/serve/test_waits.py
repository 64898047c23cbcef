"""Waiting for new samples: who decides on them is told when they are there to be read."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from cubernetes.host.env import Env
from tests.ports import free_port
from tsdb.client.http import HttpSender
from tsdb.client.query import QueryClient, QueryUnanswered
from tsdb.errors import Overloaded
from tsdb.run import run
from tsdb.scrape.arrivals import Arrivals
from tsdb.settings import ScrapeJob, TargetGroup, TsdbSettings


async def arrived(client: QueryClient, after: int, wait_s: float = 10.0) -> int:
    """Return the number that is told, as soon as the program serves."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await client.arrived(after, wait_s)
            except QueryUnanswered as error:
                if error.kind != "unreachable":
                    raise
                await asyncio.sleep(0.01)


async def test_who_waits_is_told_of_each_scrape_when_it_can_be_read(tmp_path: Path) -> None:
    port = free_port()
    own = TargetGroup(targets=[f"127.0.0.1:{port}"])
    job = ScrapeJob(name="own", interval_s=0.2, timeout_s=60.0, groups=[own])
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=port, scrape=[job])
    task = asyncio.create_task(run(settings, Env()))
    async with aiohttp.ClientSession() as session:
        client = QueryClient(HttpSender(f"http://127.0.0.1:{port}", session))
        first = await arrived(client, 0)
        assert first > 0
        assert (await client.value('count({job="own"})') or 0) > 0
        assert await arrived(client, first) > first
        task.cancel()
        await asyncio.wait([task])


async def test_where_nothing_is_scraped_a_wait_ends_with_the_same_number(tmp_path: Path) -> None:
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port())
    task = asyncio.create_task(run(settings, Env()))
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{settings.port}"
        client = QueryClient(HttpSender(url, session))
        assert await arrived(client, 0, wait_s=0.01) == 0
        # Who does not say what it knows is told at once.
        async with session.get(f"{url}/api/v1/arrivals") as answer:
            assert await answer.json() == {"status": "success", "data": {"number": 0}}
        async with session.get(f"{url}/api/v1/arrivals?after=x") as answer:
            assert answer.status == 400
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(QueryUnanswered, match="unreachable"):
            await client.arrived(0, 0.01)


async def test_only_so_many_wait_and_the_end_lets_them_go() -> None:
    arrivals = Arrivals(waiting_max=1)
    first = asyncio.create_task(arrivals.after(0, 60.0))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="arrivals_waiting"):
        await arrivals.after(0, 60.0)
    arrivals.note()
    assert await first == 1
    assert await arrivals.after(0, 60.0) == 1
    last = asyncio.create_task(arrivals.after(1, 60.0))
    await asyncio.sleep(0)
    arrivals.close()
    assert (await last, await arrivals.after(1, 60.0), arrivals.waiting) == (1, 1, 0)
