"""nginx's log becomes counts by road: what it may say, and how many roads there may be."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.blocking import DEADLINE_S, Key, StillHanging
from cubernetes.host.env import Env
from cubernetes.host.metrics import Metrics
from cubernetes.host.random import SeededRng
from gateway.nginx.process import NginxTrouble
from gateway.nginx.requestlog import PAGE_BYTES, PART_BYTES, RequestLog
from gateway.requests import BATCH_MAX, ROADS_MAX, Line, RequestCounts, line_of, read_log
from tests.contract.api.streams.world import until
from tests.simulation.clock import NoCommands, SimClock, sim_env
from tests.simulation.loop import run_simulated

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where the log is: what a hole gives back is up to the file system."""
    if not MEMORY.is_mount():
        pytest.skip(f"{MEMORY} is no file system in memory here")
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def a_line(path: str = "/x", status: int = 200) -> bytes:
    text = (
        '{"at":1.5,"host":"a.example","path":"%s","service":"default/web:80","method":"GET",'
        '"status":%d,"bytes":5,"s":0.002,"upstream":"10.96.0.10:80","upstream_s":"0.001",'
        '"client":"192.0.2.9","id":"ab"}'
    )
    return (text % (path, status)).encode()


def test_a_line_says_its_road_and_its_answer() -> None:
    assert line_of(a_line()) == Line("a.example", "/x", "default/web:80", 200, 0.002)


@given(st.binary(max_size=200))
def test_noise_is_no_line_and_ends_nothing(noise: bytes) -> None:
    assert line_of(noise) is None or b"{" in noise
    assert line_of(a_line()[:-1]) is None


def test_requests_are_counted_by_road_and_class() -> None:
    metrics = Metrics()
    counts = RequestCounts(metrics)
    for line in (a_line(), a_line(), a_line(status=404), b"noise"):
        counts.count(line)

    text = metrics.text().decode()
    road = 'host="a.example",path="/x",service="default/web:80"'
    assert f'cube_gateway_requests_total{{code="2xx",{road}}} 2.0' in text
    assert f'cube_gateway_requests_total{{code="4xx",{road}}} 1.0' in text
    assert f"cube_gateway_request_seconds_count{{{road}}} 3.0" in text
    assert "cube_gateway_log_unread_total 1.0" in text


def test_roads_beyond_the_limit_share_their_series() -> None:
    metrics = Metrics()
    counts = RequestCounts(metrics)
    for index in range(ROADS_MAX + 3):
        counts.count(a_line(f"/{index}"))

    text = metrics.text().decode()
    others = 'code="2xx",host="others",path="others",service="others"'
    assert f"cube_gateway_requests_total{{{others}}} 3.0" in text


async def test_lines_are_counted_once_also_by_a_program_that_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    metrics = Metrics()
    # One for both: a call that outlives its caller is waited for.
    counts, env = RequestCounts(metrics), Env()

    async def place() -> Path | None:
        return path if path.exists() else None

    for total in (1.0, 2.0):
        reading = asyncio.create_task(read_log(place, RequestLog(), counts, env))
        with path.open("ab") as nginx:
            nginx.write(a_line() + b"\n")
        await until(partial(is_counted, metrics, total))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


class Ending(RequestCounts):
    """Its program is ended at the first line."""

    def count(self, text: bytes) -> None:
        super().count(text)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


