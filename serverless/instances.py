"""Speaking with instances: load a revision, run a call. HTTP/1.1 of our own, connections kept.

An instance's answer has few forms, and it is not believed: lengths have limits, and what cannot be
read is the instance's fault.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import msgspec

from serverless.envelope import CallHead, Misread, ResultHead, packed, unpacked

CONNECT_S = 2.0
LOAD_S = 70.0  # the instance gives up after 60
GRACE_S = 3.0  # an instance ends a call by itself; this is for one that does not
HEAD_BYTES_MAX = 16 * 1024
ANSWER_BYTES_MAX = 8 * 1024 * 1024
KEPT_MAX = 64  # connections to one instance


class NotTaken(Exception):
    """The instance has not begun with the call: another may run it."""


class Unloaded(NotTaken):
    """The instance has not the revision that it was to run: it must load it again."""


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
        """Run a call. Raises: NotTaken, Unloaded, Lost."""
        ...

    def forget(self, address: str) -> None:
        """Close what is kept for an instance that is gone."""
        ...


class HttpInstances:
    """Instances over TCP."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

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
        deadline_s = head.timeout_s + GRACE_S
        answer = await self._asked(
            address, f"/call/{revision}", key, packed(head, body), deadline_s
        )
        told = f"{answer.status}: {answer.body[:200].decode(errors='replace')}"
        # 403: nobody has loaded anything there, or somebody else has.
        if answer.status in (403, 404):
            raise Unloaded(told)
        if answer.status == 429:
            raise NotTaken(told)
        try:
            if answer.status == 200:
                return unpacked(answer.body, ResultHead)
        except Misread as error:
            raise Lost(f"its answer cannot be read: {error}") from error
        raise Lost(f"it answered {answer.status}")

    def forget(self, address: str) -> None:
        for _, writer in self._kept.pop(address, []):
            writer.close()

    async def close(self) -> None:
        for address in tuple(self._kept):
            self.forget(address)

    async def _asked(
        self, address: str, path: str, key: str, body: bytes, deadline_s: float
    ) -> Answer:
        """Raises: NotTaken, Lost."""
        reader, writer = await self._connected(address)
        is_good = False
        try:
            async with asyncio.timeout(deadline_s):
                head = f"POST {path} HTTP/1.1\r\nCube-Key: {key}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                answer = await _answer_in(reader)
                is_good = True
                return answer
        except TimeoutError as error:
            raise Lost(f"no answer within {deadline_s:g} s") from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise Lost(f"the connection broke: {error}") from error
        finally:
            kept = self._kept.setdefault(address, [])
            if is_good and len(kept) < KEPT_MAX:
                kept.append((reader, writer))
            else:
                writer.close()

    async def _connected(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection that is kept, or a new one. Raises: NotTaken."""
        kept = self._kept.get(address, [])
        while kept:
            reader, writer = kept.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
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
    if not 0 <= count <= ANSWER_BYTES_MAX:
        raise ValueError(f"an answer of {count} bytes")
    return Answer(status, await reader.readexactly(count))


def _tree(body: bytes) -> Mapping[str, Any]:
    with suppress(msgspec.DecodeError):
        tree = msgspec.json.decode(body)
        if isinstance(tree, Mapping):
            return tree
    return {}
