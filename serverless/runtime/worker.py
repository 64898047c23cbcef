"""A worker: runs the calls of one revision, one at a time, in a process of its own."""

import asyncio
import inspect
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from serverless.runtime import userland, wire
from serverless.runtime.story import story_of

CALL_BYTES_MAX = wire.HTTP_BODY_BYTES_MAX
RESULT_BYTES_MAX = 6 * 1024 * 1024
ERROR_CHARS_MAX = 1024


def serve(connection: socket.socket, action: Callable[[Any], Any]) -> None:
    """Run calls until the door closes the connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while True:
        try:
            head, body = wire.read_raw(connection, CALL_BYTES_MAX)
        except wire.Ended:
            return
        answer = answered(action, json.loads(head), body)
        # What was printed belongs to this call: it is there before the answer is.
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(answer)


def answered(action: Callable[[Any], Any], head: Any, body: bytes) -> bytes:
    """Run one call; whatever it raises is its answer."""
    try:
        result = action(userland.Request(head, body))
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        said, payload = userland.answer_of(result)
    except BaseException as error:  # noqa: BLE001  sys.exit of a function ends its call alone
        sys.stderr.write(story_of(error))
        return wire.packed(failure(error))
    if len(payload) > RESULT_BYTES_MAX:
        told = f"the answer has {len(payload)} bytes, at most {RESULT_BYTES_MAX}"
        return wire.packed(failure(userland.UnfitResult(told)))
    return wire.packed(said, payload)


async def _awaited(result: Any) -> Any:
    return await result


def failure(error: BaseException) -> dict[str, str]:
    return {"outcome": "error", "error": f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]}


def become_worker(connection: socket.socket, pipe: int) -> None:
    """Give this process what it prints to, and a group by which it and its children are ended."""
    lead_group(0)
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    os.close(pipe)
    print_at_once()
    connection.setblocking(True)


def print_at_once() -> None:
    """Write each line when it is printed: a function that ends hard loses none, and all keep order.

    A pipe would otherwise get them in blocks.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def lead_group(number: int) -> None:
    """Make a child (0: this process) the leader of a group: both sides ask, the first is heard."""
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(number, number)
