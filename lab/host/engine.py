"""A node's Docker, as far as a lab needs it: does it answer, and here is an image.

Plain HTTP over the node's socket, reached through its init's root: no client library, no command.
"""

import json
from http import HTTPStatus
from pathlib import Path

from cubernetes.host.exchange import NoAnswer, exchange
from lab.archive import Archive

LOAD_DEADLINE_S = 120.0
LOOK_DEADLINE_S = 5.0
PING_DEADLINE_S = 2.0


class EngineTrouble(Exception):
    """Docker did not answer, or answered with an error."""


async def call(path: Path, request: str, body: bytes = b"", *, deadline_s: float) -> bytes:
    """Send one request ("GET /_ping") and return the body of a good answer.

    Raises:
        EngineTrouble: nobody listens, deadline_s passed, or the answer's code is not 200.
    """
    try:
        answer = await exchange(path, request, body, deadline_s=deadline_s)
    except NoAnswer as error:
        raise EngineTrouble(f"docker at {error}") from error
    if answer.code != HTTPStatus.OK:
        told = answer.body.decode(errors="replace")[:500]
        raise EngineTrouble(f"docker refused {request}: {told}")
    return answer.body


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
