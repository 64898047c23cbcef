"""What a lab asks of a node's Docker, and what comes of the answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.host import engine
from lab.host.engine import EngineTrouble

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"stream":"ok"}'
PADDING = b"\0" * 8192
DEADLINE_S = 20.0

Serve = Callable[[Callable[[socket.socket], None]], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Let something answer one connection of a socket."""
    threads: list[threading.Thread] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(DEADLINE_S)

    def begin(answer: Callable[[socket.socket], None]) -> Path:
        path = tmp_path / "docker.sock"
        listener.bind(str(path))
        listener.listen()

        def once() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        threads.append(threading.Thread(target=once))
        threads[-1].start()
        return path

    yield begin
    for thread in threads:
        thread.join(DEADLINE_S)
    listener.close()


def head_of(connection: socket.socket) -> tuple[str, bytes]:
    """Return a request's head, and what came of its body with it."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, rest = got.partition(b"\r\n\r\n")
    return head.decode().lower(), rest


async def test_an_answer_is_not_lost_where_docker_leaves_the_end_of_a_body_unread(
    serve: Serve,
) -> None:
    archive = b"x" * 200_000

    def like_go(connection: socket.socket) -> None:
        """Read up to the end mark and answer; read the rest where the connection may go on."""
        head, rest = head_of(connection)
        while len(rest) < len(archive):
            rest += connection.recv(len(archive) - len(rest))
        connection.sendall(ANSWER)
        left = len(archive) + len(PADDING) - len(rest)
        if head.partition("\r\n")[0].endswith("http/1.1") and "connection: close" not in head:
            while left:
                left -= len(connection.recv(left))

    said = await engine.call(
        serve(like_go), "POST /images/load", archive + PADDING, deadline_s=DEADLINE_S
    )

    assert said == b'{"stream":"ok"}'


async def test_a_refusal_is_told_with_its_reason(serve: Serve) -> None:
    def refuse(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno image")

    with pytest.raises(EngineTrouble, match="docker refused GET /images/a/json: no image"):
        await engine.call(serve(refuse), "GET /images/a/json", deadline_s=DEADLINE_S)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_an_answer_that_breaks_off_is_none(serve: Serve, said: bytes) -> None:
    def break_off(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(said)

    with pytest.raises(EngineTrouble, match="docker at"):
        await engine.call(serve(break_off), "GET /_ping", deadline_s=DEADLINE_S)


async def test_docker_that_is_silent_is_waited_for_until_the_deadline(serve: Serve) -> None:
    ended = threading.Event()

    def be_silent(_: socket.socket) -> None:
        ended.wait(DEADLINE_S)

    path = serve(be_silent)
    with pytest.raises(EngineTrouble, match=r"no answer in time|timed out"):
        await engine.call(path, "GET /_ping", deadline_s=0.05)
    ended.set()


async def test_where_nobody_listens_docker_is_not_ready(tmp_path: Path) -> None:
    assert not await engine.is_ready(tmp_path / "docker.sock")
