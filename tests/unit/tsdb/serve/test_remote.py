"""Another engine beside the store, here a second store: it is sent all, and asked of the past."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.ports import free_port
from tests.unit.tsdb.serve.test_serve import Served, now_s, started, stopped, until
from tsdb.settings import RemoteRead, RemoteWrite, TsdbSettings

type Handler = Callable[[web.Request], Awaitable[web.Response]]
HOUR_S = 3600


@dataclass
class Door:
    """Stands before an engine: hands on, or answers with a status of its own. Keeps headers."""

    engine: Served
    status: int = 0
    headers: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.get("Authorization", ""))
        self.asked.append(request.path)
        if self.status:
            return web.Response(status=self.status, text="not now")
        kept = ("Content-Type", "Content-Encoding")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        body = await request.read()
        url = self.engine.url + request.path
        async with self.engine.session.post(url, data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read())


@dataclass
class World:
    """Ours, and an engine behind a door."""

    ours: Served
    engine: Served
    door: Door

    async def number(self, family: str) -> float:
        _, text = await self.ours.get("/metrics")
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(family)]
        return sum(map(float, found))

    async def again(self) -> None:
        await stopped(self.ours)
        self.ours = await started(self.ours.settings, self.ours.session)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:
        engine_settings = TsdbSettings(data_dir=str(tmp_path / "engine"), port=free_port())
        engine = await started(engine_settings, session)
        door = Door(engine)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", door.handle)
        async with TestServer(app) as server:
            url = str(server.make_url("")).rstrip("/")
            (tmp_path / "token").write_text("secret\n")
            token = str(tmp_path / "token")
            write = RemoteWrite(
                url=f"{url}/api/v1/write",
                flush_s=0.01,
                bearer_token_file=token,
                queue_samples=50,
                samples_per_request=5,
            )
            read = RemoteRead(url=url, after_s=1.0, bearer_token_file=token)
            settings = TsdbSettings(
                data_dir=str(tmp_path / "ours"),
                port=free_port(),
                remote_write=[write],
                remote_read=read,
            )
            world = World(await started(settings, session), engine, door)
            yield world
            await stopped(world.ours)
        await stopped(engine)


async def test_what_the_store_takes_is_in_the_other_engine_too(world: World) -> None:
    at_ms = int(now_s() * 1000)
    assert await world.ours.push(f'a{{x="1"}} 5 {at_ms}\na{{x="2"}} 0 {at_ms}\nb NaN\n') == 204

    async def is_there() -> bool:
        _, told = await world.engine.get("/api/v1/query", query='{__name__=~"a|b"}')
        return len(told["data"]["result"]) == 3

    await until(is_there)
    assert await world.engine.value("sum(a)") == "5"
    assert set(world.door.headers) == {"Bearer secret"}
    sent = 'cube_tsdb_remote_samples_total{engine="0",outcome="sent"}'
    assert await world.number(sent) == 3


async def test_samples_wait_while_the_engine_is_away_and_go_when_it_is_back(world: World) -> None:
    world.door.status = 503
    assert await world.ours.push("a 1\n") == 204

    async def is_asked() -> bool:
        return len(world.door.asked) > 1

    await until(is_asked)
    assert await world.number("cube_tsdb_remote_waiting_samples") == 1
    assert await world.ours.value("a") == "1"
    world.door.status = 0

    async def is_sent() -> bool:
        return await world.number("cube_tsdb_remote_waiting_samples") == 0

    await until(is_sent)
    assert await world.engine.value("a") == "1"


async def test_what_the_engine_refuses_for_good_is_counted_and_holds_nothing_up(
    world: World,
) -> None:
    world.door.status = 400
    assert await world.ours.push("a 1\n") == 204

    async def is_refused() -> bool:
        refused = 'cube_tsdb_remote_samples_total{engine="0",outcome="refused"}'
        return await world.number(refused) == 1

    await until(is_refused)
    world.door.status = 0
    assert await world.ours.push("b 2\n") == 204

    async def is_there() -> bool:
        _, told = await world.engine.get("/api/v1/query", query="b")
        return bool(told["data"]["result"])

    await until(is_there)


async def test_beyond_the_limit_the_oldest_are_dropped_and_the_store_has_them(
    world: World,
) -> None:
    world.door.status = 503
    for number in range(60):
        assert await world.ours.push(f"n{number} 1\n") == 204
    dropped = 'cube_tsdb_remote_samples_total{engine="0",outcome="dropped"}'
    # Five may be under way, 50 wait behind them.
    assert 5 <= await world.number(dropped) <= 10
    assert await world.ours.value('count({__name__=~"n.*"})') == "60"


async def test_the_end_of_the_program_sends_what_waits(world: World) -> None:
    ours = msgspec.structs.replace(
        world.ours.settings.remote_write[0],
        flush_s=1000.0,
    )
    world.ours.settings = msgspec.structs.replace(world.ours.settings, remote_write=[ours])
    await world.again()
    assert await world.ours.push("last 7\n") == 204

    await stopped(world.ours)

    assert await world.engine.value("last") == "7"
    world.ours = await started(world.ours.settings, world.ours.session)


async def fill_old(world: World) -> float:
    """Give the engine a sample that is older than all of ours; return its time."""
    old_s = now_s() - HOUR_S
    assert await world.engine.push(f"old 42 {int(old_s * 1000)}\n") == 204
    assert await world.ours.push("fresh 1\n") == 204
    return old_s


async def test_queries_that_reach_back_beyond_ours_are_answered_by_the_engine(
    world: World,
) -> None:
    old_s = await fill_old(world)
    status, told = await world.ours.get("/api/v1/query", query="old[2h]")
    assert status == 200
    ((at_s, value),) = told["data"]["result"][0]["values"]
    assert (round(at_s), value) == (round(old_s), "42")
    span = {"start": str(old_s), "end": str(now_s()), "step": "60"}
    _, told = await world.ours.get("/api/v1/query_range", query="old", **span)
    assert told["data"]["result"][0]["values"][0][1] == "42"
    assert await world.number('cube_tsdb_remote_queries_total{outcome="answered"}') == 2


async def test_recent_queries_never_leave_the_store(world: World) -> None:
    await fill_old(world)
    world.door.asked.clear()
    world.door.status = 500
    _, told = await world.ours.get("/api/v1/query", query="count_over_time(fresh[900ms])")
    assert told["status"] == "success"
    assert "/api/v1/query" not in world.door.asked


async def test_an_engine_that_is_away_costs_old_samples_and_a_warning_says_so(
    world: World,
) -> None:
    await fill_old(world)
    world.door.status = 502
    status, told = await world.ours.get("/api/v1/query", query="fresh")
    assert (status, told["data"]["result"][0]["value"][1]) == (200, "1")
    assert told["warnings"] == [
        "older samples are missing, remote read failed: status 502: not now"
    ]
    assert await world.number('cube_tsdb_remote_queries_total{outcome="failed"}') == 1


async def test_a_wrong_query_is_refused_without_asking_elsewhere(world: World) -> None:
    world.door.asked.clear()
    status, told = await world.ours.get("/api/v1/query", query="sum(")
    assert (status, told["errorType"]) == (400, "bad_data")
    assert "/api/v1/query" not in world.door.asked


@pytest.mark.parametrize(
    "url", ["metrics:8428", "ftp://a/b", "http://", "http://u:p@a/", "http://a?b"]
)
def test_a_url_of_another_form_is_refused_by_name(url: str) -> None:
    content = msgspec.json.encode({"data_dir": "/d", "remote_write": [{"url": url}]})
    with pytest.raises(msgspec.ValidationError, match=r"remote_write\[0\]\.url|remote_write"):
        msgspec.json.decode(content, type=TsdbSettings)
