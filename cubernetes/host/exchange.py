"""One HTTP request and its whole answer, by a Unix socket or an address: of what is asked seldom.

Docker reads an archive up to its end mark, and not the zeros after it. A connection that it were to
close behind its answer, as one of HTTP/1.0, the kernel would reset for them, and the answer would
be lost: Docker 26 does so, once in some 30 images. One that may go on it reads to the end.
"""

import asyncio
import socket
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPException, IncompleteRead
from pathlib import Path
from typing import NamedTuple

from cubernetes.host.blocking import Threads

ANSWER_BYTES_MAX = 1 << 20
NO_BODY = b""

_threads = Threads()


class NoAnswer(Exception):
    """Nobody listens there, or no answer came in time, or not a whole one."""


class Answer(NamedTuple):
    """code is HTTP's; of a body beyond 1 MiB the beginning."""

    code: int
    body: bytes


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


async def exchange(
    where: Path | tuple[str, int], request: str, body: bytes = NO_BODY, *, deadline_s: float
) -> Answer:
    """Send one request ("GET /_ping") and return the answer.

    A body that is JSON begins with a brace; any other is a tar.

    Raises: NoAnswer.
    """
    named = str(where) if isinstance(where, Path) else f"{where[0]}:{where[1]}"
    try:
        async with asyncio.timeout(deadline_s):
            work = partial(_exchanged, where, request, body, deadline_s)
            return await _threads.run(("http", f"{named} {request}"), work, deadline_s=deadline_s)
    except (OSError, HTTPException) as error:
        raise NoAnswer(f"{named}: {str(error) or 'no answer in time'}") from error


def _exchanged(
    where: Path | tuple[str, int], request: str, body: bytes, deadline_s: float
) -> Answer:
    """Block until it is done, or nothing came for deadline_s. Raises: OSError, HTTPException."""
    method, _, target = request.partition(" ")
    headers = {"Content-Type": "application/json" if body[:1] == b"{" else "application/x-tar"}
    if isinstance(where, Path):
        connection: HTTPConnection = _UnixConnection(where, deadline_s)
    else:
        connection = HTTPConnection(*where, timeout=deadline_s)
    with closing(connection):
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        content = answer.read(ANSWER_BYTES_MAX)
        if answer.length and len(content) < ANSWER_BYTES_MAX:
            raise IncompleteRead(content, answer.length)
        return Answer(answer.status, content)
