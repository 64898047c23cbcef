"""A watch: the lines that a server sends, as typed changes, until it ends or fails."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import msgspec

from cubernetes.api.bodies.envelopes import PartialMeta
from cubernetes.api.coding import codec
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.transport import Transport
from cubernetes.client.wire.frames import Lines, LineTooLong
from cubernetes.client.wire.refusals import refusal_of
from cubernetes.client.wire.watchlines import NoEvent, Verdict, event_in, revision_in
from cubernetes.host.web.messages import Request, Response


@dataclass(frozen=True, slots=True)
class Change[O: Object]:
    """One step of a watch. A deletion carries the last object; a bookmark carries none.

    revision is where a later watch may go on from, once the next change has another one: changes
    of one transaction share it.
    """

    type: Verdict
    object: O | None
    revision: str


async def changes[O: Object](
    transport: Transport, kind: type[O], request: Request, *, open_s: float, silence_s: float
) -> AsyncGenerator[Change[O]]:
    """Yield the changes of a watch; ends when the server ends it.

    Raises:
        ApiError: the server refused or ended it: Gone where the history is compacted.
        Unreachable, Unknown: no answer, a broken stream, or silence for silence_s.
    """
    response = await transport.open(request, deadline_s=open_s)
    if isinstance(response.body, bytes):
        raise refusal_of(response.status, response.body, response.headers)
    lines = Lines()
    async with aclosing(_chunks(response, silence_s)) as chunks:
        async for chunk in chunks:
            for line in _lines(lines, chunk):
                yield _change(kind, line)
    if not lines.is_whole:
        raise UnknownOutcome("the watch was cut within an event")


async def _chunks(response: Response, silence_s: float) -> AsyncGenerator[bytes]:
    """Yield what comes, as long as it keeps coming: a dead peer says nothing, for ever."""
    stream = cast(AsyncGenerator[bytes], response.body)
    async with aclosing(stream):
        iterator: AsyncIterator[bytes] = aiter(stream)
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    chunk = await anext(iterator)
            except TimeoutError as error:
                raise UnknownOutcome(f"the watch was silent for {silence_s} s") from error
            except StopAsyncIteration:
                return
            yield chunk


def _lines(lines: Lines, chunk: bytes) -> list[bytes]:
    try:
        return lines.feed(chunk)
    except LineTooLong as error:
        raise UnknownOutcome(str(error)) from error


def _change[O: Object](kind: type[O], line: bytes) -> Change[O]:
    """Read one event.

    Raises:
        ApiError: it is the server's word that the watch failed.
        Unknown: it is not an event of this kind.
    """
    try:
        event = event_in(line)
        if event.type == "BOOKMARK":
            meta = codec.decode(PartialMeta, event.object).metadata
            return Change("BOOKMARK", None, _dated(meta))
        found = codec.decode(kind, event.object)
        return Change(event.type, found, _dated(found.metadata))
    except (NoEvent, msgspec.DecodeError, RecursionError) as error:
        raise UnknownOutcome(f"the watch sent what is no event of {kind.resource.kind}") from error


def _dated(meta: ObjectMeta) -> str:
    """Return the place of an event, from which a follower continues."""
    return str(known_revision(meta.resource_version))


def known_revision(text: str) -> int:
    """Return the revision that a server tells. Raises: Unknown: it tells none."""
    found = revision_in(text)
    if found is None:
        raise UnknownOutcome(f"the server told no revision: {text[:40]!r}")
    return found
