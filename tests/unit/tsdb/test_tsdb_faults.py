"""No fault of one target, discovery, request or upkeep ends the store: it is counted and told."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from tests.ports import free_port
from tests.unit.tsdb.serve.test_serve import Served, started, stopped, until
from tsdb.client.write import ClientSettings, TsdbClient
from tsdb.errors import DiskRefused
from tsdb.faults import Faults
from tsdb.ingest import Ingest
from tsdb.scrape.pool import Pool
from tsdb.settings import ScrapeJob, ScrapeTls, TargetGroup, TsdbSettings
from tsdb.storage.commit import Committer
from tsdb.storage.store import Outcome, Store
from tsdb.storage.upkeep import Upkeep

ODD_TEXTS = {
    "beyond-64-bits": b"m 1 99999999999999999999\n",
    "far-beyond": b"m 1 " + b"9" * 5000 + b"\n",
    "not-text": b"m 1 \xff\n",
    "unclosed": b'm{a="b" 1\n',
    "endless-labels": b"m{" + b'a="b",' * 100_000 + b"} 1\n",
    "one-large-label": b'm{a="' + b"x" * 900_000 + b'"} 1\n',
    "blank-lines": b"\n" * 2_000_000,
    "no-snappy": b"\x00\x01",
}
BOMB = gzip.compress(bytes(50_000_000))


class Targets:
    """Exporters of odd texts, a good one, and a discovery that can be made to lie."""

    def __init__(self) -> None:
        self.discovered: bytes = b"[]"

    async def metrics(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "bomb":
            headers = {"Content-Encoding": "gzip"}
            return web.Response(body=BOMB, headers=headers)
        if name == "packed":
            headers = {"Content-Encoding": "gzip"}
            return web.Response(body=gzip.compress(b"packed 7\n"), headers=headers)
        return web.Response(body=ODD_TEXTS.get(name, b"good 1\n"))

    async def discovery(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.discovered, content_type="application/json")


@pytest.fixture
async def targets() -> AsyncIterator[tuple[Targets, str]]:
    found = Targets()
    app = web.Application()
    app.add_routes([web.get("/sd", found.discovery), web.get("/{name}", found.metrics)])
    async with TestClient(TestServer(app)) as client:
        yield found, f"{client.host}:{client.port}"


async def health_of(served: Served) -> dict[str, tuple[str, str]]:
    _, told = await served.get("/api/v1/targets")
    return {
        target["scrapeUrl"]: (target["health"], target["lastError"])
        for target in told["data"]["activeTargets"]
    }


async def test_a_target_is_down_and_the_others_are_scraped_whatever_it_says(
    targets: tuple[Targets, str], tmp_path: Path
) -> None:
    _, address = targets
    token = tmp_path / "token"
    token.write_text("two\nlines")
    names = [*ODD_TEXTS, "bomb", "packed", "good"]
    groups = [
        TargetGroup(targets=[address], labels={"__metrics_path__": f"/{name}"}) for name in names
    ]
    groups.append(TargetGroup(targets=["a b", "127.0.0.1:99999999", "[", "\x00", "x" * 300]))
    other = [TargetGroup(targets=[address], labels={"__metrics_path__": "/other"})]
    jobs = [
        ScrapeJob(name="odd", groups=groups, body_bytes=4_000_000, interval_s=0.2, timeout_s=30.0),
        ScrapeJob(name="token", groups=other, bearer_token_file=str(token), interval_s=0.2),
        ScrapeJob(name="tls", groups=other, tls=ScrapeTls(ca="/nowhere"), interval_s=0.2),
    ]
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port(), scrape=jobs)
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)

        async def all_asked() -> bool:
            health = await health_of(served)
            return len(health) > len(names) and all(h != "unknown" for h, _ in health.values())

        await until(all_asked)
        health = await health_of(served)
        up = {url.rsplit("/", 1)[1] for url, (is_up, _) in health.items() if is_up == "up"}
        assert up == {"good", "packed"}
        for name in ("beyond-64-bits", "far-beyond"):
            assert "64 bits" in health[f"http://{address}/{name}"][1]
        assert "body_bytes" in health[f"http://{address}/bomb"][1]
        assert await served.value("good") == "1"
        assert served.task is not None
        assert not served.task.done()
        await stopped(served)


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 100_000,
        b'[{"targets":["127.0.0.1:1"],"labels":{"__scheme__":"\\u0000"}}]',
        b'[{"targets":["127.0.0.1:1"],"labels":{"a":"' + b"x" * 5000 + b'"}}]',
        b'[{"targets":["a:99999999999999999999"]}]',
        b"\xff",
    ],
)
async def test_an_odd_answer_of_discovery_ends_nothing(
    targets: tuple[Targets, str], tmp_path: Path, answer: bytes
) -> None:
    found, address = targets
    found.discovered = answer
    job = ScrapeJob(
        name="sd",
        interval_s=0.05,
        timeout_s=30.0,
        http_sd=[f"http://{address}/sd", "http://127.0.0.1:99999999/", "nonsense"],
        http_sd_interval_s=0.05,
        groups=[TargetGroup(targets=[address], labels={"__metrics_path__": "/good"})],
    )
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port(), scrape=[job])
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)

        async def is_scraped() -> bool:
            health = await health_of(served)
            return health.get(f"http://{address}/good", ("", ""))[0] == "up"

        await until(is_scraped)
        found.discovered = b'[{"targets":["' + address.encode() + b'"],"labels":{"found":"x"}}]'

        async def is_found() -> bool:
            _, told = await served.get("/api/v1/targets")
            return any("found" in t["labels"] for t in told["data"]["activeTargets"])

        await until(is_found)
        await stopped(served)


@pytest.mark.parametrize("name", sorted(set(ODD_TEXTS) - {"blank-lines"}))
async def test_an_odd_text_that_is_pushed_is_the_senders_fault(tmp_path: Path, name: str) -> None:
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port())
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)
        for path in ("/api/v1/import/prometheus", "/api/v1/write"):
            async with session.post(served.url + path, data=ODD_TEXTS[name]) as answer:
                assert answer.status in (400, 422), await answer.text()
        assert await served.push("good 1\n") == 204
        _, text = await served.get("/metrics")
        assert 'cube_tsdb_faults_total{loop="request"} 0' in text
        await stopped(served)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/v1/metadata", {"limit": "9" * 5000}),
        ("/api/v1/metadata", {"limit": "--5"}),
        ("/api/v1/metadata", {"limit": "٣"}),
        ("/api/v1/query", {"query": "a", "time": "9" * 5000}),
        ("/api/v1/query", {"query": "a", "timeout": "1" + "0" * 400}),
        ("/api/v1/query", {"query": "a[" + "9" * 5000 + "s]"}),
        ("/api/v1/query", {"query": "a @ " + "9" * 5000}),
        ("/api/v1/query", {"query": "a[٣m]"}),
    ],
)
async def test_an_odd_number_in_a_question_is_bad_data(
    tmp_path: Path, path: str, asked: dict[str, str]
) -> None:
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port())
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)
        status, told = await served.get(path, **asked)
        assert (status, told["errorType"]) == (400, "bad_data")
        await stopped(served)


class Poisoned:
    """A store of which the upkeep fails in a way that nobody foresaw."""

    def maintain(self) -> Iterator[None]:
        yield
        raise ZeroDivisionError


async def test_upkeep_goes_on_after_a_fault_and_counts_it() -> None:
    faults = Faults()
    upkeep = Upkeep(cast(Store, Poisoned()), Env(), 0.0, faults)
    task = asyncio.create_task(upkeep.run())

    async def again() -> bool:
        return faults.count_by_loop["upkeep"] > 2

    await until(again)
    assert not task.done()
    task.cancel()


class PoisonedIngest(Ingest):
    """Fails, in a way that nobody foresaw, for the samples of one target."""

    def take_columns(self, refs: Any, times: Any, values: Any, now_ms: int) -> Outcome:
        if 666.0 in values:
            raise ZeroDivisionError
        return super().take_columns(refs, times, values, now_ms)


async def test_a_fault_within_a_scrape_is_the_targets_and_counted(
    small: Any, targets: tuple[Targets, str]
) -> None:
    _, address = targets
    ODD_TEXTS["poison"] = b"m 666\n"
    faults = Faults()
    job = ScrapeJob(
        name="j",
        interval_s=0.05,
        timeout_s=30.0,
        groups=[
            TargetGroup(targets=[address], labels={"__metrics_path__": f"/{name}"})
            for name in ("poison", "good")
        ],
    )
    pool = Pool([job], small.store, PoisonedIngest(small.store), Env(), faults)
    task = asyncio.create_task(pool.run(Committer(small.store, SystemClock(), 0.0)))

    async def both_asked() -> bool:
        states = {state.target.url.rsplit("/", 1)[1]: state.health for state in pool.states()}
        return states == {"poison": "down", "good": "up"} and faults.count_by_loop["scrape"] > 1

    await until(both_asked)
    assert not task.done()
    del ODD_TEXTS["poison"]
    task.cancel()
    await asyncio.wait([task])


def test_a_fault_is_told_once_a_streak_and_counted_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    for error in (ValueError("a"), ValueError("a"), KeyError("b"), ValueError("a")):
        with faults.caught("scrape", target="x"):
            raise error

    assert faults.count_by_loop["scrape"] == 4
    assert len(caplog.records) == 3


def test_a_cancellation_is_no_fault() -> None:
    faults = Faults()
    with pytest.raises(asyncio.CancelledError), faults.caught("scrape"):
        raise asyncio.CancelledError

    assert faults.count_by_loop["scrape"] == 0


class Failing:
    """A store whose disk refuses, or whose sync fails in a way that nobody foresaw."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def sync(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [DiskRefused("full"), ZeroDivisionError()])
async def test_what_fails_behind_an_interval_is_told_to_the_next(error: Exception) -> None:
    committer = Committer(cast(Store, Failing(error)), SystemClock(), 0.001)
    await committer.acknowledge()

    async def is_told() -> bool:
        try:
            await committer.acknowledge()
        except type(error):
            return True
        return False

    await until(is_told)


async def test_a_program_that_records_what_is_no_text_or_float_goes_on(tmp_path: Path) -> None:
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port())
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)
        client_settings = ClientSettings(served.url, flush_s=0.01)
        async with TsdbClient(client_settings, Env(), session) as client:
            client.record("a", 1.0, {"x": "\ud800"})
            client.record("a", 10**400)
            client.record("good", 1.0)

            async def is_sent() -> bool:
                return client.sent == 1

            await until(is_sent)
            assert client.refused == 2
        await stopped(served)
