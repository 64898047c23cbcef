"""One question to one name server, and its reply, by UDP or TCP.

Each question goes out from a socket of its own, whose port the kernel draws, under a number that is
drawn too; a reply counts where its sender, number and question are those: hard to forge.
"""

import asyncio
import socket
from contextlib import suppress

from cubernetes.host.env import Env
from resolver.answers.wire import MESSAGE_BYTES_MAX, Query
from resolver.forwarding.replies import Reply, question_for, reply_in
from resolver.forwarding.upstreams import Upstream

DEADLINE_S = 1.0
STRAYS_MAX = 16  # datagrams that are no reply to the question: somebody guesses


async def asked(query: Query, upstream: Upstream, env: Env, *, is_stream: bool) -> Reply:
    """Return what a name server replies.

    Raises: OSError, TimeoutError: it cannot be reached, or says nothing of use in time.
    """
    question = question_for(query, env.rng.below(1 << 16))
    async with asyncio.timeout(DEADLINE_S):
        if is_stream:
            return await _by_stream(question, upstream)
        return await _by_datagram(question, upstream)


async def _by_datagram(question: bytes, upstream: Upstream) -> Reply:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        # A connected socket takes nothing from others, and tells where nobody listens.
        own.connect(upstream)
        await loop.sock_sendall(own, question)
        for _ in range(STRAYS_MAX):
            reply = reply_in(await loop.sock_recv(own, MESSAGE_BYTES_MAX), question)
            if reply is not None:
                return reply
    raise ConnectionError(f"{upstream} sends what is no reply")


async def _by_stream(question: bytes, upstream: Upstream) -> Reply:
    reader, writer = await asyncio.open_connection(*upstream)
    try:
        writer.write(len(question).to_bytes(2) + question)
        size_bytes = int.from_bytes(await reader.readexactly(2))
        reply = reply_in(await reader.readexactly(size_bytes), question)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError(f"{upstream} ended the connection") from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if reply is None:
        raise ConnectionError(f"{upstream} sends what is no reply")
    return reply
