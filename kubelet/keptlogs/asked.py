"""What is asked of a log, in the runtime's words, and how much of it is given."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from cubernetes.client.wire.logquery import STREAMS, LogQuery
from kubelet.runtime.driver import LogOptions


async def limited(text: AsyncGenerator[bytes, None], bytes_max: int) -> AsyncGenerator[bytes, None]:
    """Yield a text, no more than so many bytes of it."""
    async with aclosing(text) as pieces:
        async for piece in pieces:
            yield piece[:bytes_max]
            bytes_max -= len(piece)
            if bytes_max <= 0:
                return


def options_of(asked: LogQuery, now: datetime) -> LogOptions:
    """Return what is asked of the runtime; seconds ago are counted on this node's own clock."""
    since_ns = asked.since_ns
    if asked.since_seconds is not None:
        since_ns = int((now.timestamp() - asked.since_seconds) * 1e9)
    return LogOptions(
        follow=asked.follow,
        tail_count=asked.tail_lines,
        timestamps=asked.timestamps,
        since_ns=max(0, since_ns),
        stream=STREAMS[asked.stream],
    )
