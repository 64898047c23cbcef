"""The program over HTTP, in this process: what Prometheus' clients ask, and what they are told."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from cubernetes.host.env import Env
from tests.ports import free_port
from tsdb.client.query import QueryUnanswered
from tsdb.client.write import ClientSettings, TsdbClient
from tsdb.columns.labels import key_of_dict
from tsdb.errors import DiskRefused
from tsdb.limits import Limits
from tsdb.run import run
from tsdb.settings import ScrapeJob, TargetGroup, TsdbSettings
from tsdb.wire.remote import encode_request, snapped


def now_s() -> float:
    """Not once for all tests: an instant query looks back five minutes."""
    return datetime.now(UTC).timestamp()


@dataclass
class Served:
    """A running program, and a session to talk to it."""

    url: str
    session: aiohttp.ClientSession
    settings: TsdbSettings
    task: asyncio.Task[None] | None = None
    asked: list[str] = field(default_factory=list)

    async def get(self, path: str, **parameters: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path, params=parameters) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return answer.status, json.loads(text) if is_json else text

    async def push(self, text: str) -> int:
        path = "/api/v1/import/prometheus"
        async with self.session.post(self.url + path, data=text.encode()) as answer:
            return answer.status

    async def write(self, series: list[Any]) -> tuple[int, str]:
        body = snapped(encode_request(series))
        headers = {"Content-Encoding": "snappy"}
        async with self.session.post(
            f"{self.url}/api/v1/write", data=body, headers=headers
        ) as answer:
            return answer.status, await answer.text()

    async def value(self, query: str) -> str:
        _, told = await self.get("/api/v1/query", query=query)
        value: str = told["data"]["result"][0]["value"][1]
        return value


async def until_ready(served: Served) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await served.get("/-/ready"))[0] == 200:
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)


async def until(condition: Any) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def started(settings: TsdbSettings, session: aiohttp.ClientSession) -> Served:
    served = Served(f"http://127.0.0.1:{settings.port}", session, settings)
    served.task = asyncio.create_task(run(settings, Env()))
    await until_ready(served)
    return served


async def stopped(served: Served) -> None:
    assert served.task is not None
    served.task.cancel()
    await asyncio.wait([served.task])


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    limits = Limits(series=20, request_bytes=100_000, query_steps=1000)
    settings = TsdbSettings(data_dir=str(tmp_path / "data"), port=free_port(), limits=limits)
    async with aiohttp.ClientSession() as session:
        found = await started(settings, session)
        yield found
        await stopped(found)


async def test_what_is_pushed_can_be_asked_for(served: Served) -> None:
    assert await served.push('# TYPE a counter\na{x="1"} 5\na{x="2"} 7\n') == 204

    status, told = await served.get("/api/v1/query", query="sum(a)")

    assert (status, told["status"]) == (200, "success")
    assert told["data"]["resultType"] == "vector"
    assert told["data"]["result"][0]["value"][1] == "12"


async def test_remote_write_is_taken_and_survives_a_restart(served: Served) -> None:
    key = key_of_dict({"__name__": "m", "pod": "a"})
    at_ms = int(now_s() * 1000)
    assert (await served.write([(key, [(at_ms, 1.5), (at_ms + 1, 2.5)])]))[0] == 204

    await stopped(served)
    again = await started(served.settings, served.session)
    served.task = again.task

    assert await again.value("m") == "2.5"


async def test_the_names_values_and_series_of_labels_are_told(served: Served) -> None:
    await served.push('a{x="1"} 5\na{x="2",y="z"} 7\nb{x="3"} 1\n')

    assert (await served.get("/api/v1/labels"))[1]["data"] == ["__name__", "x", "y"]
    assert (await served.get("/api/v1/label/x/values"))[1]["data"] == ["1", "2", "3"]
    matched = await served.get("/api/v1/label/x/values", **{"match[]": "a"})
    assert matched[1]["data"] == ["1", "2"]
    names = await served.get("/api/v1/labels", **{"match[]": "b"})
    assert names[1]["data"] == ["__name__", "x"]
    series = await served.get("/api/v1/series", **{"match[]": '{x=~"[13]"}'})
    assert series[1]["data"] == [{"__name__": "a", "x": "1"}, {"__name__": "b", "x": "3"}]


async def test_a_range_is_answered_with_a_matrix(served: Served) -> None:
    at_s = now_s()
    await served.push(f"a 5 {int(at_s * 1000)}\n")

    asked = {"query": "a * 2", "start": str(at_s), "end": str(at_s + 30), "step": "15s"}
    _, told = await served.get("/api/v1/query_range", **asked)

    assert told["data"]["resultType"] == "matrix"
    assert [value for _, value in told["data"]["result"][0]["values"]] == ["10"] * 3


async def test_a_form_that_is_posted_adds_to_what_the_url_says(served: Served) -> None:
    url = f"{served.url}/api/v1/query?time=7.5"
    async with served.session.post(url, data={"query": "vector(2)"}) as answer:
        told = await answer.json()

    assert [line["value"] for line in told["data"]["result"]] == [[7.5, "2"]]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=a", b"--a\r\n\r\n--a--"),
        ("text/pl\xe4in", b"query=1"),
        ("application/x-www-form-urlencoded", b"a&" * 1001),
    ],
)
async def test_a_form_of_another_kind_or_too_large_is_refused(
    served: Served, kind: str, body: bytes
) -> None:
    url = f"{served.url}/api/v1/query"
    async with served.session.post(url, data=body, headers={"Content-Type": kind}) as answer:
        told = await answer.json()

    assert answer.status in (400, 422)
    assert told["errorType"] == "bad_data"


async def test_a_text_may_come_packed_and_in_chunks(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        packed = gzip.compress(b"a 5\nb 7\n")
        yield packed[:10]
        yield packed[10:]

    path = f"{served.url}/api/v1/import/prometheus"
    headers = {"Content-Encoding": "gzip"}
    async with served.session.post(path, data=pieces(), headers=headers) as answer:
        assert answer.status == 204

    assert await served.value("a + b") == "12"


async def test_a_large_answer_arrives_whole(served: Served) -> None:
    at_s = now_s()
    at_ms = int(at_s * 1000)
    await served.push("".join(f'a{{n="{n}"}} {n}.125 {at_ms}\n' for n in range(20)))

    asked = {"query": "a", "start": str(at_s), "end": str(at_s + 299), "step": "0.3"}
    _, told = await served.get("/api/v1/query_range", **asked)

    lines = told["data"]["result"]
    assert len(lines) == 20
    assert {len(line["values"]) for line in lines} == {997}
    for line in lines:
        assert {value for _, value in line["values"]} == {f"{line['metric']['n']}.125"}


@pytest.mark.parametrize(
    ("path", "asked", "status", "kind"),
    [
        ("/api/v1/query", {"query": "sum("}, 400, "bad_data"),
        ("/api/v1/query", {}, 400, "bad_data"),
        ("/api/v1/query", {"query": "a", "time": "soon"}, 400, "bad_data"),
        ("/api/v1/query", {"query": "a", "timeout": "x"}, 400, "bad_data"),
        ("/api/v1/query", {"query": "holt_winters(a[5m], 1, 1)"}, 400, "bad_data"),
        (
            "/api/v1/query_range",
            {"query": "a", "start": "0", "end": "1e6", "step": "1"},
            422,
            "execution",
        ),
        ("/api/v1/query_range", {"query": "a", "start": "1", "end": "0", "step": "1"}, 400, ""),
        ("/api/v1/query_range", {"query": "a", "start": "0", "end": "1", "step": "0"}, 400, ""),
        ("/api/v1/query_range", {"query": "a[5m]", "start": "0", "end": "1", "step": "1"}, 400, ""),
        ("/api/v1/series", {}, 400, "bad_data"),
        ("/api/v1/series", {"match[]": "{}"}, 400, "bad_data"),
        ("/api/v1/label/a-b/values", {}, 400, "bad_data"),
        ("/api/v1/nothing", {}, 404, "bad_data"),
        ("/api/v1/write", {}, 405, "bad_data"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(
    served: Served, path: str, asked: dict[str, str], status: int, kind: str
) -> None:
    found, told = await served.get(path, **asked)

    assert (found, told["status"]) == (status, "error")
    assert told["errorType"] == (kind or told["errorType"])
    assert told["error"]


async def test_too_many_series_are_refused_with_429_and_the_others_taken(served: Served) -> None:
    at_ms = int(now_s() * 1000)
    series = [
        (key_of_dict({"__name__": "m", "n": str(number)}), [(at_ms, 1.0)]) for number in range(30)
    ]

    status, told = await served.write(series)

    assert (status, "series" in told) == (429, True)
    assert await served.value("count(m)") == "20"


async def test_samples_out_of_bounds_are_refused_with_400_and_their_counts(served: Served) -> None:
    at_ms = int(now_s() * 1000)
    key = key_of_dict({"__name__": "m"})
    await served.write([(key, [(at_ms, 1.0)])])

    status, told = await served.write([(key, [(at_ms - 86_400_000, 1.0), (at_ms, 2.0)])])

    assert (status, told) == (400, "too_old 1, conflicting 1")


@pytest.mark.parametrize("body", [b"", b"\xff" * 50, snapped(b"\x0a\xff")])
async def test_a_body_that_is_no_request_is_bad_data(served: Served, body: bytes) -> None:
    async with served.session.post(f"{served.url}/api/v1/write", data=body) as answer:
        assert answer.status == 400


async def test_a_body_over_the_limit_is_refused(served: Served) -> None:
    async with served.session.post(f"{served.url}/api/v1/write", data=bytes(200_000)) as answer:
        assert answer.status in (413, 422)
        assert "request_bytes" in await answer.text()


async def test_remote_write_2_is_refused_by_name(served: Served) -> None:
    kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    headers = {"Content-Type": kind}
    async with served.session.post(f"{served.url}/api/v1/write", headers=headers) as answer:
        assert answer.status == 415


async def test_a_full_disk_is_told_with_503_and_queries_go_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.push("a 1\n")

    def full(*_arguments: object) -> None:
        raise DiskRefused("cannot write to the log: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tsdb.storage.wal.LogFile.append", full)
        async with served.session.post(
            f"{served.url}/api/v1/import/prometheus", data=b"a 2\n"
        ) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
        assert await served.value("a") == "1"
    assert await served.push("a 3\n") == 204
    assert await served.value("a") == "3"


async def test_its_own_metrics_and_build_are_told(served: Served) -> None:
    await served.push("a 1\n")

    _, text = await served.get("/metrics")
    _, build = await served.get("/api/v1/status/buildinfo")

    assert 'cube_tsdb_samples_total{outcome="accepted"} 1' in text
    assert build["data"]["application"] == "cubernetes tsdb"


async def test_federation_gives_the_newest_samples(served: Served) -> None:
    await served.push('# TYPE a counter\na{x="1"} 5\nb 7\n')

    _, text = await served.get("/federate", **{"match[]": "a"})

    assert text.startswith('# TYPE a counter\na{x="1"} 5 ')


async def test_a_snapshot_is_named_and_written(served: Served) -> None:
    await served.push("a 1\n")
    async with served.session.post(f"{served.url}/api/v1/admin/tsdb/snapshot") as answer:
        name = (await answer.json())["data"]["name"]

    folder = Path(served.settings.data_dir) / "snapshots" / name
    assert (folder / "log" / "checkpoint-00000001.log").stat().st_size


class Exporter:
    """A target whose answer a test can change; None is a broken one."""

    def __init__(self) -> None:
        self.text: str | None = "a 1\nb 2\n"
        self.groups: list[dict[str, Any]] = []

    async def metrics(self, _request: web.Request) -> web.Response:
        if self.text is None:
            raise web.HTTPInternalServerError
        return web.Response(text=self.text)

    async def discovery(self, _request: web.Request) -> web.Response:
        return web.json_response(self.groups)


@pytest.fixture
async def exporter() -> AsyncIterator[tuple[Exporter, str]]:
    found = Exporter()
    app = web.Application()
    app.add_routes([web.get("/metrics", found.metrics), web.get("/sd", found.discovery)])
    async with TestClient(TestServer(app)) as client:
        yield found, f"{client.host}:{client.port}"


async def test_a_target_is_scraped_and_what_it_no_longer_says_becomes_stale(
    exporter: tuple[Exporter, str], tmp_path: Path
) -> None:
    target, address = exporter
    job = ScrapeJob(
        name="test", interval_s=0.1, timeout_s=60.0, groups=[TargetGroup(targets=[address])]
    )
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port(), scrape=[job])
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)

        async def counts(query: str) -> int:
            return len((await served.get("/api/v1/query", query=query))[1]["data"]["result"])

        async def both_there() -> bool:
            return await counts('{__name__=~"a|b", job="test"}') == 2

        async def one_gone() -> bool:
            return await counts("b") == 0 and await counts("a") == 1

        async def all_gone() -> bool:
            return await counts("a") == 0 and await served.value("up") == "0"

        await until(both_there)
        assert await served.value("up") == "1"
        target.text = "a 3\n"
        await until(one_gone)
        target.text = None
        await until(all_gone)
        _, told = await served.get("/api/v1/targets")
        assert told["data"]["activeTargets"][0]["health"] == "down"
        assert "500" in told["data"]["activeTargets"][0]["lastError"]
        await stopped(served)


async def test_discovered_targets_come_and_go(
    exporter: tuple[Exporter, str], tmp_path: Path
) -> None:
    target, address = exporter
    job = ScrapeJob(
        name="found", interval_s=0.1, timeout_s=60.0, http_sd=[f"http://{address}/sd"],
        http_sd_interval_s=0.1,
    )  # fmt: skip
    settings = TsdbSettings(data_dir=str(tmp_path / "d"), port=free_port(), scrape=[job])
    async with aiohttp.ClientSession() as session:
        served = await started(settings, session)

        async def is_up() -> bool:
            _, told = await served.get("/api/v1/query", query='a{zone="z"}')
            return len(told["data"]["result"]) == 1

        async def is_gone() -> bool:
            _, told = await served.get("/api/v1/query", query="up")
            return not told["data"]["result"]

        target.groups = [{"targets": [address], "labels": {"zone": "z"}}]
        await until(is_up)
        target.groups = []
        await until(is_gone)
        await stopped(served)


async def test_the_client_writes_behind_and_asks(served: Served) -> None:
    settings = ClientSettings(served.url, flush_s=0.01)
    async with TsdbClient(settings, Env(), served.session) as client:
        client.record("requests_total", 41.0, {"pod": "a"})
        client.record("requests_total", 1.0, {"pod": "b"})

        async def is_sent() -> bool:
            return client.sent == 2

        await until(is_sent)
        assert await client.value("sum(requests_total)") == 42.0
        assert await client.value("absent_metric") is None
        now = datetime.now(UTC)
        found = await client.query_range(
            "requests_total", (now - timedelta(seconds=5)).timestamp(), now.timestamp(), 1
        )
        assert {one.labels["pod"]: one.last for one in found} == {"a": 41.0, "b": 1.0}
        with pytest.raises(QueryUnanswered, match="bad_data"):
            await client.query("sum(")
        with pytest.raises(QueryUnanswered, match="instead of one"):
            await client.value("requests_total")


async def test_the_client_loses_the_oldest_when_the_store_is_away_for_long() -> None:
    settings = ClientSettings(f"http://127.0.0.1:{free_port()}", queue_limit=5, flush_s=0.01)
    async with aiohttp.ClientSession() as session:
        async with TsdbClient(settings, Env(), session) as client:
            for number in range(8):
                client.record("m", float(number))

            async def has_lost() -> bool:
                return (client.waiting, client.lost) == (5, 3)

            await until(has_lost)
            with pytest.raises(QueryUnanswered, match="unreachable"):
                await client.query("m")
        assert client.lost == 8
