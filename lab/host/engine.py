"""A node's Docker, as far as a lab needs it: does it answer, and here is an image.

Plain HTTP over the node's socket, reached through its init's root: no client library, no command.
"""

import asyncio
import json
import socket
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from lab.archive import Archive

LOAD_DEADLINE_S = 120.0
LOOK_DEADLINE_S = 5.0
PING_DEADLINE_S = 2.0


class EngineTrouble(Exception):
    """Docker did not answer, or answered with an error."""


class _Connection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, deadline_s: float) -> None:
        super().__init__("docker", timeout=deadline_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


async def call(path: Path, request: str, body: bytes = b"", *, deadline_s: float) -> bytes:
    """Send one request ("GET /_ping") and return the body of a good answer.

    Raises:
        EngineTrouble: nobody listens, deadline_s passed, or the answer's code is not 200.
    """
    try:
        async with asyncio.timeout(deadline_s):
            code, said = await asyncio.to_thread(_exchange, path, request, body, deadline_s)
    except (OSError, HTTPException) as error:
        raise EngineTrouble(f"docker at {path}: {str(error) or 'no answer in time'}") from error
    if code != HTTPStatus.OK:
        raise EngineTrouble(f"docker refused {request}: {said.decode(errors='replace')[:500]}")
    return said


def _exchange(path: Path, request: str, body: bytes, deadline_s: float) -> tuple[int, bytes]:
    """Ask and read the whole answer, on a connection that is kept until then.

    Docker reads an archive up to its end mark, and not the zeros after it. A connection that it
    were to close after the answer, it would reset for them, and the answer would be lost: Docker 26
    does so, once in 30 images. One that may go on it reads to the end of the request.
    """
    method, _, target = request.partition(" ")
    with closing(_Connection(path, deadline_s)) as connection:
        connection.request(method, target, body, {"Content-Type": "application/x-tar"})
        answer = connection.getresponse()
        return answer.status, answer.read()


async def is_ready(socket: Path) -> bool:
    """Tell whether Docker answers there now."""
    try:
        return await call(socket, "GET /_ping", deadline_s=PING_DEADLINE_S) == b"OK"
    except EngineTrouble:
        return False


async def has(socket: Path, archive: Archive) -> bool:
    """Tell whether every tag of the archive already means that very image."""
    for tag in archive.tags:
        try:
            said = await call(socket, f"GET /images/{tag}/json", deadline_s=LOOK_DEADLINE_S)
        except EngineTrouble:
            return False
        if json.loads(said)["Id"] != archive.image_id:
            return False
    return True


async def load(socket: Path, archive: Archive) -> None:
    """Give an image to Docker.

    Raises:
        EngineTrouble: Docker did not take them.
    """
    said = await call(
        socket, "POST /images/load?quiet=1", archive.content, deadline_s=LOAD_DEADLINE_S
    )
    # The answer begins before the work ends, so a failure comes in its body, under code 200.
    if b'"error"' in said:
        raise EngineTrouble(f"docker did not load {archive.tags}: {said.decode(errors='replace')}")
