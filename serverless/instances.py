"""Speaking with instances: load a revision, by HTTP/1.1 of our own, and run calls, over lines.

An instance's answer has few forms, and it is not believed: lengths have limits, and what cannot be
read is the instance's fault.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import msgspec

from serverless.envelope import (
    FULL,
    RAN,
    UNLOADED,
    CallHead,
    Misread,
    ResultHead,
    call_frame,
    packed,
    result_of,
)
from serverless.lines import CONNECT_S, Broken, Lines, NoLines, NotOpened, Refused

LOAD_S = 70.0  # the instance gives up after 60
GRACE_S = 3.0  # an instance ends a call by itself; this is for one that does not
HEAD_BYTES_MAX = 16 * 1024
LOAD_ANSWER_BYTES_MAX = 1024 * 1024


class NotTaken(Exception):
    """The instance has not begun with the call: another may run it."""


class Unloaded(NotTaken):
    """The instance has not the revision that it was to run: it must load it again."""


class Outdated(NotTaken):
    """The instance is of another version than the gateway, and can run no call of it."""


class Lost(Exception):
    """Nobody knows what became of the call."""


class Spoiled(Exception):
    """The instance will never load this: another key or function has it."""


class LoadFailed(Exception):
    """The code cannot be loaded; the text is its traceback."""


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance loads; keep: the revisions that it must not give up for it."""

    function: str
    revision: str
    entry: str
    files: Mapping[str, str]
    env: Mapping[str, str]
    keep: tuple[str, ...] = ()


class Answer(NamedTuple):
    status: int
    body: bytes


class Instances(Protocol):
    """How instances are spoken with; address is `host:port`."""

    async def load(self, address: str, key: str, code: Code) -> float:
        """Load a revision; return how many milliseconds it took.

        Raises: LoadFailed, Spoiled; NotTaken: it cannot be asked now.
        """
        ...

    async def call(
        self, address: str, key: str, revision: str, head: CallHead, body: bytes
    ) -> tuple[ResultHead, bytes]:
        """Run a call. Raises: NotTaken, Unloaded, Outdated, Lost."""
        ...

    def forget(self, address: str) -> None:
        """Close what is kept for an instance that is gone."""
        ...


class HttpInstances:
    """Instances over TCP."""

    def __init__(self) -> None:
        self._lines = Lines()

    async def load(self, address: str, key: str, code: Code) -> float:
        try:
            answer = await self._asked(address, "/load", key, packed(code), LOAD_S)
        except Lost as error:
            # It may have loaded it: asked again, it says so.
            raise NotTaken(str(error)) from error
        match answer.status:
            case 200:
                return float(_tree(answer.body).get("milliseconds") or 0.0)
            case 422:
                raise LoadFailed(str(_tree(answer.body).get("failed")))
            case _:
                raise Spoiled(f"{answer.status}: {answer.body[:200].decode(errors='replace')}")

    async def call(
        self, address: str, key: str, revision: str, head: CallHead, body: bytes
    ) -> tuple[ResultHead, bytes]:
        frame = call_frame(revision, head, body)
        try:
            answer = await self._lines.ask(address, key, frame, head.timeout_s + GRACE_S)
            if answer.verdict == RAN:
                return result_of(answer), answer.body
        except NotOpened as error:
            raise NotTaken(str(error)) from error
        except Refused as error:
            # Nobody has loaded anything there, or somebody else has.
            raise Unloaded(str(error)) from error
        except NoLines as error:
            raise Outdated(f"its image is older than the gateway: {error}") from error
        except (Broken, Misread) as error:
            raise Lost(str(error)) from error
        match answer.verdict:
            case verdict if verdict == UNLOADED:
                raise Unloaded(f"{address} has not loaded {revision}")
            case verdict if verdict == FULL:
                raise NotTaken(f"every place of {address} is taken")
            case verdict:
                raise Lost(f"it answered {verdict}")

    def forget(self, address: str) -> None:
        self._lines.forget(address)

    async def close(self) -> None:
        self._lines.close()

    async def _asked(
        self, address: str, path: str, key: str, body: bytes, deadline_s: float
    ) -> Answer:
        """Raises: NotTaken, Lost."""
        reader, writer = await _connected(address)
        try:
            async with asyncio.timeout(deadline_s):
                head = f"POST {path} HTTP/1.1\r\nCube-Key: {key}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                return await _answer_in(reader)
        except TimeoutError as error:
            raise Lost(f"no answer within {deadline_s:g} s") from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise Lost(f"the connection broke: {error}") from error
        finally:
            writer.close()


async def _connected(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a new connection. Raises: NotTaken."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(host, int(port), limit=HEAD_BYTES_MAX)
    except (OSError, TimeoutError) as error:
        raise NotTaken(f"{address}: {error or 'no connection in time'}") from error


async def _answer_in(reader: asyncio.StreamReader) -> Answer:
    """Read an answer. Raises: EOFError, ValueError, LimitOverrunError, OSError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ")[1])
    count = 0
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            count = int(value)
    if not 0 <= count <= LOAD_ANSWER_BYTES_MAX:
        raise ValueError(f"an answer of {count} bytes")
    return Answer(status, await reader.readexactly(count))


def _tree(body: bytes) -> Mapping[str, Any]:
    with suppress(msgspec.DecodeError):
        tree = msgspec.json.decode(body)
        if isinstance(tree, Mapping):
            return tree
    return {}