async def test_what_nobody_has_counted_is_there_for_the_next_program(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    lines = [a_line(f"/{number}") + b"\n" for number in range(2 * BATCH_MAX)]
    path.write_bytes(b"".join(lines))

    async def place() -> Path | None:
        return path

    ended, env = Ending(Metrics()), Env()
    with pytest.raises(asyncio.CancelledError):
        await read_log(place, RequestLog(), ended, env)
    assert len(ended.tallies) == BATCH_MAX

    counts = RequestCounts(Metrics())
    reading = asyncio.create_task(read_log(place, RequestLog(), counts, env))
    await until(lambda: len(counts.tallies) == len(lines))
    reading.cancel()


class Late:
    """The first calls are carried out, but their callers have given up by then."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        done = work()
        await asyncio.sleep(0)
        if self.count:
            self.count -= 1
            raise StillHanging(errno.ETIMEDOUT, f"no end after {deadline_s:g} s")
        return done


def test_a_call_that_ends_late_loses_no_line_and_has_none_counted_twice(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    counts, opened = RequestCounts(Metrics()), RequestLog()

    async def place() -> Path | None:
        return path

    async def story() -> None:
        late = Late(0)
        env = Env(SimClock(), SeededRng("late"), NoCommands(), blocking=late)
        reading = asyncio.create_task(read_log(place, opened, counts, env))
        for total in (3, 6):
            with path.open("ab") as nginx:
                nginx.write((a_line() + b"\n") * 3)
            late.count = 3
            await asyncio.sleep(60)
            assert [one.requests for one in counts.tallies.values()] == [total]
        # A bug ends it, and it is begun again: the file is the same, and goes on where it was.
        reading.cancel()
        reading = asyncio.create_task(read_log(place, opened, counts, env))
        await asyncio.sleep(60)
        assert [one.requests for one in counts.tallies.values()] == [6]
        reading.cancel()

    run_simulated(story())


def test_a_docker_that_is_away_is_told_of_once_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "requests.log"
    path.write_bytes(a_line() + b"\n")
    counts, is_away = RequestCounts(Metrics()), [True]
    places: list[Path | None] = []

    async def place() -> Path | None:
        places.append(path)
        if is_away[0]:
            raise NginxTrouble("Docker: nobody is there") if len(places) % 2 else OSError("none")
        return path

    async def story() -> None:
        reading = asyncio.create_task(read_log(place, RequestLog(), counts, sim_env("docker")))
        await asyncio.sleep(60)
        # Looked for again and again, at its pace.
        assert 60 <= len(places) <= 120
        is_away[0] = False
        await asyncio.sleep(60)
        assert [one.requests for one in counts.tallies.values()] == [1]
        is_away[0] = True
        path.unlink()
        await asyncio.sleep(60)
        assert not reading.done()
        reading.cancel()

    with caplog.at_level(logging.WARNING):
        run_simulated(story())
    assert [(one.levelname, one.exc_info) for one in caplog.records] == [("WARNING", None)] * 2


def test_no_other_file_is_read_in_place_of_the_log(tmp_path: Path) -> None:
    other, path = tmp_path / "shadow", tmp_path / "requests.log"
    content = a_line() + b"\n"
    other.write_bytes(content)
    path.symlink_to(other)
    log = RequestLog()
    with pytest.raises(OSError, match="symbolic"):
        log.take(path)
    assert other.read_bytes() == content
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="no plain file"):
        log.take(path)
    path.unlink()
    assert log.take(path) is None
    path.write_bytes(content)
    assert log.take(path) == [a_line()]


def test_what_was_counted_takes_no_room_and_what_was_not_is_there_for_the_next_reader(
    memory: Path,
) -> None:
    path = memory / "requests.log"
    lines = [a_line(f"/{number}") for number in range(5_000)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    full_blocks = path.stat().st_blocks

    first = RequestLog()
    taken = first.take(path) or []
    assert 0 < len(taken) < len(lines)
    # Nobody has counted them yet.
    assert first.take(path) == taken
    assert path.stat().st_blocks == full_blocks
    first.counted()
    assert path.stat().st_blocks == full_blocks
    first.take(path)
    assert path.stat().st_blocks < full_blocks
    with path.open("ab") as nginx:
        nginx.write(b"half of a l")

    second = RequestLog()
    while more := second.take(path):
        taken += more
        second.counted()
    assert taken == lines
    # A page that is written to, and those that its file system needs for itself.
    assert path.stat().st_blocks <= 2 * PAGE_BYTES // 512
    with path.open("ab") as nginx:
        nginx.write(b"ine\n")
    third = RequestLog()
    assert third.take(path) == [b"half of a line"]
    third.counted()
    assert third.take(path) == []
    assert RequestLog().take(path) == []


def test_small_parts_leave_no_page_behind(memory: Path) -> None:
    path = memory / "requests.log"
    path.touch()
    log = RequestLog()
    for _ in range(100):
        with path.open("ab") as nginx:
            nginx.write(a_line() + b"\n")
        assert log.take(path) == [a_line()]
        log.counted()
    assert path.stat().st_blocks <= 2 * PAGE_BYTES // 512


def test_zeros_before_the_first_line_are_passed_over(tmp_path: Path) -> None:
    """A file system in memory may keep what was forgotten as zeros, a large page of them."""
    path = tmp_path / "requests.log"
    path.write_bytes(bytes(3 * PART_BYTES) + a_line() + b"\n")
    log = RequestLog()
    for _ in range(2):
        assert log.take(path) == [a_line()]
    log.counted()
    assert log.take(path) == []


def test_a_line_without_an_end_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    path.write_bytes(b"x" * PART_BYTES + b"y\n")
    log = RequestLog()
    assert log.take(path) == [b"x" * PART_BYTES]
    log.counted()
    assert log.take(path) == [b"y"]


def test_the_last_lines_of_an_nginx_that_ended_are_read_before_those_of_the_next(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "1.log", tmp_path / "2.log"
    old.write_bytes(a_line("/old") + b"\n")
    log = RequestLog()
    assert log.take(None) is None
    assert log.take(old) == [a_line("/old")]
    log.counted()
    with old.open("ab") as nginx:
        nginx.write(a_line("/last") + b"\n")
        old.unlink()
    new.write_bytes(a_line("/new") + b"\n")
    assert log.take(old) == [a_line("/last")]
    # It has ended, but not all of it was counted.
    assert log.take(old) == [a_line("/last")]
    log.counted()
    assert log.take(old) is None
    assert log.take(new) == [a_line("/new")]


def is_counted(metrics: Metrics, total: float) -> bool:
    lines = metrics.text().decode().splitlines()
    found = [one for one in lines if one.startswith("cube_gateway_requests_total")]
    return [one.endswith(f"}} {total}") for one in found] == [True]
