"""nginx's log becomes counts by road: what it may say, and how many roads there may be."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.env import Env
from cubernetes.host.metrics import Metrics
from gateway.nginx.requestlog import PAGE_BYTES, PART_BYTES, RequestLog
from gateway.requests import ROADS_MAX, Line, RequestCounts, line_of, read_log
from tests.contract.api.streams.world import until


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
    counts = RequestCounts(metrics)

    async def place() -> Path | None:
        return path if path.exists() else None

    for total in (1.0, 2.0):
        reading = asyncio.create_task(read_log(place, counts, Env()))
        with path.open("ab") as nginx:
            nginx.write(a_line() + b"\n")
        await until(partial(is_counted, metrics, total))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


def test_what_was_read_takes_no_room_and_what_was_not_is_there_for_the_next_reader(
    tmp_path: Path,
) -> None:
    path = tmp_path / "requests.log"
    lines = [a_line(f"/{number}") for number in range(5_000)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    full_blocks = path.stat().st_blocks

    first = RequestLog()
    taken = first.take(path) or []
    assert 0 < len(taken) < len(lines)
    assert path.stat().st_blocks < full_blocks
    with path.open("ab") as nginx:
        nginx.write(b"half of a l")

    second = RequestLog()
    while more := second.take(path):
        taken += more
    assert taken == lines
    # A page that is written to, and those that its file system needs for itself.
    assert path.stat().st_blocks <= 2 * PAGE_BYTES // 512
    with path.open("ab") as nginx:
        nginx.write(b"ine\n")
    third = RequestLog()
    assert third.take(path) == [b"half of a line"]
    assert RequestLog().take(path) == []


def test_small_parts_leave_no_page_behind(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    path.touch()
    log = RequestLog()
    for _ in range(100):
        with path.open("ab") as nginx:
            nginx.write(a_line() + b"\n")
        assert log.take(path) == [a_line()]
    assert path.stat().st_blocks <= 2 * PAGE_BYTES // 512


def test_a_line_without_an_end_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    path.write_bytes(b"x" * PART_BYTES + b"y\n")
    log = RequestLog()
    assert log.take(path) == [b"x" * PART_BYTES]
    assert log.take(path) == [b"y"]


def test_the_last_lines_of_an_nginx_that_ended_are_read_before_those_of_the_next(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "1.log", tmp_path / "2.log"
    old.write_bytes(a_line("/old") + b"\n")
    log = RequestLog()
    assert log.take(None) is None
    assert log.take(old) == [a_line("/old")]
    with old.open("ab") as nginx:
        nginx.write(a_line("/last") + b"\n")
        old.unlink()
    new.write_bytes(a_line("/new") + b"\n")
    assert log.take(old) == [a_line("/last")]
    assert log.take(old) is None
    assert log.take(new) == [a_line("/new")]


def is_counted(metrics: Metrics, total: float) -> bool:
    lines = metrics.text().decode().splitlines()
    found = [one for one in lines if one.startswith("cube_gateway_requests_total")]
    return [one.endswith(f"}} {total}") for one in found] == [True]
