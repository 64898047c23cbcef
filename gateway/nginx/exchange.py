"""One HTTP request and its answer, with Docker's socket or with nginx on the loopback."""

import asyncio
import json
from pathlib import Path
from typing import NamedTuple

HEAD_BYTES_MAX = 64 << 10
ANSWER_BYTES_MAX = 1 << 20
NO_BODY = b""


class NoAnswer(Exception):
    """Nobody listens there, or no answer came in time, or not a whole one."""


class Answer(NamedTuple):
    """code is HTTP's."""

    code: int
    body: bytes


async def exchange(
    where: Path | tuple[str, int], request: str, body: bytes = NO_BODY, *, deadline_s: float
) -> Answer:
    """Send one request ("GET /_ping") and return the answer.

    As HTTP/1.0: the answer ends where its connection does, and is never in chunks. A body that is
    JSON begins with a brace.

    Raises: NoAnswer.
    """
    try:
        async with asyncio.timeout(deadline_s):
            answer = await _sent(where, request, body)
    except (OSError, TimeoutError, asyncio.LimitOverrunError) as error:
        raise NoAnswer(f"{_named(where)}: {error or 'no answer in time'}") from error
    head, _, rest = answer.partition(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) < 2 or not words[1].isdigit():
        raise NoAnswer(f"{_named(where)}: what came back is no HTTP")
    return Answer(int(words[1]), rest)


def sentence_in(answer: Answer) -> str:
    """Return the sentence of a refusal of Docker's."""
    try:
        return str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.body.decode(errors="replace").strip()[:500] or f"HTTP {answer.code}"


async def _sent(where: Path | tuple[str, int], request: str, body: bytes) -> bytes:
    if isinstance(where, Path):
        reader, writer = await asyncio.open_unix_connection(str(where), limit=HEAD_BYTES_MAX)
    else:
        reader, writer = await asyncio.open_connection(*where, limit=HEAD_BYTES_MAX)
    try:
        kind = "application/json" if body.startswith(b"{") else "application/x-tar"
        lines = (
            f"{request} HTTP/1.0",
            "Host: localhost",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        await writer.drain()
        answer = await reader.read(ANSWER_BYTES_MAX)
        while (more := await reader.read(ANSWER_BYTES_MAX)) and len(answer) < ANSWER_BYTES_MAX:
            answer += more
        return answer
    finally:
        writer.close()


def _named(where: Path | tuple[str, int]) -> str:
    return str(where) if isinstance(where, Path) else f"{where[0]}:{where[1]}"
