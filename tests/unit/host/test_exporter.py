"""A program's metrics are on the loopback while it runs, and never keep it from running."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import pytest

from cubernetes.host.env import Env
from cubernetes.host.metrics import TEXT_FORMAT
from cubernetes.host.web.exporter import exported
from tests.ports import free_port

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Where:
    metrics_port: int


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port of the loopback that somebody else listens on."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", free_port()))
        one.listen()
        yield one


def port_of(one: socket.socket) -> int:
    return int(one.getsockname()[1])


async def asked(port: int, path: str) -> tuple[int, str, str]:
    """Ask until somebody listens."""
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    return answer.status, answer.headers["Content-Type"], await answer.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)


async def test_a_running_program_is_asked_what_it_counted(taken: socket.socket) -> None:
    env, port = Env(), port_of(taken)
    taken.close()
    env.metrics.counter("cube_x_total", "X.").inc(3)

    async def work(_: Where, __: Env) -> None:
        code, kind, text = await asked(port, "/metrics")
        assert (code, kind) == (200, TEXT_FORMAT)
        assert "cube_x_total 3.0" in text
        assert (await asked(port, "/livez"))[::2] == (200, "ok")
        assert (await asked(port, "/"))[0] == 404

    await exported(work)(Where(port), env)
    with pytest.raises(ConnectionRefusedError):  # it ended with its program
        await asyncio.open_connection("127.0.0.1", port)


async def test_without_a_port_nothing_is_served() -> None:
    said: list[int] = []

    async def work(settings: Where, _: Env) -> None:
        said.append(settings.metrics_port)

    await exported(work)(Where(0), Env())
    assert said == [0]


async def test_a_port_that_is_taken_is_told_and_served_when_it_is_free(
    taken: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    port, told = port_of(taken), asyncio.Event()

    def heard(_: logging.LogRecord) -> bool:
        told.set()
        return True

    caplog.handler.addFilter(heard)

    async def work(_: Where, __: Env) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await told.wait()
        taken.close()
        assert (await asked(port, "/livez"))[2] == "ok"

    with caplog.at_level(logging.ERROR):
        await exported(work)(Where(port), Env())
    assert "address already in use" in caplog.text.lower()


async def test_what_ends_a_program_is_raised(taken: socket.socket) -> None:
    port = port_of(taken)
    taken.close()

    async def work(_: Where, __: Env) -> None:
        raise LookupError("its own trouble")

    with pytest.raises(LookupError):
        await exported(work)(Where(port), Env())
