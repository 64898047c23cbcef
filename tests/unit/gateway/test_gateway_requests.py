"""nginx's log becomes counts by road: what it may say, and how many roads there may be."""

import asyncio
import os
import socket
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.env import Env
from cubernetes.host.metrics import Metrics
from gateway.requests import ROADS_MAX, SOCKET, Line, RequestCounts, line_of, read_log
from tests.contract.api.streams.world import until

HEAD = b"<190>Nov 29 01:02:03 nginx: "


def a_line(path: str = "/x", status: int = 200) -> bytes:
    text = (
        '{"at":1.5,"host":"a.example","path":"%s","service":"default/web:80","method":"GET",'
        '"status":%d,"bytes":5,"s":0.002,"upstream":"10.96.0.10:80","upstream_s":"0.001",'
        '"client":"192.0.2.9","id":"ab"}'
    )
    return HEAD + (text % (path, status)).encode()


def test_a_line_says_its_road_and_its_answer() -> None:
    assert line_of(a_line()) == Line("a.example", "/x", "default/web:80", 200, 0.002)


@given(st.binary(max_size=200))
def test_noise_is_no_line_and_ends_nothing(noise: bytes) -> None:
    assert line_of(noise) is None or b"{" in noise
    assert line_of(a_line()[:-1] + noise[:0]) is None


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


async def test_what_nginx_writes_to_the_socket_is_counted_also_after_a_restart(
    tmp_path: Path,
) -> None:
    env = Env()
    counts = RequestCounts(env.metrics)
    for total in (1.0, 2.0):
        reading = asyncio.create_task(read_log(tmp_path, os.getgid(), counts, env))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nginx:
            await until(partial(connected, nginx, tmp_path / SOCKET))
            nginx.send(a_line())
            await until(partial(is_counted, env.metrics, total))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


def connected(nginx: socket.socket, path: Path) -> bool:
    try:
        nginx.connect(str(path))
    except OSError:
        return False
    return True


def is_counted(metrics: Metrics, total: float) -> bool:
    lines = metrics.text().decode().splitlines()
    found = [one for one in lines if one.startswith("cube_gateway_requests_total")]
    return [one.endswith(f"}} {total}") for one in found] == [True]
